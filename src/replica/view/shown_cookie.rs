//! The schema cookie that a view shows.

use std::sync::atomic::{AtomicU64, Ordering};

/// The schema cookie that page 1 of a view shows: 0 if it is not known yet, otherwise the cookie with the bit above it
/// set. Takes no lock, because a child of a fork inherits views.
#[derive(Default)]
pub(super) struct ShownCookie(AtomicU64);

impl ShownCookie {
    const KNOWN: u64 = 1 << 32;

    pub(super) fn of(cookie: u32) -> ShownCookie {
        ShownCookie(AtomicU64::new(Self::KNOWN | u64::from(cookie)))
    }

    /// Returns the cookie, or None if it is not known yet.
    pub(super) fn get(&self) -> Option<u32> {
        let value = self.0.load(Ordering::Relaxed);
        (value & Self::KNOWN != 0).then_some(value as u32)
    }

    /// Sets the cookie, unless one is set already. Returns the cookie that is set.
    pub(super) fn keep(&self, cookie: u32) -> u32 {
        let new = Self::KNOWN | u64::from(cookie);
        match self.0.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => cookie,
            Err(current) => current as u32,
        }
    }
}
