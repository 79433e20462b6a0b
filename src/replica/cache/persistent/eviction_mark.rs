//! Tells other processes that something is evicted.

use std::fs::File;
use std::io;
use std::time::{Duration, SystemTime};

/// The time of the file `lock`, by which other processes notice that their pages may be gone.
///
/// It is set before the first removal, because an evictor can be killed at any time, and again after the last one: who looked between has to look
/// again.
pub(super) struct EvictionMark<'a> {
    lock: &'a File,
    begun: Option<SystemTime>,
}

impl<'a> EvictionMark<'a> {
    pub(super) fn new(lock: &'a File) -> EvictionMark<'a> {
        EvictionMark { lock, begun: None }
    }

    /// Must be called before something is removed.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if self.begun.is_none() {
            let now = SystemTime::now();
            self.lock.set_modified(now)?;
            self.begun = Some(now);
        }
        Ok(())
    }
}

impl Drop for EvictionMark<'_> {
    fn drop(&mut self) {
        let Some(begun) = self.begun else { return };
        // Some file systems keep only the seconds of a time.
        let end = SystemTime::now().max(begun + Duration::from_secs(1));
        if let Err(error) = self.lock.set_modified(end) {
            tracing::debug!("other processes do not notice an eviction from the cache directory: {error}");
        }
    }
}
