//! The page cache: decoded pages, in memory and in a temporary file.
//!
//! A key identifies the content of a page, so entries are never invalidated. The only exception are the pages of a file
//! of which wrong bytes were read.
//!
//! | module | contents |
//! |---|---|
//! | `page` | a decoded page, and whether it was fetched speculatively and has not been read |
//! | `disk` | the temporary file for pages that are evicted from memory |
//! | `spare` | reuses the memory of evicted pages |
//! | `unread` | counts speculatively fetched pages that have not been read |

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

/// A version of a page: the [number](crate::replica::files::ltx_file::LtxFile::number) of the file that contains it,
/// and its page number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct PageKey {
    pub file: u32,
    pub pgno: u32,
}

/// Upper bounds of the size of a cache, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheLimits {
    /// Size in memory.
    pub memory: u64,
    /// Size of the temporary file.
    pub disk: u64,
}

impl CacheLimits {
    /// Returns the larger of each bound.
    pub(super) fn max(self, other: CacheLimits) -> CacheLimits {
        CacheLimits { memory: self.memory.max(other.memory), disk: self.disk.max(other.disk) }
    }
}

/// Pages by version.
pub(super) struct PageCache {
    pages: Cache<PageKey, Page, PageWeighter, FixedState, EvictionCollector>,
    disk: Disk,
    spare: Spare,
    /// How many pages have been read from the temporary file.
    disk_reads: AtomicU32,
    unread: Unread,
}

#[derive(Clone)]
struct PageWeighter;

/// Collects the pages that an insertion evicts from memory.
#[derive(Clone)]
struct EvictionCollector;

/// The share of the memory that is kept for pages that were read more than once.
const HOT_SHARE: f64 = 0.6;

/// A cache smaller than this many bytes has a single shard.
const SINGLE_SHARD_BELOW: u64 = 4 << 20;

/// One in this many pages that are read from the temporary file goes back to memory.
const PROMOTE_ONE_IN: u32 = 4;

/// Memory in bytes that a page takes in addition to its content: the reference counts and the cache's own entry.
const OVERHEAD: u64 = 64;

impl Weighter<PageKey, Page> for PageWeighter {
    fn weight(&self, _: &PageKey, page: &Page) -> u64 {
        weight(page)
    }
}

/// Returns how many bytes of memory a page takes.
fn weight(page: &Page) -> u64 {
    page.len() as u64 + OVERHEAD
}

impl Lifecycle<PageKey, Page> for EvictionCollector {
    type RequestState = Vec<(PageKey, Page)>;

    fn on_evict(&self, evicted: &mut Vec<(PageKey, Page)>, key: PageKey, page: Page) {
        evicted.push((key, page));
    }
}

impl PageCache {
    /// Creates an empty cache.
    pub(super) fn new(limits: CacheLimits) -> PageCache {
        let mut options = OptionsBuilder::new();
        let pages = (limits.memory / 4096).min(1 << 20) as usize;
        options.estimated_items_capacity(pages).weight_capacity(limits.memory);
        // Speculatively fetched pages start in the cold part. Those of a long scan must not evict each other before
        // they are read.
        options.hot_allocation(HOT_SHARE);
        if limits.memory < SINGLE_SHARD_BELOW {
            // With several shards, one could be full while another has room.
            options.shards(1);
        }
        let options = options.build().unwrap_or_else(|_| unreachable!("both capacities are set"));
        let pages = Cache::with_options(options, PageWeighter, FixedState::default(), EvictionCollector);
        let (disk, spare, unread) = (Disk::new(limits.disk), Spare::default(), Unread::default());
        PageCache { pages, disk, spare, disk_reads: AtomicU32::new(0), unread }
    }

    /// Changes the upper bounds. The temporary file does not shrink.
    pub(super) fn resize(&self, limits: CacheLimits) {
        if self.pages.capacity() != limits.memory {
            self.pages.set_capacity(limits.memory);
        }
        self.disk.resize(limits.disk);
    }

