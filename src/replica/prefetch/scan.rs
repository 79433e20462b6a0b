//! A reader who goes through a table or an index: the leaves that come next, in the order of their keys, wherever they lie.

use crate::replica::fetch::SpeculationToken;
use crate::replica::prefetch::Source;
use crate::replica::prefetch::cursor::{CursorStep, ScanCursor, Way};
use crate::replica::prefetch::nodes::Nodes;
use crate::replica::prefetch::window::Window;
use std::collections::HashSet;

/// A page that was read, and the pages to either side that may be read next. If one of them is, that is a scan.
pub(super) struct Seed {
    cursor: ScanCursor,
    size: u32,
    pgno: u32,
    above: Option<u32>,
    below: Option<u32>,
}

/// So many pages that are here and were read before are passed over to find the next.
const PASSED_OVER: usize = 64;

impl Seed {
    /// At a page that is being read. None if its place in the order is not known.
    pub(super) fn at(pgno: u32, source: &Source<'_>, nodes: &mut Nodes) -> Option<Seed> {
        let cursor = ScanCursor::at(nodes.path(source, pgno))?;
        let size = source.view.locate(pgno)?.size;
        let mut next = |way| {
            let mut cursor = cursor.clone();
            let mut steps = (0..PASSED_OVER).map(|_| cursor.step(way, source, nodes));
            steps.find_map(|step| match step {
                CursorStep::Page(page) if source.is_read(page) => None,
                CursorStep::Page(page) => Some(Some(page)),
                CursorStep::Unknown(..) | CursorStep::End => Some(None),
            })?
        };
        let (above, below) = (next(Way::Up), next(Way::Down));
        Some(Seed { cursor, size, pgno, above, below })
    }

    pub(super) fn is_at(&self, pgno: u32) -> bool {
        self.pgno == pgno
    }

    /// Which way a reader goes who read this page and now reads another.
    pub(super) fn way_to(&self, pgno: u32) -> Option<Way> {
        match pgno {
            _ if self.above == Some(pgno) => Some(Way::Up),
            _ if self.below == Some(pgno) => Some(Way::Down),
            _ => None,
        }
    }
}

/// A scan under way.
pub(super) struct Scan {
    way: Way,
    /// The furthest page that was asked for.
    edge: ScanCursor,
    window: Window,
    /// Inner pages that were asked for.
    inner: HashSet<u32>,
    wish: SpeculationToken,
}

/// Inner pages of one depth asked for at once.
const INNER_AHEAD: usize = 64;

impl Scan {
    /// A reader that read one page and now reads the next, where `next` stands.
    pub(super) fn begin(seed: &Seed, way: Way, next: &Seed) -> Scan {
        let window = Window::after(u64::from(seed.size) + u64::from(next.size));
        Scan { way, edge: next.cursor.clone(), window, inner: HashSet::new(), wish: SpeculationToken::default() }
    }

    /// Lets the reader pass a page, and asks for more. False if the page is not on the way.
    pub(super) fn pass(&mut self, pgno: u32, source: &Source<'_>, nodes: &mut Nodes) -> bool {
        if self.window.next().is_none() {
            // An inner page may have come since.
            self.extend(source, nodes);
        }
        let passed = self.window.pass(pgno);
        if passed {
            self.recover(source);
            self.extend(source, nodes);
        }
        passed
    }

    /// Asks again for what is ahead if it was here and did not stay: a cache has to forget something.
    fn recover(&self, source: &Source<'_>) {
        let is_lost = |pgno: &u32| source.fetcher.is_missing(source.view, *pgno);
        let next = self.window.next().filter(is_lost);
        if next.is_some_and(|pgno| !source.fetcher.is_busy() && !source.fetcher.is_coming(source.view, pgno)) {
            let room = usize::try_from(source.fetcher.room(source.view.page_size())).unwrap_or(usize::MAX);
            let lost: Vec<u32> = self.window.ahead().filter(is_lost).take(room.max(1)).collect();
            source.fetcher.guess(source.view, &lost, &self.wish);
        }
    }

    /// Asks for what the window wants ahead.
    pub(super) fn extend(&mut self, source: &Source<'_>, nodes: &mut Nodes) {
        let Some((wanted, room)) = self.window.wants(source) else { return };
        let inner_ahead = INNER_AHEAD.min(room / 4 + 1);
        let (mut inner, mut pages) = (Vec::new(), Vec::new());
        while self.window.bytes() < wanted && pages.len() < room {
            match self.edge.step(self.way, source, nodes) {
                CursorStep::Page(pgno) => {
                    self.window.push(pgno, source.view.locate(pgno).map_or(0, |extent| extent.size));
                    pages.push(pgno);
                }
                CursorStep::Unknown(parent, position) => {
                    let unknown = parent.children[position];
                    if !source.fetcher.is_busy() && !source.fetcher.is_coming(source.view, unknown) {
                        // It was here, and did not stay.
                        self.inner.remove(&unknown);
                    }
                    inner.extend(self.way.children(&parent, Some(position), inner_ahead));
                    break;
                }
                CursorStep::End => break,
            }
        }
        inner.extend(self.inner_ahead(wanted, inner_ahead, source));
        inner.retain(|pgno| self.inner.insert(*pgno));
        // Without inner pages nothing goes on, so they come first.
        inner.append(&mut pages);
        inner.retain(|pgno| source.fetcher.is_missing(source.view, *pgno));
        source.fetcher.guess(source.view, &inner, &self.wish);
    }

    /// The inner pages that will be needed to see as far again as the window does.
    fn inner_ahead(&self, wanted: u64, most: usize, source: &Source<'_>) -> Vec<u32> {
        let Some((parent, position)) = self.edge.path().last() else { return Vec::new() };
        let page = source.view.locate(parent.children[*position]).map_or(0, |extent| extent.size);
        self.edge.inner_ahead(self.way, 2 * wanted, page.into(), most)
    }
}
