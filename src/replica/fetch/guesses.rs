//! Pages that somebody may want soon.
//!
//! They wait for one of fewer places than what a reader waits for, so that they never stand in the way; until it has one
//! nobody joins a guess, and it is dropped if whoever guessed has thought better of it. Guesses are counted in bytes of files:
//! those that were fetched, and those of them that were read.

use super::run::{self, Run};
use super::{Fetcher, GUESSES_IN_FLIGHT, PageKey, View};
use futures_util::future::join_all;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Bytes of files that were fetched before anybody asked for them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Guesses {
    /// All of them.
    pub fetched: u64,
    /// Those whose pages were read since.
    pub used: u64,
}

/// Whoever guesses holds one, and lets go of it when the guess is worth nothing any more.
pub(in crate::replica) type Wish = Arc<()>;

impl Fetcher {
    /// What was fetched as a guess, and what of it was read.
    pub(in crate::replica) fn guesses(&self) -> Guesses {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Guesses { fetched: load(&self.guessed), used: load(&self.used) }
    }

    /// A guess of so many bytes was read.
    pub(in crate::replica) fn count_used(&self, bytes: u32) {
        self.used.fetch_add(bytes.into(), Ordering::Relaxed);
    }

    /// Whether guesses wait for others.
    pub(in crate::replica) fn is_busy(&self) -> bool {
        self.guesses.available_permits() == 0
    }

    /// Fetches pages that somebody may want soon, in about this order, while `wish` is held. Does not wait.
    pub(in crate::replica) fn guess(self: &Arc<Self>, view: &View, pages: &[u32], wish: &Wish) {
        let Some(runtime) = self.runtime.get() else { return };
        for run in self.gather(view, pages) {
            runtime.spawn(self.clone().fly(run, Arc::downgrade(wish)));
        }
    }

    /// Fetches pages as [`Fetcher::guess`] does, and waits until they are here or cannot be had.
    pub(in crate::replica) async fn bring(self: &Arc<Self>, view: &View, pages: &[u32]) {
        let wish = Wish::default();
        let missing: Vec<u32> = pages.iter().copied().filter(|pgno| self.is_missing(view, *pgno)).collect();
        let runs = self.gather(view, &missing);
        join_all(runs.into_iter().map(|run| self.clone().fly(run, Arc::downgrade(&wish)))).await;
    }

    /// The bytes of the requests that bring pages.
    pub(in crate::replica) fn cost(&self, view: &View, pages: &[u32]) -> u64 {
        run::total(&self.gather(view, pages))
    }

    fn gather(&self, view: &View, pages: &[u32]) -> Vec<Run> {
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
            let wanted = |key: PageKey| !self.is_free(key.pgno) && !self.cache.contains(key);
            runs.iter_mut().for_each(|run| run::fill(run, view, wanted));
        }
        runs
    }

    async fn fly(self: Arc<Self>, mut run: Run, wish: Weak<()>) {
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
            if run.frames.is_empty() { None } else { Some(self.launch(run, &mut flights)) }
        };
        // Whoever waits for a guess can do without it.
        join_all(own.into_iter().chain(coming)).await;
    }
}
