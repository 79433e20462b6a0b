//! Pages that memory has no room for, in a temporary file.
//!
//! Somebody who reads much of a database at random, as a join by an index does, needs all of it near: each page that is not
//! costs a round trip. So pages that leave memory are written to a file without a name, which goes with the process, where
//! SQLite would put its own temporary files. A page there costs what a page of a local database costs.
//!
//! The file is a row of slots of one page each. When all are taken the oldest is taken again.

use crate::lock::{Mutex, RwLock};
use crate::pread::{read_exact_at, temporary, write_all_at};
use crate::replica::cache::spare::Spare;
use crate::replica::cache::{Page, PageKey};
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long it stays as large as it is once it could not grow: what is used up may come back, as room on the disk or file
/// descriptors.
const PAUSE: Duration = Duration::from_secs(60);

/// More slots are never used, however small the pages: each takes 40 bytes of memory.
const MOST_SLOTS: usize = 1 << 18;

/// The temporary file of a cache.
pub(super) struct Disk {
    /// In bytes.
    bound: AtomicU64,
    /// Less than the bound allows while the file could not grow lately.
    most_slots: AtomicUsize,
    /// When it last could not grow.
    gave_up: Mutex<Option<Instant>>,
    taken: AtomicUsize,
    state: RwLock<DiskState>,
}

#[derive(Default)]
struct DiskState {
    /// Made when the first page comes.
    file: Option<File>,
    page_size: usize,
    places: HashMap<PageKey, usize, FixedState>,
    slots: Vec<DiskSlot>,
    /// The slot to take next when all are taken.
    oldest: usize,
}

struct DiskSlot {
    key: PageKey,
    /// As the page's own [`Page::guess`].
    guess: AtomicU32,
}

impl Disk {
    pub(super) fn new(bound: u64) -> Disk {
        let (most_slots, taken) = (AtomicUsize::new(MOST_SLOTS), AtomicUsize::new(0));
        Disk { bound: AtomicU64::new(bound), most_slots, gave_up: Mutex::default(), taken, state: RwLock::default() }
    }

    pub(super) fn resize(&self, bound: u64) {
        self.bound.store(bound, Ordering::Relaxed);
    }

    /// How many bytes of pages of a size it can hold.
    pub(super) fn room(&self, page_size: u32) -> u64 {
        self.slots_for(page_size as usize) as u64 * u64::from(page_size)
    }

    fn slots_for(&self, page_size: usize) -> usize {
        let bound = self.bound.load(Ordering::Relaxed) / page_size as u64;
        usize::try_from(bound).unwrap_or(usize::MAX).min(self.most_slots())
    }

    fn most_slots(&self) -> usize {
        let most = self.most_slots.load(Ordering::Relaxed);
        if most == MOST_SLOTS || self.gave_up.lock().is_some_and(|at| at.elapsed() < PAUSE) {
            return most;
        }
        self.most_slots.store(MOST_SLOTS, Ordering::Relaxed);
        MOST_SLOTS
    }

    /// How many bytes of pages it holds.
    pub(super) fn held(&self) -> u64 {
        let state = self.state.read();
        state.slots.len() as u64 * state.page_size as u64
    }

    fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == 0
    }

    pub(super) fn contains(&self, key: PageKey) -> bool {
        !self.is_empty() && self.state.read().places.contains_key(&key)
    }

    /// A page that somebody reads: from now on it was read, and it stays.
    /// In memory of `spare`, if it goes back to the cache.
    pub(super) fn take(&self, key: PageKey, spare: Option<&Spare>) -> Option<Page> {
        self.page(key, spare, |guess| guess.swap(0, Ordering::Relaxed))
    }

    /// A page that is looked at.
    pub(super) fn look_at(&self, key: PageKey) -> Option<Page> {
        self.page(key, None, |guess| guess.load(Ordering::Relaxed))
    }

    fn page(&self, key: PageKey, spare: Option<&Spare>, guess: impl FnOnce(&AtomicU32) -> u32) -> Option<Page> {
        if self.is_empty() {
            return None;
        }
        // While this is held no slot is written.
        let state = self.state.read();
        let place = *state.places.get(&key)?;
        let (file, slot) = (state.file.as_ref()?, state.slots.get(place)?);
        let read = |bytes: &mut [u8]| read_exact_at(file, bytes, (place * state.page_size) as u64);
        let (size, guess) = (state.page_size as u32, guess(&slot.guess));
        match spare.map_or_else(|| Page::new(size, guess, read), |spare| spare.page(size, guess, read)) {
            Ok(page) => Some(page),
            // It can be fetched again.
            Err(error) => {
                tracing::debug!("a page cannot be read from the temporary file: {error}");
                None
            }
        }
    }

    /// Keeps a page that leaves memory.
    pub(super) fn put(&self, key: PageKey, page: &Page) {
        // Most pages that leave memory have been here before, and readers do not wait for each other.
        if self.slots_for(page.len()) == 0 || self.contains(key) {
            return;
        }
        let mut state = self.state.write();
        if state.page_size != page.len() {
            *state = DiskState { file: state.file.take(), page_size: page.len(), ..DiskState::default() };
        }
        if state.places.contains_key(&key) {
            return;
        }
        let place = match state.slots.len() {
            free if free < self.slots_for(page.len()) => free,
            _ => state.oldest,
        };
        match state.write(place, page) {
            Ok(()) => state.take(place, DiskSlot { key, guess: AtomicU32::new(page.guess()) }),
            Err(error) => {
                if place < state.slots.len() {
                    // Nobody knows what stands there now.
                    *state = DiskState::default();
                }
                self.give_up(state.slots.len(), &error);
            }
        }
        self.taken.store(state.slots.len(), Ordering::Relaxed);
    }

    /// Forgets all pages of a file. Their slots are taken again in their turn.
    pub(super) fn forget(&self, file: u32) {
        if !self.is_empty() {
            self.state.write().places.retain(|key, _| key.file != file);
        }
    }

    /// Stays as large as it is for a while.
    fn give_up(&self, slots: usize, error: &io::Error) {
        let is_first = self.gave_up.lock().replace(Instant::now()).is_none();
        self.most_slots.store(slots, Ordering::Relaxed);
        if is_first {
            tracing::warn!(
                "the temporary file for pages cannot grow, and what has no room is fetched again: {error}; give TMPDIR a \
                 directory with room, or set disk_cache_size=0"
            );
        }
    }
}

