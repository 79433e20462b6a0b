//! How often readers found their pages in the cache.

use std::sync::atomic::{AtomicU64, Ordering};

/// The cache hits and misses of one reader. Each reader has its own counters: shared ones would make the readers wait
/// for each other's cache lines.
#[derive(Debug, Default)]
pub(super) struct CacheUsage {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl CacheUsage {
    /// Counts a page that was read. Only one thread at a time may call it.
    #[inline]
    pub(super) fn count(&self, is_hit: bool) {
        let counter = if is_hit { &self.hits } else { &self.misses };
        // One thread at a time uses a connection, so a load and a store lose no update. An atomic addition would lock
        // the memory bus.
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// The totals of all readers of a replica, including those that have closed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReaderTotals {
    /// Connections that are open.
    pub connections: usize,
    pub hits: u64,
    pub misses: u64,
}

impl ReaderTotals {
    pub(super) fn add(&mut self, usage: &CacheUsage) {
        self.hits += usage.hits.load(Ordering::Relaxed);
        self.misses += usage.misses.load(Ordering::Relaxed);
    }
}
