//! Pages that were evicted from memory, in a temporary file.
//!
//! A query that reads much of a database at random, such as a join by an index, needs all of it nearby, because each
//! page that is not costs a round trip. Therefore pages that are evicted from memory are written to a file. The file is
//! in the directory that SQLite would use for its own temporary files, has no name, and is removed when the process
//! ends. Reading a page from it costs as much as reading a page of a local database.

mod slots;
#[cfg(test)]
mod tests;

use crate::lock::{Mutex, RwLock};
use crate::pread::read_exact_at;
use crate::replica::cache::spare::Spare;
use crate::replica::cache::{Page, PageKey};
use slots::{DiskSlot, DiskState};
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long the file stays at its size after it could not grow. Disk space or file descriptors may become available
/// again.
const PAUSE: Duration = Duration::from_secs(60);

/// Upper bound of the number of slots, however small the pages are. A slot takes 40 bytes of memory.
const MAX_SLOTS: usize = 1 << 18;

/// The temporary file of a cache.
pub(super) struct Disk {
    /// Upper bound of the file's size in bytes.
    bound: AtomicU64,
    /// Upper bound of the number of slots: [`MAX_SLOTS`], or the current number while the file cannot grow.
    max_slots: AtomicUsize,
    /// When the file last could not grow.
    growth_failed_at: Mutex<Option<Instant>>,
    /// The size of all slots in bytes. Whoever has the lock of the state can wait for the disk.
    held: AtomicU64,
    state: RwLock<DiskState>,
}

impl Disk {
    pub(super) fn new(bound: u64) -> Disk {
        Disk {
            bound: AtomicU64::new(bound),
            max_slots: AtomicUsize::new(MAX_SLOTS),
            growth_failed_at: Mutex::default(),
            held: AtomicU64::new(0),
            state: RwLock::default(),
        }
    }

    /// Sets the upper bound of the size. The file does not shrink.
    pub(super) fn resize(&self, bound: u64) {
        self.bound.store(bound, Ordering::Relaxed);
    }

    /// Returns how many bytes of pages of this size the file can contain.
    pub(super) fn room(&self, page_size: u32) -> u64 {
        self.slots_for(page_size as usize) as u64 * u64::from(page_size)
    }

    fn slots_for(&self, page_size: usize) -> usize {
        let bound = self.bound.load(Ordering::Relaxed) / page_size as u64;
        usize::try_from(bound).unwrap_or(usize::MAX).min(self.max_slots())
    }

    fn max_slots(&self) -> usize {
        let max = self.max_slots.load(Ordering::Relaxed);
        if max == MAX_SLOTS || self.growth_failed_at.lock().is_some_and(|at| at.elapsed() < PAUSE) {
            return max;
        }
        self.max_slots.store(MAX_SLOTS, Ordering::Relaxed);
        MAX_SLOTS
    }

    /// Returns how many bytes of pages the file contains. Waits for nothing.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.held() == 0
    }

    pub(super) fn contains(&self, key: PageKey) -> bool {
        !self.is_empty() && self.state.read().positions.contains_key(&key)
    }

    /// Returns a page and marks it as read. The page stays in the file. Uses memory of `spare` if that is given, for a
    /// page that goes back to the cache in memory.
    pub(super) fn get(&self, key: PageKey, spare: Option<&Spare>) -> Option<Page> {
        self.read(key, spare, |unread| unread.swap(0, Ordering::Relaxed))
    }

    /// Returns a page without marking it as read.
    pub(super) fn peek(&self, key: PageKey) -> Option<Page> {
        self.read(key, None, |unread| unread.load(Ordering::Relaxed))
    }

    fn read(&self, key: PageKey, spare: Option<&Spare>, unread: impl FnOnce(&AtomicU32) -> u32) -> Option<Page> {
        if self.is_empty() {
            return None;
        }
        // No slot is written while this lock is held.
        let state = self.state.read();
        let position = *state.positions.get(&key)?;
        let (file, slot) = (state.file.as_ref()?, state.slots.get(position)?);
        let fill = |bytes: &mut [u8]| read_exact_at(file, bytes, (position * state.page_size) as u64);
        let (size, unread) = (state.page_size as u32, unread(&slot.unread));
        match spare.map_or_else(|| Page::new(size, unread, fill), |spare| spare.page(size, unread, fill)) {
            Ok(page) => Some(page),
            // The page can be fetched from the store again.
            Err(error) => {
                tracing::debug!("cannot read a page from the temporary file: {error}");
                None
            }
        }
    }

    /// Writes a page that was evicted from memory.
    pub(super) fn put(&self, key: PageKey, page: &Page) {
        // Most evicted pages are in the file already. This check takes only the shared lock, so readers do not wait.
        if self.slots_for(page.len()) == 0 || self.contains(key) {
            return;
        }
        let mut state = self.state.write();
        if state.page_size != page.len() {
            *state = DiskState { file: state.file.take(), page_size: page.len(), ..DiskState::default() };
        }
        if state.positions.contains_key(&key) {
            return;
        }
        let position = match state.slots.len() {
            next if next < self.slots_for(page.len()) => next,
            _ => state.oldest,
        };
        match state.write(position, page) {
            Ok(()) => state.set(position, DiskSlot { key, unread: AtomicU32::new(page.unread_frame_size()) }),
            Err(error) => {
                if position < state.slots.len() {
                    // The content of the slot is undefined now.
                    *state = DiskState::default();
                }
                self.pause_growth(state.slots.len(), &error);
            }
        }
        self.held.store(state.slots.len() as u64 * state.page_size as u64, Ordering::Relaxed);
    }

    /// Gives a page another key, if it is there.
    pub(super) fn rename(&self, from: PageKey, to: PageKey) {
        if self.is_empty() {
            return;
        }
        let mut state = self.state.write();
        if let Some(position) = state.positions.remove(&from) {
            state.slots[position].key = to;
            state.positions.insert(to, position);
        }
    }

    /// Removes all pages of a replica's file. Their slots are overwritten when they are the oldest.
    pub(super) fn forget(&self, file: u32) {
        if !self.is_empty() {
            self.state.write().positions.retain(|key, _| key.file != file);
        }
    }

    /// Keeps the number of slots for the duration of [`PAUSE`]. Logs a warning the first time.
    fn pause_growth(&self, slots: usize, error: &io::Error) {
        let is_first = self.growth_failed_at.lock().replace(Instant::now()).is_none();
        self.max_slots.store(slots, Ordering::Relaxed);
        if is_first {
            tracing::warn!(
                "the temporary file for pages cannot grow, so pages that do not fit are fetched again: {error}; set \
                 TMPDIR to a directory with free space, or set disk_cache_size=0"
            );
        }
    }
}
