//! The pages that were requested ahead of a reader, and how many more to request.

use crate::replica::prefetch::Source;
use std::collections::VecDeque;

/// This many times the bytes that were read are requested ahead. So the window grows while its pages are read, and a reader
/// that stops wastes at most that.
const AHEAD: u64 = 4;

/// A reader that skips more pages than this no longer follows the window.
const MAX_SKIP: usize = 512;

/// Returns the maximum number of pages ahead, which must stay in the cache until they are read.
fn max_pages(source: &Source<'_>) -> u64 {
    source.shared.fetcher.cache().capacity() / 4 / u64::from(source.view.page_size())
}

/// The pages ahead of a reader, in the order in which it will read them.
#[derive(Default)]
pub(super) struct Window {
    /// Page numbers and frame sizes.
    ahead: VecDeque<(u32, u32)>,
    bytes: u64,
    used: u64,
}

impl Window {
    /// Returns the window of a reader that has read `used` bytes in this order.
    pub(super) fn after(used: u64) -> Window {
        Window { used, ..Window::default() }
    }

    /// Removes a page that the reader reads, and those before it. Returns false if the page is not ahead.
    pub(super) fn advance_to(&mut self, pgno: u32) -> bool {
        let Some(position) = self.ahead.iter().take(MAX_SKIP).position(|(page, _)| *page == pgno) else { return false };
        for (page, size) in self.ahead.drain(..=position) {
            self.bytes -= u64::from(size);
            self.used += if page == pgno { u64::from(size) } else { 0 };
        }
        true
    }

    /// Returns how many bytes should be ahead, and how many more pages may be requested. Returns None while more than half
    /// of either is ahead, because a few large requests cost less than many small ones.
    pub(super) fn refill(&self, source: &Source<'_>) -> Option<(u64, usize)> {
        let (max_pages, room) = (max_pages(source), source.speculative_room());
        let (bytes, ahead) = ((AHEAD * self.used).max(source.neighbour_bytes()), self.ahead.len() as u64);
        let is_half_empty = self.bytes * 2 <= bytes && ahead * 2 < max_pages && room * 2 > ahead;
        is_half_empty.then(|| (bytes, usize::try_from(room.min(max_pages - ahead)).unwrap_or(usize::MAX)))
    }

    /// Adds a page at the end.
    pub(super) fn push(&mut self, pgno: u32, size: u32) {
        self.bytes += u64::from(size);
        self.ahead.push_back((pgno, size));
    }

    /// Returns the page that the reader will read next.
    pub(super) fn next(&self) -> Option<u32> {
        self.ahead().next()
    }

    /// Returns the pages ahead.
    pub(super) fn ahead(&self) -> impl Iterator<Item = u32> {
        self.ahead.iter().map(|(pgno, _)| *pgno)
    }

    /// Removes all pages, because the reader did not read the expected one.
    pub(super) fn clear(&mut self) {
        self.ahead.clear();
        self.bytes = 0;
    }

    /// Returns the length of the frames ahead in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
