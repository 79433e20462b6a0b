//! Keeps the cache directory within its bound.
//!
//! What belongs to no newest view goes first, the oldest before the others. Then the newest views of replicas that nobody has read for a day go,
//! and then the oldest pages of what is left. What has just been written stays: no view names it yet, or it is not complete. One process at a
//! time does this; readers take no lock and see a miss at worst.

use super::announcements::FETCHING;
use super::leader::{LEADER, SUCCESSION};
use super::sealed::FieldReader;
use super::{CacheDirectory, FORMAT, HEAD, MAX_HEAD};
use crate::replica::folder::{Folder, FolderEntry, TEMPORARY};
use crate::time;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// The lock of the process that evicts. The file was last written when something was evicted last.
const LOCK: &str = "lock";

/// The files of a replica that belong to no view, but to the processes that read it.
const OF_PROCESSES: [&str; 4] = [HEAD, LEADER, SUCCESSION, FETCHING];

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

/// What was written no further from now than this, in seconds, is not removed: a record of the newest view may not name it yet, or it is being
/// written. A time in the future counts no longer, because a clock may have been set back.
pub(super) const FRESH: u64 = 120;

/// How long the newest view of a replica is kept like those that are read, after the last write for that replica, in seconds. Who reads it writes
/// its record every few seconds.
const IN_USE: i64 = 24 * 60 * 60;

/// The folders of replicas in a cache directory, of all versions of the format.
fn replica_folders(root: &Folder) -> Vec<Folder> {
    let versions = root.entries().unwrap_or_default().into_iter();
    let versions = versions.filter(|entry| entry.name.starts_with("litestream-vfs-"));
    let versions = versions.filter_map(|entry| root.folder(&entry.name).ok());
    let inside = |version: Folder| {
        let replicas = version.entries().unwrap_or_default();
        replicas.into_iter().filter_map(move |entry| version.folder(&entry.name).ok()).collect::<Vec<_>>()
    };
    versions.flat_map(inside).collect()
}

/// Returns the size of a cache directory on disk, in bytes.
pub(super) fn size(root: &Folder) -> u64 {
    let folders = replica_folders(root);
    folders.iter().flat_map(|folder| folder.entries().unwrap_or_default()).map(|entry| entry.allocated).sum()
}

/// Returns the time in seconds since 1970.
fn seconds() -> i64 {
    time::now_ms() / 1000
}

impl CacheDirectory {
    /// Evicts in the background if enough was written since the last time, or if the directory was too large before.
    pub(super) fn evict_if_due(self: &Arc<Self>) {
        let bound = self.bound.load(Ordering::Relaxed);
        // Many processes are too short to write enough.
        let is_due = self.written.load(Ordering::Relaxed) > bound / STEP
            || (!self.has_evicted.load(Ordering::Relaxed) && self.held() > bound);
        if !is_due || self.is_evicting.swap(true, Ordering::Relaxed) {
            return;
        }
        let directory = self.clone();
        let evict = move || {
            directory.evict(bound);
            directory.is_evicting.store(false, Ordering::Relaxed);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(evict)),
            Err(_) => evict(),
        }
    }

    /// Evicts until the directory is smaller than `bound`, unless another process is doing that.
    pub(in crate::replica) fn evict(&self, bound: u64) {
        self.written.store(0, Ordering::Relaxed);
        self.has_evicted.store(true, Ordering::Relaxed);
        let evicted = self.root.folder(FORMAT).and_then(|format| {
            let Some(lock) = format.try_lock(LOCK)? else { return Ok(size(&self.root)) };
            let contents = Contents::read(&self.root);
            let before = contents.size;
            let size = contents.shrink(bound);
            if size < before {
                // Not before it is evicted: who looks between would not look again.
                lock.file.set_modified(SystemTime::now())?;
            }
            Ok(size)
        });
        match evicted {
            Ok(size) => self.measured.store(size, Ordering::Relaxed),
            Err(error) => tracing::debug!("cannot evict from the cache directory: {error}"),
        }
    }

    /// Returns when something was evicted last, by any process. None if nothing was.
    pub(in crate::replica) fn last_eviction(&self) -> Option<SystemTime> {
        self.root.folder(FORMAT).ok()?.open_file(LOCK).ok()??.metadata().ok()?.modified().ok()
    }
}

