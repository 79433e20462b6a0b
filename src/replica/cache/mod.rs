//! Decoded pages, in memory and then in a temporary file, bounded in bytes. Its keys name content, so nothing is ever
//! invalidated, but for the pages of a file of which wrong bytes came.

mod disk;
mod page;
mod spare;
mod unread;

pub use page::Page;

use disk::Disk;
use foldhash::fast::FixedState;
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};
use spare::Spare;
use std::sync::atomic::{AtomicU32, Ordering};
use unread::Unread;

/// A page version: the number of the file it lies in, and its page number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct PageKey {
    pub file: u32,
    pub pgno: u32,
}

/// Bounds of a cache, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheLimits {
    /// In memory.
    pub memory: u64,
    /// In a temporary file.
    pub disk: u64,
}

impl CacheLimits {
    /// What suits both who ask for one and who ask for the other.
    pub(super) fn max(self, other: CacheLimits) -> CacheLimits {
        CacheLimits { memory: self.memory.max(other.memory), disk: self.disk.max(other.disk) }
    }
}

/// Pages by version.
pub(super) struct PageCache {
    pages: Cache<PageKey, Page, Weight, FixedState, Leaving>,
    disk: Disk,
    spare: Spare,
    fetched_back: AtomicU32,
    unread: Unread,
}

#[derive(Clone)]
struct Weight;

/// Hands over the pages that leave memory.
#[derive(Clone)]
struct Leaving;

/// The share of the cache that is kept for pages which were read more than once.
const HOT: f64 = 0.6;

/// A cache below this many bytes is in one piece.
const SMALL: u64 = 4 << 20;

/// One of so many pages that come from the file goes back to memory.
const ONE_OF: u32 = 4;

/// What a page costs beside its bytes: the reference counts and the cache's own entry.
const OVERHEAD: u64 = 64;

impl Weighter<PageKey, Page> for Weight {
    fn weight(&self, _: &PageKey, page: &Page) -> u64 {
        weight(page)
    }
}

fn weight(page: &Page) -> u64 {
    page.len() as u64 + OVERHEAD
}

impl Lifecycle<PageKey, Page> for Leaving {
    type RequestState = Vec<(PageKey, Page)>;

    fn on_evict(&self, leaving: &mut Vec<(PageKey, Page)>, key: PageKey, page: Page) {
        leaving.push((key, page));
    }
}

impl PageCache {
    /// Holds pages up to the bounds.
    pub(super) fn new(bounds: CacheLimits) -> PageCache {
        let mut options = OptionsBuilder::new();
        let pages = (bounds.memory / 4096).min(1 << 20) as usize;
        options.estimated_items_capacity(pages).weight_capacity(bounds.memory);
        // Guesses enter cold, and those of a long scan must not push each other out before they are read.
        options.hot_allocation(HOT);
        if bounds.memory < SMALL {
            // One shard of several would overflow while another has room.
            options.shards(1);
        }
        let options = options.build().unwrap_or_else(|_| unreachable!("both capacities are set"));
        let pages = Cache::with_options(options, Weight, FixedState::default(), Leaving);
        let (disk, spare, unread) = (Disk::new(bounds.disk), Spare::default(), Unread::default());
        PageCache { pages, disk, spare, fetched_back: AtomicU32::new(0), unread }
    }

    /// Moves the bounds. What is in the temporary file stays there.
    pub(super) fn resize(&self, bounds: CacheLimits) {
        if self.pages.capacity() != bounds.memory {
            self.pages.set_capacity(bounds.memory);
        }
        self.disk.resize(bounds.disk);
    }

    /// The bound of memory in bytes.
    pub(super) fn capacity(&self) -> u64 {
        self.pages.capacity()
    }

    /// How many bytes of pages of a size it can hold, in memory and in its file.
    pub(super) fn room(&self, page_size: u32) -> u64 {
        self.capacity().saturating_add(self.disk.room(page_size))
    }

    /// How many more pages of a size may be fetched before anybody asks for them, so that they stay until they are read:
    /// what is free, or three quarters of what pages that were read once may take, less those that are there; and what has
    /// room in the file. Who guesses badly gets a `part` of that alone, so that the others have some left.
    pub(super) fn room_for_unread(&self, page_size: u32, part: u64) -> u64 {
        let (free, cold) = (self.capacity().saturating_sub(self.pages.weight()), self.cold());
        let room = (free / part).max((cold / 4 * 3 / part).saturating_sub(self.unread.weight()));
        room.saturating_add(self.disk.room(page_size)) / (u64::from(page_size) + OVERHEAD)
    }

    /// How many bytes of pages that were not read twice stay.
    fn cold(&self) -> u64 {
        (self.capacity() as f64 * (1.0 - HOT)) as u64
    }

    /// Somebody reads a page. Answers the length of its frame if it was a guess and this is its first use, else 0.
    pub(super) fn first_use(&self, page: &Page) -> u32 {
        let guess = page.first_use();
        if guess != 0 {
            self.unread.less(weight(page));
        }
        guess
    }

    /// What is in memory, and what is in the file, in bytes.
    pub(super) fn held(&self) -> CacheLimits {
        CacheLimits { memory: self.pages.weight(), disk: self.disk.held() }
    }

    /// A page that somebody reads.
    #[inline]
    pub(super) fn get(&self, key: PageKey) -> Option<Page> {
        self.pages.get(&key).or_else(|| self.fetch_back(key))
    }

    /// A page from the file. One of a few goes back to memory, so that those which are read often are soon there, and the
    /// others do not pay for it.
    fn fetch_back(&self, key: PageKey) -> Option<Page> {
        let is_kept = self.fetched_back.fetch_add(1, Ordering::Relaxed).is_multiple_of(ONE_OF);
        let page = self.disk.take(key, is_kept.then_some(&self.spare))?;
        if is_kept {
            self.insert(key, page.clone());
        }
        Some(page)
    }

    /// A page that is looked at, without counting as a use.
    pub(super) fn peek(&self, key: PageKey) -> Option<Page> {
        self.pages.peek(&key).or_else(|| self.disk.look_at(key))
    }

    /// Whether it is there, without counting as a use.
    pub(super) fn contains(&self, key: PageKey) -> bool {
        self.pages.contains_key(&key) || self.disk.contains(key)
    }

    pub(super) fn insert(&self, key: PageKey, page: Page) {
        let mut leaving = Vec::new();
        self.unread.note(&page, self.cold());
        self.pages.insert_with_lifecycle(key, page, &mut leaving);
        for (key, page) in leaving {
            self.disk.put(key, &page);
            self.spare.give(page);
        }
    }

    /// Forgets all pages of a file.
    pub(super) fn forget(&self, file: u32) {
        self.pages.retain(|key, _| key.file != file);
        self.disk.forget(file);
    }

    /// A page of `size` bytes, which `fill` writes; `guess` is the length of its frame if nobody asked for it, else 0. It
    /// is not in the cache yet.
    pub(super) fn page<E>(
        &self,
        size: u32,
        guess: u32,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Page, E> {
        self.spare.page(size, guess, fill)
    }
}
