//! What a reader is about to read, from what it has read.
//!
//! Each reader has its own, so that two do not disturb each other. It hears of three things: of inner pages (which
//! are noted, no more), of pages that were fetched as a guess and are read for the first time, and of pages that the
//! reader waits for. Any other read of a page in the cache costs two comparisons.
//!
//! | module | what it knows |
//! |---|---|
//! | `nodes`, `cursor` | where a page lies in the order of its table or index |
//! | `scan`, `chain` | what comes next: leaves, overflow pages |
//! | `window` | how much of it to ask for |
//! | `purchase` | when to fetch all of a table, an index or the database |

mod bulk;
mod cursor;
mod nodes;
mod overflow;
mod scan;
pub(in crate::replica) mod waits;
mod window;

use crate::lock::Mutex;
use crate::replica::cache::Page;
use crate::replica::dbformat::btree;
use crate::replica::dbformat::btree::PageKind;
use crate::replica::fetch::Fetcher;
use crate::replica::view::View;
use nodes::{Nodes, Recent};
use overflow::OverflowChain;
use scan::{Scan, Seed};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// What one reader is about to read.
pub(super) struct Prefetcher {
    recent: Recent,
    state: Mutex<PrefetchState>,
}

#[derive(Default)]
struct PrefetchState {
    nodes: Nodes,
    /// Newest first.
    seeds: VecDeque<Seed>,
    /// The one that moved last first.
    scans: VecDeque<Scan>,
    chain: Option<OverflowChain>,
    /// The leaf that was heard of last.
    leaf: u32,
}

/// So many are kept: a join reads several tables and indexes in turn.
const SEEDS: usize = 8;
const SCANS: usize = 6;

/// What a reader reads from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub fetcher: &'a Arc<Fetcher>,
    pub view: &'a Arc<View>,
}

impl Source<'_> {
    /// How many bytes are fetched around a page that is asked for, at the most.
    fn reach(&self) -> u64 {
        self.fetcher.reach(self.view.page_size())
    }

    /// Whether a page is here and has been read before.
    fn is_read(&self, pgno: u32) -> bool {
        self.fetcher.peek(self.view, pgno).is_some_and(|page| !page.is_unread())
    }
}

/// How the reader came to a page it waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// It had to be asked for.
    Asked,
    /// It was on its way already, or lay in memory.
    Foreseen,
}

impl Prefetcher {
    pub(super) fn new() -> Prefetcher {
        Prefetcher { recent: Recent::new(), state: Mutex::default() }
    }

    /// The reader reads a page that is in the cache.
    #[inline]
    pub(super) fn reads(&self, source: Source<'_>, pgno: u32, page: &Page) {
        if btree::kind(page, pgno) == PageKind::Interior {
            self.recent.note(pgno);
        }
        if page.is_unread() {
            self.uses(source, pgno, page);
        }
    }

    #[cold]
    fn uses(&self, source: Source<'_>, pgno: u32, page: &Page) {
        source.fetcher.count_used(page);
        if pgno == 1 {
            self.begins(source);
        }
        let mut state = self.state.lock();
        state.nodes.absorb(&source, &self.recent);
        state.comes_to(pgno, &source);
        state.has(pgno, page, &source);
    }

    /// The reader reads a page 1 that is new to it.
    fn begins(&self, source: Source<'_>) {
        source.fetcher.spawn(source.fetcher.clone().learn_free(source.view.clone()));
        bulk::begin(&source);
    }

    /// The reader has asked for a page and begins to wait.
    pub(super) fn waits(&self, source: Source<'_>, pgno: u32) {
        let mut state = self.state.lock();
        state.nodes.absorb(&source, &self.recent);
        state.comes_to(pgno, &source);
    }

    /// The page that the reader waited for is here.
    pub(super) fn receives(&self, source: Source<'_>, pgno: u32, page: &Page, arrival: Arrival) {
        source.fetcher.count_used(page);
        let kind = btree::kind(page, pgno);
        if kind == PageKind::Interior {
            self.recent.note(pgno);
        }
        if pgno == 1 {
            self.begins(source);
        }
        let mut state = self.state.lock();
        state.has(pgno, page, &source);
        if arrival == Arrival::Asked {
            let path = state.nodes.path(&source, pgno);
            drop(state);
            bulk::consider(&source, &path, kind);
        }
    }
}

impl PrefetchState {
    /// The reader is at a page, which may not be here yet.
    fn comes_to(&mut self, pgno: u32, source: &Source<'_>) {
        if let Some(at) = self.scans.iter_mut().position(|scan| scan.pass(pgno, source, &mut self.nodes)) {
            if let Some(scan) = self.scans.remove(at) {
                self.scans.push_front(scan);
            }
            return;
        }
        if self.seeds.iter().any(|seed| seed.is_at(pgno)) {
            return;
        }
        let Some(here) = Seed::at(pgno, source, &mut self.nodes) else { return };
        let found = self.seeds.iter().enumerate().find_map(|(at, seed)| Some((at, seed.way_to(pgno)?)));
        match found.and_then(|(at, way)| Some((self.seeds.remove(at)?, way))) {
            Some((seed, way)) => {
                let mut scan = Scan::begin(&seed, way, &here);
                scan.extend(source, &mut self.nodes);
                self.scans.push_front(scan);
                self.scans.truncate(SCANS);
            }
            None => {
                self.seeds.push_front(here);
                self.seeds.truncate(SEEDS);
            }
        }
    }

    /// The page that the reader is at is here.
    fn has(&mut self, pgno: u32, page: &Page, source: &Source<'_>) {
        match btree::kind(page, pgno) {
            PageKind::Leaf => self.leaf = pgno,
            PageKind::Interior => {}
            PageKind::Other => {
                if !self.chain.as_mut().is_some_and(|chain| chain.pass(pgno, page, source)) {
                    self.chain = OverflowChain::begin(pgno, self.leaf, source);
                }
            }
        }
    }
}

impl fmt::Debug for Prefetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Foresight")
    }
}
