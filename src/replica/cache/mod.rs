//! The page cache: decoded pages, in memory and on disk: in a temporary file or in the cache directory.
//!
//! A key identifies the content of a page, so entries are never invalidated. The only exception are the pages of a file
//! of which wrong bytes were read.
//!
//! | module | contents |
//! |---|---|
//! | `page` | a decoded page, and whether it was fetched speculatively and has not been read |
//! | `disk` | the temporary file for pages that are evicted from memory |
//! | `persistent` | the cache directory, which replaces the temporary file if the settings name one |
//! | `kept` | what the page cache keeps in the cache directory |
//! | `spare` | reuses the memory of evicted pages |
//! | `unread` | counts speculatively fetched pages that have not been read |

mod disk;
mod kept;
mod page;
pub(in crate::replica) mod persistent;
mod spare;
mod unread;

pub use page::Page;

use disk::Disk;
use foldhash::fast::FixedState;
use persistent::CacheDirectory;
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};
use spare::Spare;
use std::sync::Arc;
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
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CacheLimits {
    /// Size in memory.
    pub memory: u64,
    /// Size of the temporary file, or of the cache directory.
    pub disk: u64,
}

impl CacheLimits {
    /// Returns the larger of each bound.
    pub(super) fn max(self, other: CacheLimits) -> CacheLimits {
        CacheLimits { memory: self.memory.max(other.memory), disk: self.disk.max(other.disk) }
    }

    /// Returns the sum of each.
    pub(super) fn plus(self, other: CacheLimits) -> CacheLimits {
        CacheLimits { memory: self.memory.saturating_add(other.memory), disk: self.disk.saturating_add(other.disk) }
    }

    /// Returns so many times each.
    pub(super) fn times(self, factor: u64) -> CacheLimits {
        CacheLimits { memory: self.memory.saturating_mul(factor), disk: self.disk.saturating_mul(factor) }
    }
}

/// Pages by version.
pub(super) struct PageCache {
    pages: Cache<PageKey, Page, PageWeighter, FixedState, EvictionCollector>,
    disk: Disk,
    directory: Option<Arc<CacheDirectory>>,
    spare: Spare,
    /// How many pages have been read from disk.
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

/// One in this many pages that are read from disk goes to memory, if that is nearly full.
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
    /// Creates a cache. With a cache directory, it has the pages that are there; without one, it is empty.
    pub(super) fn new(limits: CacheLimits, directory: Option<Arc<CacheDirectory>>) -> PageCache {
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
        let (spare, unread) = (Spare::default(), Unread::default());
        let cache = PageCache { pages, disk: Disk::new(0), directory, spare, disk_reads: AtomicU32::new(0), unread };
        cache.resize_disk(limits.disk);
        cache
    }

    /// Changes the upper bounds. The temporary file does not shrink.
    pub(super) fn resize(&self, limits: CacheLimits) {
        if self.pages.capacity() != limits.memory {
            self.pages.set_capacity(limits.memory);
        }
        self.resize_disk(limits.disk);
    }

    fn resize_disk(&self, bound: u64) {
        match &self.directory {
            Some(directory) => directory.resize(bound),
            None => self.disk.resize(bound),
        }
    }

    /// Returns how many bytes of pages of this size fit on disk.
    pub(super) fn disk_room(&self, page_size: u32) -> u64 {
        self.directory.as_ref().map_or_else(|| self.disk.room(page_size), |directory| directory.room())
    }

    /// Returns the upper bound of the memory in bytes.
    pub(super) fn capacity(&self) -> u64 {
        self.pages.capacity()
    }

    /// Returns how many bytes of pages of this size fit into memory and on disk together.
    pub(super) fn room(&self, page_size: u32) -> u64 {
        self.capacity().saturating_add(self.disk_room(page_size))
    }

    /// Returns how many more pages of this size may be fetched speculatively, so that they stay in the cache until they
    /// are read.
    ///
    /// That is the free memory or, if that is more, three quarters of the cold part less the unread pages in it; plus
    /// the room on disk. Callers that speculate less accurately pass a larger `part`: they get only that
    /// fraction (1/`part`) of the memory, which leaves room for the others.
    pub(super) fn room_for_unread(&self, page_size: u32, part: u64) -> u64 {
        let (free, cold) = (self.capacity().saturating_sub(self.pages.weight()), self.cold());
        let room = (free / part).max((cold / 4 * 3 / part).saturating_sub(self.unread.weight()));
        room.saturating_add(self.disk_room(page_size)) / (u64::from(page_size) + OVERHEAD)
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

    /// Returns how many bytes of pages are in memory and in the temporary file, or the size of the cache directory.
    pub(super) fn held(&self) -> CacheLimits {
        let disk = self.directory.as_ref().map_or_else(|| self.disk.held(), |directory| directory.held());
        CacheLimits { memory: self.pages.weight(), disk }
    }

    /// Returns how many descriptors it has open while it is not used: the temporary file, or the folders of the cache directory.
    pub(super) fn descriptors(&self) -> u64 {
        self.directory.as_ref().map_or_else(|| u64::from(self.disk.held() > 0), |_| CacheDirectory::FOLDERS)
    }

    /// Returns a page for a reader.
    #[inline]
    pub(super) fn get(&self, key: PageKey) -> Option<Page> {
        self.pages.get(&key).or_else(|| self.get_from_disk(key))
    }

    /// Returns a page from disk. Only one in [`PROMOTE_ONE_IN`] goes to memory: pages that are read often soon do, and
    /// the others do not evict more useful pages. A process that begins with a full cache directory has memory to fill.
    fn get_from_disk(&self, key: PageKey) -> Option<Page> {
        let has_turn = self.disk_reads.fetch_add(1, Ordering::Relaxed).is_multiple_of(PROMOTE_ONE_IN);
        let is_promoted = has_turn || self.directory.is_some() && self.pages.weight() < self.capacity() / 8 * 7;
        let page = match &self.directory {
            Some(directory) => self.get_from_directory(directory, key)?,
            None => self.disk.get(key, is_promoted.then_some(&self.spare))?,
        };
        if is_promoted {
            self.insert(key, page.clone());
        }
        Some(page)
    }

    /// Returns a page without counting this as a use.
    pub(super) fn peek(&self, key: PageKey) -> Option<Page> {
        let from_disk = || match &self.directory {
            Some(directory) => self.get_from_directory(directory, key),
            None => self.disk.peek(key),
        };
        self.pages.peek(&key).or_else(from_disk)
    }

    /// Returns whether a page is in the cache, without counting this as a use.
    pub(super) fn contains(&self, key: PageKey) -> bool {
        let is_on_disk = || match &self.directory {
            Some(directory) => directory.contains(key),
            None => self.disk.contains(key),
        };
        self.pages.contains_key(&key) || is_on_disk()
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
        if let Some(directory) = &self.directory {
            directory.forget(file);
        }
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
