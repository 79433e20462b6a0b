//! Speculative requests: pages that may be read soon.
//!
//! They wait for one of fewer permits than requests that a reader waits for, so that they do not delay those. A
//! speculative request enters the table of requests in flight only when it has a permit; until then no reader joins it, and
//! it is dropped if its token is. Speculation is counted in bytes of files: those fetched, and those of them read.

use crate::replica::dbformat::freelist::FreeList;
use crate::replica::fetch::run::FetchRun;
use crate::replica::fetch::{Fetcher, MAX_SPECULATIVE_REQUESTS, Page, PageKey, View, run};
use futures_util::future::join_all;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Bytes of files that were fetched before a reader needed them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Speculation {
    /// All of them.
    pub fetched: u64,
    /// Those whose pages have been read since.
    pub used: u64,
}

/// Keeps speculative requests alive. Its owner drops it when their pages are no longer expected to be read.
pub(in crate::replica) type SpeculationToken = Arc<()>;

/// A number of pages that were requested speculatively and have not been received.
pub(super) struct PendingPages {
    fetcher: Arc<Fetcher>,
    count: u64,
}

impl PendingPages {
    pub(super) fn new(fetcher: &Arc<Fetcher>, count: usize) -> PendingPages {
        fetcher.pending_pages.fetch_add(count as u64, Ordering::Relaxed);
        PendingPages { fetcher: fetcher.clone(), count: count as u64 }
    }
}

impl Drop for PendingPages {
    fn drop(&mut self) {
        self.fetcher.pending_pages.fetch_sub(self.count, Ordering::Relaxed);
    }
}

impl Fetcher {
    /// Returns how many bytes were fetched speculatively, and how many of them were read.
    pub(in crate::replica) fn speculation(&self) -> Speculation {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Speculation { fetched: load(&self.speculative_bytes), used: load(&self.used_bytes) }
    }

    /// Counts the first read of a page that was fetched speculatively.
    pub(in crate::replica) fn count_used(&self, page: &Page) {
        self.used_bytes.fetch_add(self.cache.first_use(page).into(), Ordering::Relaxed);
    }

    /// Returns how many more pages may be fetched speculatively such that the cache keeps them until they are read.
    pub(in crate::replica) fn speculative_room(&self, page_size: u32) -> u64 {
        self.cache.room_for_unread(page_size, 1).saturating_sub(self.pending_pages.load(Ordering::Relaxed))
    }

    /// Returns the maximum number of pages that are fetched around a page that a reader waits for. Many neighbours are never
    /// read, so they leave half of the room to better predictions, and one request takes an eighth of the rest.
    pub(super) fn max_neighbours(&self, page_size: u32) -> u64 {
        let room = self.cache.room_for_unread(page_size, 2);
        room.saturating_sub(self.pending_pages.load(Ordering::Relaxed)) / 8
    }

    /// Returns true if a new speculative request would have to wait for others.
    pub(in crate::replica) fn is_saturated(&self) -> bool {
        self.speculative_permits.available_permits() == 0
    }

    /// Requests pages speculatively, in approximately the given order, while `token` is held. Does not wait. The pages in
    /// `free` are not fetched along with them.
    pub(in crate::replica) fn speculate(
        self: &Arc<Self>,
        view: &Arc<View>,
        pages: &[u32],
        token: &SpeculationToken,
        free: &Arc<FreeList>,
    ) {
        let Some(runtime) = self.runtime.get() else { return };
        for run in self.plan_runs(view, pages, free) {
            let pending = PendingPages::new(self, run.frames.len());
            runtime.spawn(self.clone().fetch_run(run, pending, Arc::downgrade(token)));
        }
        if view.base().is_none() {
            return;
        }
        let unlocated: Vec<u32> = pages.iter().copied().filter(|pgno| view.is_unlocated(*pgno)).collect();
        if !unlocated.is_empty() {
            let pending = PendingPages::new(self, unlocated.len());
            let (view, token, free) = (view.clone(), Arc::downgrade(token), free.clone());
            runtime.spawn(self.clone().speculate_unlocated(view, unlocated, pending, token, free));
        }
        self.read_index_ahead(view, pages);
    }

