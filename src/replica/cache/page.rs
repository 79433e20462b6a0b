//! A decoded page.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A decoded page. Clones share its memory.
#[derive(Clone)]
pub struct Page(Arc<PageBuffer<[u8]>>);

/// The bytes of a page, and whether it was fetched speculatively and has not been read.
struct PageBuffer<B: ?Sized> {
    /// The size in bytes of the frame that the page was decoded from, if the page was fetched speculatively and has not
    /// been read yet; otherwise 0.
    unread: AtomicU32,
    bytes: B,
}

impl Page {
    /// Creates a page of `size` bytes with content that `fill` writes. `unread` is the size in bytes of the page's
    /// frame if it was fetched speculatively, or 0 if a reader requested it.
    pub(super) fn new<E>(size: u32, unread: u32, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Page, E> {
        fn sized<const SIZE: usize>(unread: u32) -> Arc<PageBuffer<[u8]>> {
            Arc::new(PageBuffer { unread: AtomicU32::new(unread), bytes: [0; SIZE] })
        }
        // A single allocation for the counters and the bytes needs a size that is known at compile time.
        let buffer = match size {
            512 => sized::<512>(unread),
            1024 => sized::<1024>(unread),
            2048 => sized::<2048>(unread),
            4096 => sized::<4096>(unread),
            8192 => sized::<8192>(unread),
            16384 => sized::<16384>(unread),
            32768 => sized::<32768>(unread),
            _ => sized::<65536>(unread),
        };
        Page(buffer).refill(unread, fill)
    }

    /// Reuses the memory of a page for another one. The page must be [unique](Page::is_unique).
    pub(super) fn refill<E>(mut self, unread: u32, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Page, E> {
        if let Some(buffer) = Arc::get_mut(&mut self.0) {
            *buffer.unread.get_mut() = unread;
            fill(&mut buffer.bytes)?;
        }
        Ok(self)
    }

    /// Returns whether this is the only reference to the page.
    pub(super) fn is_unique(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }

    /// Returns whether the page was fetched speculatively and has not been read yet.
    #[inline]
    pub(in crate::replica) fn is_unread(&self) -> bool {
        self.unread_frame_size() != 0
    }

    /// Returns the size in bytes of the page's frame if it was fetched speculatively and has not been read yet,
    /// otherwise 0.
    pub(super) fn unread_frame_size(&self) -> u32 {
        self.0.unread.load(Ordering::Relaxed)
    }

    /// Marks the page as read. Returns the previous [`Page::unread_frame_size`].
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
