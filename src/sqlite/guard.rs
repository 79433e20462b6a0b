//! No panic crosses into C.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`, and answers `on_panic` in its place if it panics. `callback` names it in the log.
pub fn guard<T>(callback: &str, on_panic: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(answer) => answer,
        Err(panic) => {
            // A log that cannot be written panics as well, and dropping the panic's own value may.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                tracing::error!("{callback} failed inside litestream-vfs, which is a bug in it: {}", text_of(&*panic));
            }))
            .map_err(std::mem::forget);
            std::mem::forget(panic);
            on_panic
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_answer_for_it() {
        assert_eq!(guard("xRead", 10, || 0), 0);
        assert_eq!(guard("xRead", 10, || panic!("on purpose")), 10);
    }

    #[test]
    fn the_reason_of_a_panic_is_found() {
        let panic = catch_unwind(|| panic!("page {}", 7)).unwrap_err();
        assert_eq!(text_of(&*panic), "page 7");
        let panic = catch_unwind(|| panic!("plain")).unwrap_err();
        assert_eq!(text_of(&*panic), "plain");
    }
}
