//! Fork detection: a child has none of the threads of its parent, so it must build all of its state anew.

/// Registers a handler that counts every later fork of this process and of its children. Cheap after the first call.
///
/// A handler is used rather than a comparison of process IDs, because a read from the cache must not make a system call. The handler
/// cannot be removed, but SQLite never unloads this library either.
#[cfg(unix)]
pub fn watch() {
    use std::sync::atomic::{AtomicBool, Ordering};

    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.swap(true, Ordering::Relaxed) {
        // SAFETY: `child` lives as long as the process, because this library is never unloaded. It only increments an atomic, which is
        // async-signal-safe and therefore allowed in a forked child.
        unsafe {
            libc::pthread_atfork(None, None, Some(child));
        }
    }
}

#[cfg(unix)]
unsafe extern "C" fn child() {
    crate::runtime::forked();
}

/// Does nothing, because processes of this system do not fork.
#[cfg(not(unix))]
pub fn watch() {}
