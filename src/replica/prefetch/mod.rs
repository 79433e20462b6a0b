//! Predicts which pages a reader will read next, and requests them.
//!
//! Each reader has its own [`Prefetcher`], so that the access patterns of two readers are not mixed up. It is called when
//! the reader reads a cached page, and before and after it waits for a page. For a cached page that was read before, the
//! call costs two comparisons, and notes the page number of an interior page.
//!
//! | module | contents |
//! |---|---|
//! | `nodes`, `cursor` | the position of a page in the key order of its table or index |
//! | `scan`, `overflow` | which leaves or overflow pages come next |
//! | `window` | how many of them to request |
//! | `wait_costs`, `bulk` | when to fetch all of a table, an index or the database, and how |
//! | `shared` | what all readers of a replica share: the wait costs and the free list |
//! | `source` | the view that a reader reads |

mod bulk;
mod cursor;
mod nodes;
mod overflow;
mod scan;
mod shared;
mod source;
mod wait_costs;
mod window;

pub(super) use shared::SharedPrefetch;
pub(super) use source::Source;

use crate::lock::Mutex;
use crate::replica::cache::Page;
use crate::replica::dbformat::btree;
use crate::replica::dbformat::btree::PageKind;
use nodes::{Nodes, Recent};
use overflow::OverflowChain;
use scan::{Scan, ScanCandidate};
use std::collections::VecDeque;
use std::fmt;

/// Predicts the pages that one reader will read.
pub(super) struct Prefetcher {
    recent: Recent,
    state: Mutex<PrefetchState>,
}

#[derive(Default)]
struct PrefetchState {
    nodes: Nodes,
    /// Pages that may begin a scan, newest first.
    candidates: VecDeque<ScanCandidate>,
    /// Most recently advanced first.
    scans: VecDeque<Scan>,
    chain: Option<OverflowChain>,
    /// The last leaf that the reader read for the first time or waited for.
    leaf: u32,
}

/// How many candidates and scans are kept. A join reads several tables and indexes in turn.
const MAX_CANDIDATES: usize = 8;
const MAX_SCANS: usize = 6;

/// How the reader received a page it waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// By a request of its own.
    OnDemand,
    /// By a request that was in flight already, or from a file in memory.
    Prefetched,
}

impl Prefetcher {
    pub(super) fn new() -> Prefetcher {
        Prefetcher { recent: Recent::new(), state: Mutex::default() }
    }

    /// Must be called when the reader reads a page that is in the cache.
    #[inline]
    pub(super) fn on_hit(&self, source: Source<'_>, pgno: u32, page: &Page) {
        if btree::kind(page, pgno) == PageKind::Interior {
            self.recent.note(pgno);
        }
        if page.is_unread() {
            self.on_first_use(source, pgno, page);
        }
    }

    /// Handles the first read of a page that was fetched speculatively.
    #[cold]
    fn on_first_use(&self, source: Source<'_>, pgno: u32, page: &Page) {
        source.shared.fetcher.count_used(page);
        if pgno == 1 {
            on_page_1(&source);
        }
        let mut state = self.state.lock();
        state.nodes.update(&source, &self.recent);
        state.advance_to(pgno, &source);
        state.on_content(pgno, page, &source);
    }

    /// Must be called when the reader has requested a page and begins to wait for it.
    pub(super) fn on_miss(&self, source: Source<'_>, pgno: u32) {
        let mut state = self.state.lock();
        state.nodes.update(&source, &self.recent);
        state.advance_to(pgno, &source);
    }

    /// Must be called when the reader has received a page it waited for.
    pub(super) fn on_fetched(&self, source: Source<'_>, pgno: u32, page: &Page, arrival: Arrival) {
        source.shared.fetcher.count_used(page);
        let kind = btree::kind(page, pgno);
        if kind == PageKind::Interior {
            self.recent.note(pgno);
        }
        if pgno == 1 {
            on_page_1(&source);
        }
        let mut state = self.state.lock();
        state.on_content(pgno, page, &source);
        if arrival == Arrival::OnDemand {
            let path = state.nodes.path(&source, pgno);
            drop(state);
            bulk::on_wait(&source, &path, kind);
        }
    }
}

/// Handles the first read of a page 1.
fn on_page_1(source: &Source<'_>) {
    source.shared.fetcher.spawn(source.shared.clone().load_free_list(source.view.clone()));
    bulk::on_page_1(source);
}

impl PrefetchState {
    /// Updates the scans with a page that the reader reads, which may not be in the cache yet.
    fn advance_to(&mut self, pgno: u32, source: &Source<'_>) {
        if let Some(at) = self.scans.iter_mut().position(|scan| scan.advance_to(pgno, source, &mut self.nodes)) {
            if let Some(scan) = self.scans.remove(at) {
                self.scans.push_front(scan);
            }
            return;
        }
        if self.candidates.iter().any(|candidate| candidate.is_at(pgno)) {
            return;
        }
        let Some(here) = ScanCandidate::at(pgno, source, &mut self.nodes) else { return };
        let mut candidates = self.candidates.iter().enumerate();
        let found = candidates.find_map(|(at, candidate)| Some((at, candidate.direction_to(pgno)?)));
        match found.and_then(|(at, direction)| Some((self.candidates.remove(at)?, direction))) {
            Some((candidate, direction)) => {
                let mut scan = Scan::begin(&candidate, direction, &here);
                scan.extend(source, &mut self.nodes);
                self.scans.push_front(scan);
                self.scans.truncate(MAX_SCANS);
            }
            None => {
                self.candidates.push_front(here);
                self.candidates.truncate(MAX_CANDIDATES);
            }
        }
    }

    /// Updates the overflow chain with the content of the page that the reader reads.
    fn on_content(&mut self, pgno: u32, page: &Page, source: &Source<'_>) {
        match btree::kind(page, pgno) {
            PageKind::Leaf => self.leaf = pgno,
            PageKind::Interior => {}
            PageKind::Other => {
                if !self.chain.as_mut().is_some_and(|chain| chain.advance_to(pgno, page, source)) {
                    self.chain = OverflowChain::begin(pgno, self.leaf, source);
                }
            }
        }
    }
}

impl fmt::Debug for Prefetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prefetcher")
    }
}
