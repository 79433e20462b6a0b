//! Memory that goes back to the system.

/// Has the allocator return to the system what is free. It keeps what many small pieces leave behind, and those are what a cache
/// of pages is made of: without this a process that reads many replicas, one after the other, stays as large as it ever was.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes the allocator's own locks, moves nothing that is in use, and may be called from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
