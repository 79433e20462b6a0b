//! Pages that somebody may want soon.
//!
//! They wait for one of fewer places than what a reader waits for, so that they never stand in the way; until it has one
//! nobody joins a guess, and it is dropped if whoever guessed has thought better of it. Guesses are counted in bytes of files:
//! those that were fetched, and those of them that were read.

use crate::replica::fetch::run::FetchRun;
use crate::replica::fetch::{Fetcher, GUESSES_IN_FLIGHT, Page, PageKey, View, run};
use futures_util::future::join_all;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Bytes of files that were fetched before anybody asked for them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Speculation {
    /// All of them.
    pub fetched: u64,
    /// Those whose pages were read since.
    pub used: u64,
}

/// Whoever guesses holds one, and lets go of it when the guess is worth nothing any more.
pub(in crate::replica) type SpeculationToken = Arc<()>;

/// Pages that were asked for as guesses and are not here yet.
pub(super) struct Coming {
    fetcher: Arc<Fetcher>,
    pages: u64,
}

impl Coming {
    pub(super) fn new(fetcher: &Arc<Fetcher>, pages: usize) -> Coming {
        fetcher.coming.fetch_add(pages as u64, Ordering::Relaxed);
        Coming { fetcher: fetcher.clone(), pages: pages as u64 }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.fetcher.coming.fetch_sub(self.pages, Ordering::Relaxed);
    }
}

impl Fetcher {
    /// What was fetched as a guess, and what of it was read.
    pub(in crate::replica) fn guesses(&self) -> Speculation {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Speculation { fetched: load(&self.guessed), used: load(&self.used) }
    }

    /// A page is read, which may have been a guess.
    pub(in crate::replica) fn count_used(&self, page: &Page) {
        self.used.fetch_add(self.cache.first_use(page).into(), Ordering::Relaxed);
    }

    /// How many more pages may be fetched before anybody asks for them, so that they stay in the cache until they are read.
    pub(in crate::replica) fn room(&self, page_size: u32) -> u64 {
        self.cache.room_for_unread(page_size, 1).saturating_sub(self.coming.load(Ordering::Relaxed))
    }

    /// How many pages may be fetched around one that is asked for, at the most. Many of them are never read, so they leave
    /// half of the room to better guesses, and one of them takes an eighth.
    pub(super) fn neighbours(&self, page_size: u32) -> u64 {
        self.cache.room_for_unread(page_size, 2).saturating_sub(self.coming.load(Ordering::Relaxed)) / 8
    }

    /// Whether guesses wait for others.
    pub(in crate::replica) fn is_busy(&self) -> bool {
        self.guesses.available_permits() == 0
    }

    /// Fetches pages that somebody may want soon, in about this order, while `wish` is held. Does not wait.
    pub(in crate::replica) fn guess(self: &Arc<Self>, view: &View, pages: &[u32], wish: &SpeculationToken) {
        let Some(runtime) = self.runtime.get() else { return };
        for run in self.gather(view, pages) {
            let coming = Coming::new(self, run.frames.len());
            runtime.spawn(self.clone().fly(run, coming, Arc::downgrade(wish)));
        }
    }

    /// Fetches pages as [`Fetcher::guess`] does, and waits until they are here or cannot be had.
    pub(in crate::replica) async fn bring(self: &Arc<Self>, view: &View, pages: &[u32]) {
        let wish = SpeculationToken::default();
        let missing: Vec<u32> = pages.iter().copied().filter(|pgno| self.is_missing(view, *pgno)).collect();
        let runs = self.gather(view, &missing);
        let flights = runs.into_iter().map(|run| {
            let coming = Coming::new(self, run.frames.len());
            self.clone().fly(run, coming, Arc::downgrade(&wish))
        });
        join_all(flights).await;
    }

    /// The bytes of the requests that bring pages.
    pub(in crate::replica) fn cost(&self, view: &View, pages: &[u32]) -> u64 {
        run::total(&self.gather(view, pages))
    }

    fn gather(&self, view: &View, pages: &[u32]) -> Vec<FetchRun> {
        let database = u64::from(view.commit()) * u64::from(view.page_size());
        // What comes along is kept in memory if it pushes nothing out, or little.
        let holds_all = database <= self.cache.capacity();
        let (mut gap, piece) = (self.pace.gap(), self.pace.piece());
        let most = if holds_all { self.pace.round_trip() / 3 } else { self.pace.reach() };
        let mut runs = run::gather(view, pages, gap, piece);
        // Requests that have to wait for each other cost more than what lies between them.
        while runs.len() > GUESSES_IN_FLIGHT && gap < most && run::total(&runs) / runs.len() as u64 <= piece / 2 {
            gap *= 2;
            runs = run::gather(view, pages, gap, piece);
        }
        if holds_all || run::total(&runs) <= self.cache.capacity() / 32 {
            let mut room = self.room(view.page_size()).saturating_sub(pages.len() as u64);
            let mut wanted = |key: PageKey| {
                let is_wanted = room > 0 && !self.is_free(key.pgno) && !self.cache.contains(key);
                room -= u64::from(is_wanted);
                is_wanted
            };
            runs.iter_mut().for_each(|run| run::fill(run, view, &mut wanted));
        }
        runs
    }

    async fn fly(self: Arc<Self>, mut run: FetchRun, coming_pages: Coming, wish: Weak<()>) {
        let _permit = self.guesses.acquire().await;
        if wish.strong_count() == 0 {
            return;
        }
        let (file, mut coming) = (run.file.number, Vec::new());
        let own = {
            let mut flights = self.flights.lock();
            run.frames.retain(|frame| {
                let key = PageKey { file, pgno: frame.pgno };
                let flight = flights.get(&key);
                coming.extend(flight.cloned());
                flight.is_none() && !self.cache.contains(key)
            });
            if run.frames.is_empty() { None } else { Some(self.launch(run, coming_pages, &mut flights)) }
        };
        // Whoever waits for a guess can do without it.
        join_all(own.into_iter().chain(coming)).await;
    }
}
