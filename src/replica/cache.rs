//! Decoded pages, bounded in bytes. Its keys name content, so nothing is ever invalidated.

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// A decoded page, as it lies in the cache.
pub type Page = Arc<[u8]>;

/// A page version: the number of the file it lies in, and its page number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct PageKey {
    pub file: u32,
    pub pgno: u32,
}

/// Pages by version.
pub(super) struct PageCache {
    pages: Cache<PageKey, Page, Weight>,
}

#[derive(Clone)]
struct Weight;

/// What a page costs beside its bytes: the reference counts and the cache's own entry.
const OVERHEAD: u64 = 64;

impl Weighter<PageKey, Page> for Weight {
    fn weight(&self, _: &PageKey, page: &Page) -> u64 {
        page.len() as u64 + OVERHEAD
    }
}

impl PageCache {
    /// Holds up to `bytes` of pages.
    pub(super) fn new(bytes: u64) -> PageCache {
        PageCache { pages: Cache::with_weighter((bytes / 4096).min(1 << 20) as usize, bytes, Weight) }
    }

    /// Moves the bound.
    pub(super) fn resize(&self, bytes: u64) {
        if self.pages.capacity() != bytes {
            self.pages.set_capacity(bytes);
        }
    }

    /// What is in it, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.pages.weight()
    }

    pub(super) fn get(&self, key: PageKey) -> Option<Page> {
        self.pages.get(&key)
    }

    /// Whether it is there, without counting as a use.
    pub(super) fn contains(&self, key: PageKey) -> bool {
        self.pages.peek(&key).is_some()
    }

    pub(super) fn insert(&self, key: PageKey, page: Page) {
        self.pages.insert(key, page);
    }
}
