//! A decoded page.

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
        let held = match size {
            512 => sized::<512>(guess),
            1024 => sized::<1024>(guess),
            2048 => sized::<2048>(guess),
            4096 => sized::<4096>(guess),
            8192 => sized::<8192>(guess),
            16384 => sized::<16384>(guess),
            32768 => sized::<32768>(guess),
            _ => sized::<65536>(guess),
        };
        Page(held).refill(guess, fill)
    }

    /// Another page, in the memory of one that nobody else holds.
    pub(super) fn refill<E>(mut self, guess: u32, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Page, E> {
        if let Some(held) = Arc::get_mut(&mut self.0) {
            *held.unread.get_mut() = guess;
            fill(&mut held.bytes)?;
        }
        Ok(self)
    }

    /// Whether nobody else holds it.
    pub(super) fn is_alone(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }

    /// Whether it was fetched as a guess and nobody has read it.
    #[inline]
    pub(in crate::replica) fn is_unread(&self) -> bool {
        self.guess() != 0
    }

    /// The length of its frame if it was a guess and nobody has read it, else 0.
    pub(super) fn guess(&self) -> u32 {
        self.0.unread.load(Ordering::Relaxed)
    }

    /// As [`Page::guess`], if this is its first use.
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
