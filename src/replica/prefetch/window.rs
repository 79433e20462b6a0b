//! What was asked for ahead of a reader, and how far ahead to ask.

use crate::replica::prefetch::Source;
use std::collections::VecDeque;

/// So many times what was read is asked for ahead: the window grows while its guesses are used, and no more than this is
/// ever wasted on a reader who stops.
const AHEAD: u64 = 4;

/// A reader who leaves out more pages than this goes another way.
const LEAP: usize = 512;

/// How many pages may be ahead: they must stay in the cache until they are read.
fn most_pages(source: &Source<'_>) -> u64 {
    source.fetcher.cache().capacity() / 4 / u64::from(source.view.page_size())
}

/// The pages ahead of a reader, in the order in which it will come to them.
#[derive(Default)]
pub(super) struct Window {
    ahead: VecDeque<(u32, u32)>,
    bytes: u64,
    used: u64,
}

impl Window {
    /// The window of a reader who has read so many bytes on its way.
    pub(super) fn after(used: u64) -> Window {
        Window { used, ..Window::default() }
    }

    /// Lets the reader pass a page, and those before it. False if the page is not ahead.
    pub(super) fn pass(&mut self, pgno: u32) -> bool {
        let Some(position) = self.ahead.iter().take(LEAP).position(|(page, _)| *page == pgno) else { return false };
        for (page, size) in self.ahead.drain(..=position) {
            self.bytes -= u64::from(size);
            self.used += if page == pgno { u64::from(size) } else { 0 };
        }
        true
    }

    /// The bytes to be ahead by now, and how many more pages there is room for. None while more than half of the bytes are
    /// ahead, or of the pages that there is room for: few large requests cost less than many small ones.
    pub(super) fn wants(&self, source: &Source<'_>) -> Option<(u64, usize)> {
        let (most, room) = (most_pages(source), source.fetcher.room(source.view.page_size()));
        let (bytes, ahead) = ((AHEAD * self.used).max(source.reach()), self.ahead.len() as u64);
        let half_empty = self.bytes * 2 <= bytes && ahead * 2 < most && room * 2 > ahead;
        half_empty.then(|| (bytes, usize::try_from(room.min(most - ahead)).unwrap_or(usize::MAX)))
    }

    /// Puts one more page ahead.
    pub(super) fn push(&mut self, pgno: u32, size: u32) {
        self.bytes += u64::from(size);
        self.ahead.push_back((pgno, size));
    }

    /// The page that the reader will come to next.
    pub(super) fn next(&self) -> Option<u32> {
        self.ahead().next()
    }

    /// The pages that the reader will come to.
    pub(super) fn ahead(&self) -> impl Iterator<Item = u32> {
        self.ahead.iter().map(|(pgno, _)| *pgno)
    }

    /// Forgets what is ahead: it was wrong.
    pub(super) fn clear(&mut self) {
        self.ahead.clear();
        self.bytes = 0;
    }

    /// Bytes ahead.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
