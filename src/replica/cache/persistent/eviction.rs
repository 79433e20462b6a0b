//! Keeps the cache directory within its bound.
//!
//! What belongs to no newest view goes first, the oldest before the others. Then the oldest pages of the newest views
//! are punched out of their files. One process at a time does this; readers take no lock and see a miss at worst.

use super::sealed::FieldReader;
use super::slots::{SlotTrailer, TRAILER, TRAILERS, group_size};
use super::{CacheDirectory, FORMAT, HEAD, MAX_HEAD};
use crate::pread::{read_exact_at, write_all_at};
use crate::replica::folder::{self, Folder, FolderEntry, TEMPORARY};
use crate::time;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The lock of the process that evicts.
const LOCK: &str = "lock";

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

impl CacheDirectory {
    /// Evicts in the background if enough was written since the last time.
    pub(super) fn evict_if_due(self: &Arc<Self>) {
        let bound = self.bound.load(Ordering::Relaxed);
        if self.written.load(Ordering::Relaxed) <= bound / STEP || self.is_evicting.swap(true, Ordering::Relaxed) {
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
    pub(super) fn evict(&self, bound: u64) {
        self.written.store(0, Ordering::Relaxed);
        let evicted = self.root.folder(FORMAT).and_then(|format| {
            let Some(_lock) = format.try_lock(LOCK)? else { return Ok(size(&self.root)) };
            Ok(Contents::read(&self.root).shrink(bound))
        });
        match evicted {
            Ok(size) => self.measured.store(size, Ordering::Relaxed),
            Err(error) => tracing::debug!("cannot evict from the cache directory: {error}"),
        }
    }
}

/// A file of the cache directory.
struct CachedFile {
    folder: usize,
    entry: FolderEntry,
    /// Whether it belongs to a file of the newest view of its replica.
    is_current: bool,
}

/// All files of a cache directory.
struct Contents {
    folders: Vec<Folder>,
    files: Vec<CachedFile>,
    size: u64,
}

impl Contents {
    fn read(root: &Folder) -> Contents {
        let folders = replica_folders(root);
        let mut files = Vec::new();
        for (folder, open) in folders.iter().enumerate() {
            let current = current_stems(open);
            let is_current =
                |name: &str| name == HEAD || name.split_once('.').is_some_and(|(stem, _)| current.contains(stem));
            let entries = open.entries().unwrap_or_default().into_iter();
            files.extend(entries.map(|entry| CachedFile { folder, is_current: is_current(&entry.name), entry }));
        }
        let size = files.iter().map(|file| file.entry.allocated).sum();
        Contents { folders, files, size }
    }

    /// Removes leftovers, and more until the size is within the bound. Returns the size.
    fn shrink(mut self, bound: u64) -> u64 {
        self.files.sort_by_key(|file| (file.is_current, file.entry.modified));
        let (target, now) = (target(bound), time::now_ms() / 1000);
        let is_over = self.size > bound;
        for at in 0..self.files.len() {
            let CachedFile { entry, is_current, .. } = &self.files[at];
            let is_old = entry.modified.saturating_add(LEFTOVER) < now;
            let is_leftover = is_old && (entry.name.starts_with(TEMPORARY) || entry.name.starts_with("0-"));
            if !is_current && (is_leftover || is_over && self.size > target) {
                self.remove(at);
            }
        }
        if is_over && self.size > target {
            self.punch(self.size - target);
        }
        self.size
    }

    fn remove(&mut self, at: usize) {
        let CachedFile { folder, entry, .. } = &self.files[at];
        let folder = &self.folders[*folder];
        // A process that has the file open keeps its space, so the file is emptied first.
        if let Ok(Some(file)) = folder.open_file(&entry.name) {
            let _ = file.set_len(0);
        }
        if folder.remove(&entry.name).is_ok() {
            self.size -= entry.allocated;
        }
    }

    /// Frees at least `bytes` of the oldest pages of the newest views. Where that is not possible, removes whole files.
    fn punch(&mut self, bytes: u64) {
        let files: Vec<usize> = (0..self.files.len()).filter(|at| self.page_size(*at).is_some()).collect();
        let mut ages: BTreeMap<u32, u64> = BTreeMap::new();
        for at in &files {
            let Some((slots, page_size)) = self.open_slots(*at) else { continue };
            let _ = each_group(&slots, page_size, |_, trailers| {
                trailers
                    .iter()
                    .for_each(|(_, trailer)| *ages.entry(trailer.written).or_default() += u64::from(page_size));
                Ok(())
            });
        }
        let mut freed = 0;
        let oldest = ages.into_iter().take_while(|(_, size)| {
            freed += size;
            freed - size < bytes
        });
        let Some((until, _)) = oldest.last() else { return };
        for at in files {
            let Some((slots, page_size)) = self.open_slots(at) else { continue };
            let punched =
                each_group(&slots, page_size, |group, trailers| punch_group(&slots, page_size, group, trailers, until));
            if punched.is_err() && self.size > 0 {
                self.remove(at);
            } else if let Ok(metadata) = slots.metadata() {
                let now = folder::allocated(&metadata);
                self.size = self.size.saturating_sub(self.files[at].entry.allocated.saturating_sub(now));
            }
        }
    }

    /// Returns the page size of a file of pages. None for other files.
    fn page_size(&self, at: usize) -> Option<u32> {
        let (_, kind) = self.files[at].entry.name.split_once('.')?;
        let size = u32::from_str_radix(kind.strip_prefix("p-")?.rsplit('-').next()?, 16).ok()?;
        (512..=65536).contains(&size).then_some(size)
    }

    fn open_slots(&self, at: usize) -> Option<(File, u32)> {
        let CachedFile { folder, entry, .. } = &self.files[at];
        Some((self.folders[*folder].open_file(&entry.name).ok()??, self.page_size(at)?))
    }
}

/// Returns the stems of the files of the newest view of a replica.
fn current_stems(folder: &Folder) -> HashSet<String> {
    let head = folder.read(HEAD, MAX_HEAD).ok().flatten();
    let stems = head.as_deref().and_then(FieldReader::open).and_then(|mut fields| fields.text().map(str::to_owned));
    stems.unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Passes the offset of each group of a file of pages, and its slots that have a page, to `each`.
fn each_group(
    file: &File,
    page_size: u32,
    mut each: impl FnMut(u64, &[(usize, SlotTrailer)]) -> io::Result<()>,
) -> io::Result<()> {
    let (size, mut block) = (file.metadata()?.len(), [0; TRAILERS]);
    let mut group = 0;
    // Holes are skipped: the length of the file says nothing about its content.
    while let Some(data) = folder::next_data(file, group) {
        group = data / group_size(page_size) * group_size(page_size);
        if group + TRAILERS as u64 > size {
            break;
        }
        read_exact_at(file, &mut block, group)?;
        let (trailers, _) = block.as_chunks::<TRAILER>();
        let trailers: Vec<(usize, SlotTrailer)> = trailers.iter().map(SlotTrailer::parse).enumerate().collect();
        let used: Vec<(usize, SlotTrailer)> = trailers.into_iter().filter(|(_, trailer)| !trailer.is_empty()).collect();
        if !used.is_empty() {
            each(group, &used)?;
        }
        group += group_size(page_size);
    }
    Ok(())
}

/// Punches the pages of a group out of their file that were written at `until` or before.
fn punch_group(
    file: &File,
    page_size: u32,
    group: u64,
    trailers: &[(usize, SlotTrailer)],
    until: u32,
) -> io::Result<()> {
    let old: Vec<usize> =
        trailers.iter().filter(|(_, trailer)| trailer.written <= until).map(|(slot, _)| *slot).collect();
    for run in old.chunk_by(|one, other| one + 1 == *other) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let slots = *first as u64..*last as u64 + 1;
        let empty = vec![0; (slots.end - slots.start) as usize * TRAILER];
        write_all_at(file, &empty, group + slots.start * TRAILER as u64)?;
        let pages = group + TRAILERS as u64;
        let [start, end] = [slots.start, slots.end].map(|slot| pages + slot * u64::from(page_size));
        folder::punch_hole(file, start..end)?;
    }
    Ok(())
}
