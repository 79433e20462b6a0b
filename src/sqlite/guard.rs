//! Catches panics before they reach C code.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`. If it panics, logs the panic under the name `callback` and returns `on_panic`.
pub fn guard<T>(callback: &str, on_panic: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(panic) => {
            log_panic(callback, panic);
            on_panic
        }
    }
}

/// Logs a panic. Writing the log can panic too. So can dropping the payload of a panic, which is therefore leaked.
#[cold]
fn log_panic(callback: &str, panic: Box<dyn Any + Send>) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        tracing::error!("{callback} panicked, which is a bug in litestream-vfs: {}", text_of(&*panic));
    }))
    .map_err(std::mem::forget);
    std::mem::forget(panic);
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_returns_the_fallback() {
        assert_eq!(guard("xRead", 10, || 0), 0);
        assert_eq!(guard("xRead", 10, || panic!("on purpose")), 10);
    }

    #[test]
    fn the_message_of_a_panic_is_extracted() {
        let panic = catch_unwind(|| panic!("page {}", 7)).unwrap_err();
        assert_eq!(text_of(&*panic), "page 7");
        let panic = catch_unwind(|| panic!("plain")).unwrap_err();
        assert_eq!(text_of(&*panic), "plain");
    }
}