impl DiskState {
    fn write(&mut self, place: usize, page: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(temporary()?),
        };
        write_all_at(file, page, (place * self.page_size) as u64)
    }

    fn take(&mut self, place: usize, slot: DiskSlot) {
        if place == self.slots.len() {
            self.places.insert(slot.key, place);
            return self.slots.push(slot);
        }
        // A page that was forgotten may be elsewhere by now.
        let before = self.slots[place].key;
        if self.places.get(&before) == Some(&place) {
            self.places.remove(&before);
        }
        self.places.insert(slot.key, place);
        self.slots[place] = slot;
        self.oldest = (place + 1) % self.slots.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u32 = 512;

    fn page(content: u8) -> Page {
        page_of(SIZE, content)
    }

    fn page_of(size: u32, content: u8) -> Page {
        let fill = |bytes: &mut [u8]| {
            bytes.fill(content);
            Ok::<(), ()>(())
        };
        Page::new(size, 0, fill).expect("a page")
    }

    fn key(pgno: u32) -> PageKey {
        PageKey { file: 7, pgno }
    }

    fn content(disk: &Disk, pgno: u32) -> Option<u8> {
        let page = disk.take(key(pgno), None)?;
        assert!(page.iter().all(|byte| *byte == page[0]));
        Some(page[0])
    }

    #[test]
    fn pages_come_back_as_they_were_and_the_oldest_make_room() {
        let disk = Disk::new(4 * u64::from(SIZE) + 100);
        (1..=6).for_each(|pgno| disk.put(key(pgno), &page(pgno as u8)));
        let found: Vec<_> = (1..=6).map(|pgno| content(&disk, pgno)).collect();
        assert_eq!(found, [None, None, Some(3), Some(4), Some(5), Some(6)]);
        assert_eq!((disk.held(), disk.room(SIZE)), (4 * u64::from(SIZE), 4 * u64::from(SIZE)));
        assert!(disk.contains(key(3)) && !disk.contains(key(1)));
    }

    #[test]
    fn pages_of_a_file_that_was_forgotten_are_gone_and_can_come_again() {
        let disk = Disk::new(3 * u64::from(SIZE));
        let other = PageKey { file: 8, pgno: 1 };
        disk.put(key(1), &page(1));
        disk.put(other, &page(2));
        disk.forget(7);
        assert_eq!((content(&disk, 1), disk.take(other, None).map(|page| page[0])), (None, Some(2)));
        (1..=3).for_each(|pgno| disk.put(key(pgno), &page(pgno as u8 + 10)));
        assert_eq!([1, 2, 3].map(|pgno| content(&disk, pgno)), [Some(11), Some(12), Some(13)]);
    }

    #[test]
    fn pages_of_another_size_take_the_place_of_all() {
        let disk = Disk::new(1 << 20);
        disk.put(key(1), &page(1));
        disk.put(key(2), &page_of(1024, 9));
        assert_eq!((content(&disk, 1), content(&disk, 2), disk.held()), (None, Some(9), 1024));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_done_without() {
        let disk = Disk::new(1 << 20);
        let file = tempfile::NamedTempFile::new().expect("a file");
        disk.state.write().file = Some(File::open(file.path()).expect("the file, to read"));
        disk.put(key(1), &page(1));
        assert_eq!((content(&disk, 1), disk.held(), disk.room(SIZE)), (None, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_be_written_for_a_while_is_tried_again() {
        let disk = Disk::new(1 << 20);
        let file = tempfile::NamedTempFile::new().expect("a file");
        disk.state.write().file = Some(File::open(file.path()).expect("the file, to read"));
        disk.put(key(1), &page(1));
        disk.state.write().file = None;
        disk.put(key(1), &page(1));
        assert_eq!((content(&disk, 1), disk.room(SIZE)), (None, 0), "it was tried just now");
        tokio::time::advance(PAUSE).await;
        disk.put(key(1), &page(1));
        assert_eq!((content(&disk, 1), disk.room(SIZE)), (Some(1), 1 << 20));
    }

    #[test]
    fn one_that_fails_later_keeps_what_it_has_and_never_mixes_pages() {
        let disk = Disk::new(2 * u64::from(SIZE));
        (1..=2).for_each(|pgno| disk.put(key(pgno), &page(pgno as u8)));
        let file = tempfile::NamedTempFile::new().expect("a file");
        disk.state.write().file = Some(File::open(file.path()).expect("the file, to read"));
        // In the place of page 1, which may be half overwritten.
        disk.put(key(3), &page(3));
        assert_eq!([1, 2, 3].map(|pgno| content(&disk, pgno)), [None; 3]);
    }
}
