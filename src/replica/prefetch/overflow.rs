//! Predicts the overflow pages of long values.
//!
//! Each overflow page contains the number of the next, so the chain is only known as far as its pages are in the cache.
//! Beyond that the next page number is assumed, because SQLite usually allocates the pages of a long value one after the
//! other. The leaf contains where the values after this one begin.

use crate::replica::dbformat::btree::PageKind;
use crate::replica::dbformat::{btree, cells};
use crate::replica::fetch::SpeculationToken;
use crate::replica::prefetch::Source;
use crate::replica::prefetch::window::Window;
use std::collections::VecDeque;

/// Overflow pages that the reader reads one after the other.
pub(super) struct OverflowChain {
    window: Window,
    /// The last page of the window, or the page that the reader is at.
    edge: u32,
    /// The first overflow pages of the values after this one.
    heads: VecDeque<u32>,
    token: SpeculationToken,
}

impl OverflowChain {
    /// Begins at an overflow page that was read. `leaf` is the last leaf that was read before it.
    pub(super) fn begin(pgno: u32, leaf: u32, source: &Source<'_>) -> Option<OverflowChain> {
        let size = source.frame_size(pgno)?;
        let pages = source.peek(leaf).zip(source.peek(1));
        let mut heads =
            pages.map_or_else(Vec::new, |(page, page_1)| cells::overflows(&page, leaf, &page_1, source.view.commit()));
        let current = heads.iter().position(|head| *head == pgno);
        heads.drain(..current.map_or(heads.len(), |current| current + 1));
        let (window, token) = (Window::after(size.into()), SpeculationToken::default());
        Some(OverflowChain { window, edge: pgno, heads: heads.into(), token })
    }

    /// Advances to an overflow page that the reader reads, and requests more. Returns false if the page does not continue
    /// the chain.
    pub(super) fn advance_to(&mut self, pgno: u32, page: &[u8], source: &Source<'_>) -> bool {
        if self.window.next().is_none() {
            // The page at the edge may be in the cache now, which contains the number of the next.
            self.push_next(source);
        }
        if !self.window.advance_to(pgno) {
            return false;
        }
        let next = btree::next_overflow(page, source.view.commit());
        if next.is_some() && next != self.window.next() {
            self.window.clear();
            self.edge = pgno;
        }
        self.extend(pgno, page, source);
        true
    }

    fn extend(&mut self, pgno: u32, page: &[u8], source: &Source<'_>) {
        let Some((bytes, room)) = self.window.refill(source) else { return };
        let mut pages = Vec::new();
        if self.edge == pgno {
            let next = btree::next_overflow(page, source.view.commit());
            pages.extend(next.and_then(|next| self.push(next, source)));
        }
        while self.window.bytes() < bytes && pages.len() < room {
            match self.push_next(source) {
                Some(pgno) => pages.push(pgno),
                None => break,
            }
        }
        let free = source.shared.free_list();
        pages.retain(|pgno| source.is_missing(*pgno) && !free.contains(*pgno));
        source.speculate(&pages, &self.token);
    }

    /// Adds the page after the edge to the window: the one whose number it contains, the first of the next value, or else
    /// the next page number.
    fn push_next(&mut self, source: &Source<'_>) -> Option<u32> {
        let page = source.peek(self.edge);
        let page = page.filter(|page| btree::kind(page, self.edge) == PageKind::Other);
        let known = match &page {
            Some(page) => btree::next_overflow(page, source.view.commit()).or_else(|| self.heads.pop_front()),
            None => None,
        };
        self.push(known.or_else(|| self.edge.checked_add(1))?, source)
    }

    fn push(&mut self, pgno: u32, source: &Source<'_>) -> Option<u32> {
        let size = source.frame_size(pgno)?;
        self.window.push(pgno, size);
        self.edge = pgno;
        Some(pgno)
    }
}