    /// Reads the index of pages, then requests them.
    async fn speculate_unlocated(
        self: Arc<Self>,
        view: Arc<View>,
        pages: Vec<u32>,
        pending: PendingPages,
        token: Weak<()>,
        free: Arc<FreeList>,
    ) {
        let located = self.read_index_of(&view, &pages).await;
        drop(pending);
        // Errors are ignored: a reader that needs one of the pages requests it again.
        if let (Ok(()), Some(token)) = (located, token.upgrade()) {
            self.speculate(&view, &pages, &token, &free);
        }
    }

    /// Fetches the pages that are not cached as [`Fetcher::speculate`] does, and waits until all requests have finished.
    pub(in crate::replica) async fn fetch_missing(self: &Arc<Self>, view: &View, pages: &[u32], free: &FreeList) {
        let token = SpeculationToken::default();
        let missing: Vec<u32> = pages.iter().copied().filter(|pgno| self.is_missing(view, *pgno)).collect();
        self.read_index_ahead(view, &missing);
        // Errors are ignored: a reader that needs one of the pages requests it again.
        let _ = self.read_index_of(view, &missing).await;
        let runs = self.plan_runs(view, &missing, free);
        let requests = runs.into_iter().map(|run| {
            let pending = PendingPages::new(self, run.frames.len());
            self.clone().fetch_run(run, pending, Arc::downgrade(&token))
        });
        join_all(requests).await;
    }

    /// Returns how many bytes the requests for some pages read.
    pub(in crate::replica) fn request_bytes(&self, view: &View, pages: &[u32], free: &FreeList) -> u64 {
        let unlocated = pages.iter().filter(|pgno| view.is_unlocated(**pgno));
        let estimated: u64 = unlocated.filter_map(|pgno| view.frame_size(*pgno)).map(u64::from).sum();
        run::total(&self.plan_runs(view, pages, free)) + estimated
    }

    /// Joins pages into requests. A request also takes pages between those, if the cache keeps them at little cost.
    fn plan_runs(&self, view: &View, pages: &[u32], free: &FreeList) -> Vec<FetchRun> {
        let database = u64::from(view.commit()) * u64::from(view.page_size());
        let cache_holds_all = database <= self.cache.capacity();
        let (mut gap, max_request) = (self.pace.max_gap(), self.pace.max_request());
        let max_gap = if cache_holds_all { self.pace.round_trip_bytes() / 3 } else { self.pace.neighbour_bytes() };
        let mut runs = run::join(view, pages, gap, max_request);
        // Requests that have to wait for a permit cost more than reading the bytes between them.
        while runs.len() > MAX_SPECULATIVE_REQUESTS
            && gap < max_gap
            && run::total(&runs) / runs.len() as u64 <= max_request / 2
        {
            gap *= 2;
            runs = run::join(view, pages, gap, max_request);
        }
        if cache_holds_all || run::total(&runs) <= self.cache.capacity() / 32 {
            let mut room = self.speculative_room(view.page_size()).saturating_sub(pages.len() as u64);
            let mut is_wanted = |key: PageKey| {
                let is_wanted = room > 0 && !free.contains(key.pgno) && !self.cache.contains(key);
                room -= u64::from(is_wanted);
                is_wanted
            };
            runs.iter_mut().for_each(|run| run::fill(run, view, &mut is_wanted));
        }
        runs
    }

    /// Waits for a permit, then fetches those pages of a run that are neither cached nor in flight, and waits for the
    /// others. Does nothing if the token was dropped.
    async fn fetch_run(self: Arc<Self>, mut run: FetchRun, pending: PendingPages, token: Weak<()>) {
        let _permit = self.speculative_permits.acquire().await;
        if token.strong_count() == 0 {
            return;
        }
        let (file, mut joined) = (run.file.number, Vec::new());
        let own = {
            let mut in_flight = self.in_flight.lock();
            run.frames.retain(|frame| {
                let key = PageKey { file, pgno: frame.pgno };
                let request = in_flight.get(&key);
                joined.extend(request.cloned());
                request.is_none() && !self.cache.contains(key)
            });
            if run.frames.is_empty() { None } else { Some(self.send(run, pending, &mut in_flight)) }
        };
        // Errors are ignored: a reader that needs one of the pages requests it again.
        join_all(own.into_iter().chain(joined)).await;
    }
}
