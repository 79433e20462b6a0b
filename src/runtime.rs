//! The threads that run async code, and the fork that takes them away.

/// Grows by one in the child of every fork, so that whoever holds something of the parent's notices.
pub(crate) fn generation() -> u64 {
    0
}
