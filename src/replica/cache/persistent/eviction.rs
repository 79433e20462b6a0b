//! Keeps the cache directory within its bound.
//!
//! What belongs to no newest view goes first, the oldest before the others. Then the newest views of replicas that nobody has read for a day go,
//! and then the oldest pages of what is left. What has just been written stays: no view names it yet, or it is not complete. One process at a
//! time does this; readers take no lock and see a miss at worst.

use super::contents::{self, CachedFile, Contents, NeededBy, seconds};
use super::eviction_mark::EvictionMark;
use super::{CacheDirectory, FORMAT};
use crate::replica::folder::TEMPORARY;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::{Handle, RuntimeFlavor};

/// The lock of the process that evicts. The file was last written when something was evicted last.
pub(super) const LOCK: &str = "lock";

/// A process that cannot take the lock for longer than this evicts without it: who has it is suspended or hangs. The lock only avoids that the
/// work is done twice.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The size is measured again after so much was written: this part of the bound.
const STEP: u64 = 64;

/// Eviction goes on to this many eighths of the bound.
const TARGET_EIGHTHS: u64 = 7;

/// Returns how many bytes are left after eviction from a directory with this bound.
pub(super) fn target(bound: u64) -> u64 {
    bound / 8 * TARGET_EIGHTHS
}

/// How long something is kept that no process needs any more, in seconds: what an interrupted writer left, and files of
/// level 0, which are soon deleted from the replica too.
const LEFTOVER: i64 = 600;

/// An eviction by this process. When this is dropped, also by a panic, the next one can begin.
pub(super) struct RunningEviction<'a>(pub &'a AtomicBool);

impl Drop for RunningEviction<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl CacheDirectory {
    /// Evicts if the replicas of this process have written enough since the last time, or if the directory was too large before. Threads of the
    /// runtime do not wait for that.
    pub(super) fn evict_if_due(self: &Arc<Self>) {
        let bound = self.bound.load(Ordering::Relaxed);
        // Many processes are too short to write enough.
        let is_due =
            self.size.written() > bound / STEP || (!self.has_evicted.load(Ordering::Relaxed) && self.held() > bound);
        if !is_due || self.size.is_evicting.swap(true, Ordering::Relaxed) {
            return;
        }
        if Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread) {
            self.evict_on(Builder::new().name("litestream-vfs".to_owned()), bound);
        } else {
            self.evict_as_begun(bound);
        }
    }

    /// Evicts on a new thread. If none can be started, on this one.
    pub(super) fn evict_on(self: &Arc<Self>, thread: Builder, bound: u64) {
        let directory = self.clone();
        if thread.spawn(move || directory.evict_as_begun(bound)).is_err() {
            self.evict_as_begun(bound);
        }
    }

    fn evict_as_begun(&self, bound: u64) {
        let _running = RunningEviction(&self.size.is_evicting);
        self.evict(bound);
    }

    /// Evicts until the directory is smaller than `bound`, unless another process is doing that.
    pub(in crate::replica) fn evict(&self, bound: u64) {
        self.has_evicted.store(true, Ordering::Relaxed);
        if let Err(error) = self.size.shrink(|| self.shrink(bound)) {
            tracing::debug!("cannot evict from the cache directory: {error}");
        }
    }

    /// Returns the size afterwards.
    fn shrink(&self, bound: u64) -> io::Result<u64> {
        let format = self.root.folder(FORMAT)?;
        let shrink = |lock: &File| Contents::read(&self.root, EvictionMark::new(lock))?.shrink(bound);
        if let Some(lock) = format.try_lock(LOCK)? {
            *self.size.refused_since.lock() = None;
            return shrink(&lock.file);
        }
        let since = *self.size.refused_since.lock().get_or_insert_with(Instant::now);
        let size = contents::size(&self.root)?;
        if size > bound && since.elapsed() > PATIENCE { shrink(&format.create_file(LOCK)?) } else { Ok(size) }
    }

    /// Returns when something was evicted last, by any process. None if nothing was.
    pub(in crate::replica) fn last_eviction(&self) -> Option<SystemTime> {
        self.root.folder(FORMAT).ok()?.open_file(LOCK).ok()??.metadata().ok()?.modified().ok()
    }
}

impl Contents<'_> {
    /// Removes leftovers, and more until the size is within the bound. Returns the size.
    pub(super) fn shrink(mut self, bound: u64) -> io::Result<u64> {
        self.files.sort_by_key(|file| (file.needed_by, file.entry.modified));
        let (target, now, is_over) = (target(bound), seconds(), self.size > bound);
        for at in 0..self.files.len() {
            let file @ CachedFile { entry, needed_by, .. } = &self.files[at];
            let is_old = entry.modified.saturating_add(LEFTOVER) < now;
            let is_leftover = is_old && (entry.name.starts_with(TEMPORARY) || entry.name.starts_with("0-"));
            let is_excess = is_over && self.size > target && !file.is_fresh(now);
            if *needed_by == NeededBy::Nobody && is_leftover || *needed_by < NeededBy::Reader && is_excess {
                self.remove(at)?;
            }
        }
        if is_over && self.size > target {
            self.punch(bound)?;
        }
        Ok(self.size)
    }

    /// Removes a file, if that is possible. Fails if other processes would not notice.
    pub(super) fn remove(&mut self, at: usize) -> io::Result<()> {
        self.mark.begin()?;
        let (Some(folder), name) = (self.folder_of(at), &self.files[at].entry.name) else { return Ok(()) };
        // A process that has the file open keeps its space, so the file is emptied first. One that is being written may get its final name now.
        if !name.starts_with(TEMPORARY)
            && let Ok(Some(file)) = folder.open_file(name)
        {
            let _ = file.set_len(0);
        }
        match folder.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {}
            // Another process may have removed it.
            _ => self.shrunk(at, 0),
        }
        Ok(())
    }
}
