//! Noticing a fork: the child has none of the parent's threads, so it must build everything anew.

/// Sees to it that every later fork of this process, and of its children, is noticed. Cheap after the first call.
///
/// By a handler rather than by asking for the process's number: a read from the cache makes no system call. The handler stays
/// for good, and so does the library, which SQLite is told to keep loaded.
#[cfg(unix)]
pub fn watch() {
    use std::sync::atomic::{AtomicBool, Ordering};

    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler is a function of this library, which is never unloaded, and it does nothing but add to an
        // atomic, which is allowed between fork and exec.
        unsafe {
            libc::pthread_atfork(None, None, Some(child));
        }
    }
}

#[cfg(unix)]
unsafe extern "C" fn child() {
    crate::runtime::forked();
}

/// Processes do not fork here.
#[cfg(not(unix))]
pub fn watch() {}
