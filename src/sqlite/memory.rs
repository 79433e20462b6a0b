//! Returning free memory to the system.

/// Makes the allocator return its free memory to the system.
///
/// A page cache consists of many small allocations, whose memory the allocator keeps when they are freed. Without this call a process
/// that reads many replicas one after the other would stay at its largest size.
pub fn release_free() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` is thread-safe, and does not move or free allocated memory.
    unsafe {
        libc::malloc_trim(0);
    }
}