/// Who needs a file. Those whose files are removed first are first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NeededBy {
    Nobody,
    /// Perhaps a later process: it belongs to the newest view of a replica for which something was last written at this time, in seconds since 1970.
    LaterProcess(i64),
    /// A process that reads the newest view of its replica.
    Reader,
}

/// A file of the cache directory.
pub(super) struct CachedFile {
    pub folder: usize,
    pub entry: FolderEntry,
    needed_by: NeededBy,
}

/// All files of a cache directory.
pub(super) struct Contents {
    pub folders: Vec<Folder>,
    pub files: Vec<CachedFile>,
    pub size: u64,
}

impl Contents {
    fn read(root: &Folder) -> Contents {
        let folders = replica_folders(root);
        let mut files = Vec::new();
        for (folder, open) in folders.iter().enumerate() {
            let current = current_stems(open);
            let entries = open.entries().unwrap_or_default();
            let user = user_of(&entries);
            let needed_by = |name: &str| {
                let is_of_view = name.split_once('.').is_some_and(|(stem, _)| current.contains(stem));
                if is_of_view || OF_PROCESSES.contains(&name) { user } else { NeededBy::Nobody }
            };
            let entries = entries.into_iter();
            files.extend(entries.map(|entry| CachedFile { folder, needed_by: needed_by(&entry.name), entry }));
        }
        let size = files.iter().map(|file| file.entry.allocated).sum();
        Contents { folders, files, size }
    }

    /// Removes leftovers, and more until the size is within the bound. Returns the size.
    fn shrink(mut self, bound: u64) -> u64 {
        self.files.sort_by_key(|file| (file.needed_by, file.entry.modified));
        let (target, now, is_over) = (target(bound), seconds(), self.size > bound);
        for at in 0..self.files.len() {
            let CachedFile { entry, needed_by, .. } = &self.files[at];
            let is_old = entry.modified.saturating_add(LEFTOVER) < now;
            let is_leftover = is_old && (entry.name.starts_with(TEMPORARY) || entry.name.starts_with("0-"));
            let is_excess = is_over && self.size > target && entry.modified.abs_diff(now) > FRESH;
            if *needed_by == NeededBy::Nobody && is_leftover || *needed_by < NeededBy::Reader && is_excess {
                self.remove(at);
            }
        }
        if is_over && self.size > target {
            self.punch(self.size - target);
        }
        self.size
    }

    pub(super) fn remove(&mut self, at: usize) {
        let CachedFile { folder, entry, .. } = &self.files[at];
        let folder = &self.folders[*folder];
        // A process that has the file open keeps its space, so the file is emptied first. One that is being written may get its final name now.
        if !entry.name.starts_with(TEMPORARY)
            && let Ok(Some(file)) = folder.open_file(&entry.name)
        {
            let _ = file.set_len(0);
        }
        if folder.remove(&entry.name).is_ok() {
            self.size -= entry.allocated;
        }
    }
}

/// Returns who needs the newest view of the replica with these files.
fn user_of(files: &[FolderEntry]) -> NeededBy {
    let now = seconds();
    let times = files.iter().map(|file| file.modified).filter(|time| *time <= now.saturating_add_unsigned(FRESH));
    let last = times.max().unwrap_or(i64::MIN);
    if last.saturating_add(IN_USE) < now { NeededBy::LaterProcess(last) } else { NeededBy::Reader }
}

/// Returns the stems of the files of the newest view of a replica.
fn current_stems(folder: &Folder) -> HashSet<String> {
    let head = folder.read(HEAD, MAX_HEAD).ok().flatten();
    let stems = head.as_deref().and_then(FieldReader::open).and_then(|mut fields| fields.text().map(str::to_owned));
    stems.unwrap_or_default().lines().map(str::to_owned).collect()
}
