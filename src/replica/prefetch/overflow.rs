//! A reader who reads long values: the pages of their overflow chains.
//!
//! Each page names the next, so only pages that are here tell. But SQLite lays down a long value page by page, so that
//! the next page most often follows in number as well; and the leaf tells where the values after this one begin.

use crate::replica::dbformat::btree::PageKind;
use crate::replica::dbformat::{btree, cells};
use crate::replica::fetch::SpeculationToken;
use crate::replica::prefetch::Source;
use crate::replica::prefetch::window::Window;
use std::collections::VecDeque;

/// Overflow pages that are read one after the other.
pub(super) struct OverflowChain {
    window: Window,
    /// The furthest page that was asked for.
    edge: u32,
    /// Where the values after this one begin.
    heads: VecDeque<u32>,
    wish: SpeculationToken,
}

impl OverflowChain {
    /// At an overflow page that was read; `leaf` was the last leaf before it.
    pub(super) fn begin(pgno: u32, leaf: u32, source: &Source<'_>) -> Option<OverflowChain> {
        let size = source.view.locate(pgno)?.size;
        let heads = source.fetcher.peek(source.view, leaf).zip(source.fetcher.peek(source.view, 1));
        let mut heads =
            heads.map_or_else(Vec::new, |(page, page_1)| cells::overflows(&page, leaf, &page_1, source.view.commit()));
        let this = heads.iter().position(|head| *head == pgno);
        heads.drain(..this.map_or(heads.len(), |this| this + 1));
        let (window, wish) = (Window::after(size.into()), SpeculationToken::default());
        Some(OverflowChain { window, edge: pgno, heads: heads.into(), wish })
    }

    /// Lets the reader pass an overflow page, and asks for more. False if the page does not continue what was read.
    pub(super) fn pass(&mut self, pgno: u32, page: &[u8], source: &Source<'_>) -> bool {
        if self.window.next().is_none() {
            // The page at the edge may have come since, and tells the next.
            self.push_next(source);
        }
        if !self.window.pass(pgno) {
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
        let Some((wanted, room)) = self.window.wants(source) else { return };
        let mut pages = Vec::new();
        if self.edge == pgno {
            let next = btree::next_overflow(page, source.view.commit());
            pages.extend(next.and_then(|next| self.push(next, source)));
        }
        while self.window.bytes() < wanted && pages.len() < room {
            match self.push_next(source) {
                Some(pgno) => pages.push(pgno),
                None => break,
            }
        }
        pages.retain(|pgno| source.fetcher.is_missing(source.view, *pgno) && !source.fetcher.is_free(*pgno));
        source.fetcher.guess(source.view, &pages, &self.wish);
    }

    /// Puts the page after the edge ahead: the one it names, the next value's first, or else the next in number.
    fn push_next(&mut self, source: &Source<'_>) -> Option<u32> {
        let page = source.fetcher.peek(source.view, self.edge);
        let page = page.filter(|page| btree::kind(page, self.edge) == PageKind::Other);
        let named = match &page {
            Some(page) => btree::next_overflow(page, source.view.commit()).or_else(|| self.heads.pop_front()),
            None => None,
        };
        self.push(named.or_else(|| self.edge.checked_add(1))?, source)
    }

    fn push(&mut self, pgno: u32, source: &Source<'_>) -> Option<u32> {
        let size = source.view.locate(pgno)?.size;
        self.window.push(pgno, size);
        self.edge = pgno;
        Some(pgno)
    }
}
