//! Decoded pages, bounded in bytes. Its keys name content, so nothing is ever invalidated.

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A decoded page, as it lies in the cache.
#[derive(Clone)]
pub struct Page(Arc<Held<[u8]>>);

/// A page's bytes, and behind how many bytes of a file they were fetched as a guess that nobody has read yet; 0 once
/// somebody has, or if the page was asked for.
struct Held<B: ?Sized> {
    unread: AtomicU32,
    bytes: B,
}

impl Page {
    /// A page of `size` bytes, which `fill` writes. `guess` is the length of its frame if nobody asked for it, else 0.
    pub(super) fn new<E>(size: u32, guess: u32, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Page, E> {
        fn sized<const SIZE: usize>(guess: u32) -> Arc<Held<[u8]>> {
            Arc::new(Held { unread: AtomicU32::new(guess), bytes: [0; SIZE] })
        }
        // One allocation for count and bytes alike, which needs the size at compile time.
        let mut held = match size {
            512 => sized::<512>(guess),
            1024 => sized::<1024>(guess),
            2048 => sized::<2048>(guess),
            4096 => sized::<4096>(guess),
            8192 => sized::<8192>(guess),
            16384 => sized::<16384>(guess),
            32768 => sized::<32768>(guess),
            _ => sized::<65536>(guess),
        };
        if let Some(held) = Arc::get_mut(&mut held) {
            fill(&mut held.bytes)?;
        }
        Ok(Page(held))
    }

    /// Whether it was fetched as a guess and nobody has read it.
    #[inline]
    pub(super) fn is_unread(&self) -> bool {
        self.0.unread.load(Ordering::Relaxed) != 0
    }

    /// The length of its frame if it was a guess and this is its first use, else 0.
    #[inline]
    pub(super) fn first_use(&self) -> u32 {
        if self.is_unread() { self.0.unread.swap(0, Ordering::Relaxed) } else { 0 }
    }
}

impl Deref for Page {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page({} bytes)", self.len())
    }
}

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

/// The share of the cache that is kept for pages which were read more than once.
const HOT: f64 = 0.6;

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
        let mut options = OptionsBuilder::new();
        options.estimated_items_capacity((bytes / 4096).min(1 << 20) as usize).weight_capacity(bytes);
        // Guesses enter cold, and those of a long scan must not push each other out before they are read.
        options.hot_allocation(HOT);
        let options = options.build().unwrap_or_else(|_| unreachable!("both capacities are set"));
        let hasher = DefaultHashBuilder::default();
        PageCache { pages: Cache::with_options(options, Weight, hasher, DefaultLifecycle::default()) }
    }

    /// Moves the bound.
    pub(super) fn resize(&self, bytes: u64) {
        if self.capacity() != bytes {
            self.pages.set_capacity(bytes);
        }
    }

    /// The bound in bytes.
    pub(super) fn capacity(&self) -> u64 {
        self.pages.capacity()
    }

    /// What is in it, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.pages.weight()
    }

    #[inline]
    pub(super) fn get(&self, key: PageKey) -> Option<Page> {
        self.pages.get(&key)
    }

    /// As [`PageCache::get`], without counting as a use.
    pub(super) fn peek(&self, key: PageKey) -> Option<Page> {
        self.pages.peek(&key)
    }

    /// Whether it is there, without counting as a use.
    pub(super) fn contains(&self, key: PageKey) -> bool {
        self.pages.contains_key(&key)
    }

    pub(super) fn insert(&self, key: PageKey, page: Page) {
        self.pages.insert(key, page);
    }
}