    /// Returns the upper bound of the memory in bytes.
    pub(super) fn capacity(&self) -> u64 {
        self.pages.capacity()
    }

    /// Returns how many bytes of pages of this size fit into memory and the temporary file together.
    pub(super) fn room(&self, page_size: u32) -> u64 {
        self.capacity().saturating_add(self.disk.room(page_size))
    }

    /// Returns how many more pages of this size may be fetched speculatively, so that they stay in the cache until they
    /// are read.
    ///
    /// That is the free memory or, if that is more, three quarters of the cold part less the unread pages in it; plus
    /// the size of the temporary file. Callers that speculate less accurately pass a larger `part`: they get only that
    /// fraction (1/`part`) of the memory, which leaves room for the others.
    pub(super) fn room_for_unread(&self, page_size: u32, part: u64) -> u64 {
        let (free, cold) = (self.capacity().saturating_sub(self.pages.weight()), self.cold());
        let room = (free / part).max((cold / 4 * 3 / part).saturating_sub(self.unread.weight()));
        room.saturating_add(self.disk.room(page_size)) / (u64::from(page_size) + OVERHEAD)
    }

    /// Returns the size in bytes of the cold part of the memory, for pages that were not read more than once.
    fn cold(&self) -> u64 {
        (self.capacity() as f64 * (1.0 - HOT_SHARE)) as u64
    }

    /// Marks a page as read. Returns the size in bytes of its frame if it was fetched speculatively and this is its
    /// first use, otherwise 0.
    pub(super) fn first_use(&self, page: &Page) -> u32 {
        let unread = page.first_use();
        if unread != 0 {
            self.unread.subtract(weight(page));
        }
        unread
    }

    /// Returns how many bytes of pages are in memory and in the temporary file.
    pub(super) fn held(&self) -> CacheLimits {
        CacheLimits { memory: self.pages.weight(), disk: self.disk.held() }
    }

    /// Returns a page for a reader.
    #[inline]
    pub(super) fn get(&self, key: PageKey) -> Option<Page> {
        self.pages.get(&key).or_else(|| self.get_from_disk(key))
    }

    /// Returns a page from the temporary file. Only one in [`PROMOTE_ONE_IN`] goes back to memory: pages that are read
    /// often soon do, and the others do not evict more useful pages.
    fn get_from_disk(&self, key: PageKey) -> Option<Page> {
        let is_promoted = self.disk_reads.fetch_add(1, Ordering::Relaxed).is_multiple_of(PROMOTE_ONE_IN);
        let page = self.disk.get(key, is_promoted.then_some(&self.spare))?;
        if is_promoted {
            self.insert(key, page.clone());
        }
        Some(page)
    }

    /// Returns a page without counting this as a use.
    pub(super) fn peek(&self, key: PageKey) -> Option<Page> {
        self.pages.peek(&key).or_else(|| self.disk.peek(key))
    }

    /// Returns whether a page is in the cache, without counting this as a use.
    pub(super) fn contains(&self, key: PageKey) -> bool {
        self.pages.contains_key(&key) || self.disk.contains(key)
    }

    /// Inserts a page. Writes the pages that it evicts from memory to the temporary file.
    pub(super) fn insert(&self, key: PageKey, page: Page) {
        let mut evicted = Vec::new();
        self.unread.add(&page, self.cold());
        self.pages.insert_with_lifecycle(key, page, &mut evicted);
        for (key, page) in evicted {
            self.disk.put(key, &page);
            self.spare.give(page);
        }
    }

    /// Removes all pages of a file.
    pub(super) fn forget(&self, file: u32) {
        self.pages.retain(|key, _| key.file != file);
        self.disk.forget(file);
    }

    /// Creates a page of `size` bytes with content that `fill` writes, without inserting it. `unread` is the size in
    /// bytes of its frame if it was fetched speculatively, otherwise 0.
    pub(super) fn page<E>(
        &self,
        size: u32,
        unread: u32,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Page, E> {
        self.spare.page(size, unread, fill)
    }
}
