//! What happens after a write has failed: nothing is written for some time, and reads go on.

use super::CacheDirectory;
use crate::error::remedy_unless_files;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// How long nothing is written after a write has failed.
pub(super) const PAUSE: Duration = Duration::from_secs(60);

/// Why something could not be written.
pub(super) struct WriteFailure {
    pub at: Instant,
    /// With the remedy.
    pub cause: String,
}

impl CacheDirectory {
    /// Whether writing did not fail recently. The disk may have space again.
    pub(super) fn may_write(&self) -> bool {
        if !self.is_paused.load(Ordering::Relaxed) {
            return true;
        }
        let is_over = self.last_failure.lock().as_ref().is_none_or(|failure| failure.at.elapsed() >= PAUSE);
        if is_over {
            self.is_paused.store(false, Ordering::Relaxed);
        }
        is_over
    }

    /// Records the result of a write, and begins to evict if the directory has grown beyond its bound.
    pub(super) fn after(self: &Arc<Self>, result: io::Result<()>, bytes: usize) {
        match result {
            Ok(()) => {
                // A small file takes a block.
                self.size.grow(bytes.max(4096) as u64);
                self.evict_if_due();
            }
            Err(error) => {
                let remedy = remedy_unless_files(&error, "free some space, or name another directory in cache_dir");
                let cause = format!("{error}; {remedy}");
                let failure = WriteFailure { at: Instant::now(), cause: cause.clone() };
                let is_first = self.last_failure.lock().replace(failure).is_none();
                self.is_paused.store(true, Ordering::Relaxed);
                if is_first {
                    tracing::warn!("the cache directory cannot be written, so nothing is added to it for now: {cause}");
                }
            }
        }
    }
}
