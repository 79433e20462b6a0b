//! Predicts the leaves that a scan of a table or an index reads next: in key order, wherever they are in the file.

use crate::replica::fetch::SpeculationToken;
use crate::replica::prefetch::Source;
use crate::replica::prefetch::cursor::{CursorStep, Direction, ScanCursor};
use crate::replica::prefetch::nodes::Nodes;
use crate::replica::prefetch::window::Window;
use std::collections::HashSet;

/// A page that was read, and the pages before and after it in key order. If one of these is read next, a scan begins.
pub(super) struct ScanCandidate {
    cursor: ScanCursor,
    size: u32,
    pgno: u32,
    above: Option<u32>,
    below: Option<u32>,
}

/// The maximum number of cached pages that were read before and are skipped to find the next page.
const MAX_SKIPPED: usize = 64;

impl ScanCandidate {
    /// Returns a candidate at a page that is being read, or None if its position in the key order is not known.
    pub(super) fn at(pgno: u32, source: &Source<'_>, nodes: &mut Nodes) -> Option<ScanCandidate> {
        let cursor = ScanCursor::at(nodes.path(source, pgno))?;
        let size = source.frame_size(pgno)?;
        let mut next = |direction| {
            let mut cursor = cursor.clone();
            let mut steps = (0..MAX_SKIPPED).map(|_| cursor.step(direction, source, nodes));
            steps.find_map(|step| match step {
                CursorStep::Page(page) if source.is_read(page) => None,
                CursorStep::Page(page) => Some(Some(page)),
                CursorStep::Unknown(..) | CursorStep::End => Some(None),
            })?
        };
        let (above, below) = (next(Direction::Ascending), next(Direction::Descending));
        Some(ScanCandidate { cursor, size, pgno, above, below })
    }

    pub(super) fn is_at(&self, pgno: u32) -> bool {
        self.pgno == pgno
    }

    /// Returns the direction of a scan that reads this page and then another, or None if that one is not adjacent.
    pub(super) fn direction_to(&self, pgno: u32) -> Option<Direction> {
        match pgno {
            _ if self.above == Some(pgno) => Some(Direction::Ascending),
            _ if self.below == Some(pgno) => Some(Direction::Descending),
            _ => None,
        }
    }
}

/// A scan in progress.
pub(super) struct Scan {
    direction: Direction,
    /// The last page of the window.
    edge: ScanCursor,
    window: Window,
    /// Interior pages that were requested.
    interior: HashSet<u32>,
    token: SpeculationToken,
}

/// The maximum number of interior pages of one depth that are requested at once.
const MAX_INTERIOR: usize = 64;

impl Scan {
    /// Begins a scan whose reader read one page and now reads the next.
    pub(super) fn begin(first: &ScanCandidate, direction: Direction, second: &ScanCandidate) -> Scan {
        let window = Window::after(u64::from(first.size) + u64::from(second.size));
        let (interior, token) = (HashSet::new(), SpeculationToken::default());
        Scan { direction, edge: second.cursor.clone(), window, interior, token }
    }

    /// Advances to a page that the reader reads, and requests more. Returns false if the page is not ahead.
    pub(super) fn advance_to(&mut self, pgno: u32, source: &Source<'_>, nodes: &mut Nodes) -> bool {
        if self.window.next().is_none() {
            // A missing interior page may be in the cache now.
            self.extend(source, nodes);
        }
        let is_ahead = self.window.advance_to(pgno);
        if is_ahead {
            self.request_evicted(source);
            self.extend(source, nodes);
        }
        is_ahead
    }

    /// Requests the pages ahead that were evicted from the cache before they were read.
    fn request_evicted(&self, source: &Source<'_>) {
        let next = self.window.next().filter(|pgno| source.is_missing(*pgno));
        if next.is_some_and(|pgno| !source.may_be_requested(pgno)) {
            let room = usize::try_from(source.speculative_room()).unwrap_or(usize::MAX);
            let evicted = self.window.ahead().filter(|pgno| source.is_missing(*pgno));
            let evicted: Vec<u32> = evicted.take(room.max(1)).collect();
            source.speculate(&evicted, &self.token);
        }
    }

    /// Requests the pages that the window has room for.
    pub(super) fn extend(&mut self, source: &Source<'_>, nodes: &mut Nodes) {
        let Some((bytes, room)) = self.window.refill(source) else { return };
        let max_interior = MAX_INTERIOR.min(room / 4 + 1);
        let (mut interior, mut pages) = (Vec::new(), Vec::new());
        while self.window.bytes() < bytes && pages.len() < room {
            match self.edge.step(self.direction, source, nodes) {
                CursorStep::Page(pgno) => {
                    self.window.push(pgno, source.frame_size(pgno).unwrap_or(0));
                    pages.push(pgno);
                }
                CursorStep::Unknown(parent, position) => {
                    let unknown = parent.children[position];
                    if !source.may_be_requested(unknown) {
                        // It was in the cache and was evicted.
                        self.interior.remove(&unknown);
                    }
                    interior.extend(self.direction.children(&parent, Some(position), max_interior));
                    break;
                }
                CursorStep::End => break,
            }
        }
        interior.extend(self.interior_ahead(bytes, max_interior, source));
        interior.retain(|pgno| self.interior.insert(*pgno));
        // The interior pages come first, because the leaves below them are not known before.
        interior.append(&mut pages);
        interior.retain(|pgno| source.is_missing(*pgno));
        source.speculate(&interior, &self.token);
    }

    /// Returns the interior pages that are needed to know the pages of two windows ahead.
    fn interior_ahead(&self, bytes: u64, max: usize, source: &Source<'_>) -> Vec<u32> {
        let Some((parent, position)) = self.edge.path().last() else { return Vec::new() };
        let page_size = source.frame_size(parent.children[*position]).unwrap_or(0);
        self.edge.interior_ahead(self.direction, 2 * bytes, page_size.into(), max)
    }
}
