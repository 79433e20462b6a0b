//! The last error that SQLite reduced to a result code, for the SQL function `litestream_last_error()`.

use crate::lock::Mutex;
use crate::process::PerProcess;
use std::cell::RefCell;

thread_local! {
    static OF_THREAD: RefCell<Option<String>> = const { RefCell::new(None) };
}

static OF_PROCESS: PerProcess<Mutex<Option<String>>> = PerProcess::new();

/// Records an error of this thread. The text must be the one of the log, in which secrets are masked.
pub(crate) fn record(text: &str) {
    // A thread that is ending has no such value any more.
    let _ = OF_THREAD.try_with(|last| last.replace(Some(text.to_owned())));
    *OF_PROCESS.get_or_init(Mutex::default).lock() = Some(text.to_owned());
}

/// Returns the last error of this thread, or of the process if this thread had none. Success does not clear it.
pub(crate) fn last() -> Option<String> {
    let of_thread = OF_THREAD.try_with(|last| last.borrow().clone()).ok().flatten();
    of_thread.or_else(|| OF_PROCESS.get()?.lock().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn the_error_of_the_thread_precedes_that_of_the_process() {
        record("mine");
        thread::spawn(|| {
            assert!(last().is_some(), "an error of another thread");
            record("theirs");
            assert_eq!(last().as_deref(), Some("theirs"));
        })
        .join()
        .expect("the thread ends");
        assert_eq!(last().as_deref(), Some("mine"));
    }
}
