//! Decoded pages, in memory and then in a temporary file, bounded in bytes. Its keys name content, so nothing is ever
//! invalidated.

mod disk;
mod page;
mod spare;

pub use page::Page;

use disk::Disk;
use foldhash::fast::FixedState;
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};
use spare::Spare;
use std::sync::atomic::{AtomicU32, Ordering};

/// A page version: the number of the file it lies in, and its page number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct PageKey {
    pub file: u32,
    pub pgno: u32,
}

/// Bounds of a cache, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// In memory.
    pub memory: u64,
    /// In a temporary file.
    pub disk: u64,
}

impl Bounds {
    /// What suits both who ask for one and who ask for the other.
    pub(super) fn max(self, other: Bounds) -> Bounds {
        Bounds { memory: self.memory.max(other.memory), disk: self.disk.max(other.disk) }
    }
}

/// Pages by version.
pub(super) struct PageCache {
    pages: Cache<PageKey, Page, Weight, FixedState, Leaving>,
    disk: Disk,
    spare: Spare,
    fetched_back: AtomicU32,
}

#[derive(Clone)]
struct Weight;

/// Hands over the pages that leave memory.
#[derive(Clone)]
struct Leaving;

/// The share of the cache that is kept for pages which were read more than once.
const HOT: f64 = 0.6;

/// One of so many pages that come from the file goes back to memory.
const ONE_OF: u32 = 4;

/// What a page costs beside its bytes: the reference counts and the cache's own entry.
const OVERHEAD: u64 = 64;

impl Weighter<PageKey, Page> for Weight {
    fn weight(&self, _: &PageKey, page: &Page) -> u64 {
        page.len() as u64 + OVERHEAD
    }
}

impl Lifecycle<PageKey, Page> for Leaving {
    type RequestState = Vec<(PageKey, Page)>;

    fn on_evict(&self, leaving: &mut Vec<(PageKey, Page)>, key: PageKey, page: Page) {
        leaving.push((key, page));
    }
}

impl PageCache {
    /// Holds pages up to the bounds.
    pub(super) fn new(bounds: Bounds) -> PageCache {
        let mut options = OptionsBuilder::new();
        let pages = (bounds.memory / 4096).min(1 << 20) as usize;
        options.estimated_items_capacity(pages).weight_capacity(bounds.memory);
        // Guesses enter cold, and those of a long scan must not push each other out before they are read.
        options.hot_allocation(HOT);
        let options = options.build().unwrap_or_else(|_| unreachable!("both capacities are set"));
        let pages = Cache::with_options(options, Weight, FixedState::default(), Leaving);
        PageCache { pages, disk: Disk::new(bounds.disk), spare: Spare::default(), fetched_back: AtomicU32::new(0) }
    }

    /// Moves the bounds. What is in the temporary file stays there.
    pub(super) fn resize(&self, bounds: Bounds) {
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

    /// What is in memory, and what is in the file, in bytes.
    pub(super) fn held(&self) -> Bounds {
        Bounds { memory: self.pages.weight(), disk: self.disk.held() }
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
        self.pages.insert_with_lifecycle(key, page, &mut leaving);
        for (key, page) in leaving {
            self.disk.put(key, &page);
            self.spare.give(page);
        }
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
