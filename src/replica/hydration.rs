//! Hydration: fetches the whole newest state into the cache directory, in the background.
//!
//! A page is used as soon as it is there. There is no other state than the pages themselves, so hydration goes on where it was after any
//! interruption, also in another process.

use crate::lock::Mutex;
use crate::replica::fetch::{FetchError, Fetcher};
use crate::replica::follow::Follower;
use crate::replica::follow::head::Head;
use crate::replica::view::{Epoch, View};
use futures_util::{StreamExt, stream};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// The pause before it looks for a newer state, and the first pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After this many failures one after another, without a page between them, the last one is reported.
const REPORTED_AFTER: u32 = 4;

/// How many pages are fetched, or looked for, before the progress is updated.
const BATCH: usize = 256;

/// How many batches are fetched at the same time: while the pages of one are decoded, another is in flight.
const CONCURRENT_BATCHES: usize = 2;

/// How long pages of a state are fetched while there is a newer one. To look for what the newer one lacks takes time too.
const STAY: Duration = Duration::from_secs(30);

/// The progress of hydration: pages of the newest state, and those of them that are in the cache directory.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HydrationProgress {
    /// All pages.
    pub total: u32,
    /// Pages that are in the directory.
    pub present: u32,
    /// Whether the newest state is there completely.
    pub is_complete: bool,
}

impl HydrationProgress {
    /// Returns how much is there in percent, rounded down to a tenth. It is 100 only if the newest state is complete, and 0 before the first.
    pub fn percent(self) -> f64 {
        let per_mille = u64::from(self.present) * 1000 / u64::from(self.total.max(1));
        if self.is_complete { 100.0 } else { per_mille.min(999) as f64 / 10.0 }
    }
}

/// Fetches the newest state of a replica into its cache directory.
pub(in crate::replica) struct Hydration {
    fetcher: Arc<Fetcher>,
    follower: Arc<Follower>,
    head: Arc<Head>,
    state: Mutex<HydrationState>,
}

#[derive(Default)]
struct HydrationState {
    total: u32,
    present: u32,
    /// The newest state that is complete.
    hydrated: Option<HydratedView>,
    /// Failures since the last page was fetched.
    failures: u32,
    /// Why hydration does not go on.
    obstacle: Option<String>,
}

/// A view whose pages are all in the directory.
struct HydratedView {
    counter: u32,
    epoch: Epoch,
    /// The numbers of its files. Later states of its history need no other pages of them, but a replica that was set back can.
    files: Arc<HashSet<u32>>,
}

impl HydrationState {
    fn has_hydrated(&self, view: &View) -> bool {
        self.hydrated.as_ref().is_some_and(|hydrated| hydrated.counter == view.counter())
    }

    /// Returns the files of which the directory has every page that a view needs.
    fn complete_files(&self, view: &View) -> Arc<HashSet<u32>> {
        let hydrated = self.hydrated.as_ref().filter(|hydrated| hydrated.epoch == view.epoch());
        hydrated.map(|hydrated| hydrated.files.clone()).unwrap_or_default()
    }

    /// Records why hydration does not go on, and logs it once.
    fn stop(&mut self, reason: String) {
        if self.obstacle.is_none() {
            tracing::warn!("the newest state is not hydrated: {reason}");
        }
        self.obstacle = Some(reason);
    }
}

/// Why a state was not hydrated.
enum Hindrance {
    /// Nothing changes without the user.
    Lasting(String),
    /// The pages could not be fetched.
    Fetch(FetchError),
    /// This many pages are still missing although all were requested.
    Unreadable(usize),
}

impl From<FetchError> for Hindrance {
    fn from(error: FetchError) -> Hindrance {
        Hindrance::Fetch(error)
    }
}

impl Hydration {
    pub(in crate::replica) fn new(fetcher: Arc<Fetcher>, follower: Arc<Follower>, head: Arc<Head>) -> Hydration {
        Hydration { fetcher, follower, head, state: Mutex::default() }
    }

    pub(in crate::replica) fn progress(&self) -> HydrationProgress {
        let (head, state) = (self.head.view(), self.state.lock());
        let is_complete = head.is_some_and(|head| state.has_hydrated(&head));
        HydrationProgress { total: state.total, present: state.present, is_complete }
    }

    /// Returns why hydration does not go on, if it does not.
    pub(in crate::replica) fn obstacle(&self) -> Option<String> {
        self.state.lock().obstacle.clone()
    }

    /// Hydrates each newest state until the task is aborted.
    pub(in crate::replica) async fn run_forever(self: Arc<Self>) {
        let mut pause = PAUSE;
        loop {
            let Some(view) = self.head.view().filter(|view| !self.state.lock().has_hydrated(view)) else {
                // Ends early when there is a newer state.
                let _ = timeout(PAUSE, self.head.subscribe().changed()).await;
                continue;
            };
            match self.hydrate(&view).await {
                // There may be a newer state.
                Ok(()) => pause = PAUSE,
                Err(hindrance) => {
                    self.record(hindrance);
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Fetches what is missing of a view. Ends before that if there has been a newer view for some time.
    async fn hydrate(&self, view: &Arc<View>) -> Result<(), Hindrance> {
        let missing = self.missing(view).await;
        let started = Instant::now();
        let batches: Vec<_> = missing.chunks(BATCH).map(|pages| self.fetch(view, pages)).collect();
        let mut fetched = stream::iter(batches).buffered(CONCURRENT_BATCHES);
        while let Some(batch) = fetched.next().await {
            batch?;
            let is_outdated = || self.head.view().is_some_and(|head| head.counter() != view.counter());
            if started.elapsed() > STAY && is_outdated() {
                return Ok(());
            }
        }
        drop(fetched);
        // The directory may have evicted pages, or may have failed to keep them.
        let left = if missing.is_empty() { missing } else { self.missing(view).await };
        if !left.is_empty() {
            self.check_directory(view)?;
            return Err(Hindrance::Unreadable(left.len()));
        }
        let mut state = self.state.lock();
        let files = Arc::new(view.files().map(|file| file.number).collect());
        state.hydrated = Some(HydratedView { counter: view.counter(), epoch: view.epoch(), files });
        (state.failures, state.obstacle) = (0, None);
        Ok(())
    }

    async fn fetch(&self, view: &View, pages: &[u32]) -> Result<(), Hindrance> {
        self.check_directory(view)?;
        self.add(self.fetcher.hydrate(view, pages).await?);
        Ok(())
    }

    fn add(&self, fetched: u32) {
        if fetched > 0 {
            let mut state = self.state.lock();
            state.present += fetched;
            (state.failures, state.obstacle) = (0, None);
        }
    }

    fn record(&self, hindrance: Hindrance) {
        let mut state = self.state.lock();
        state.failures += 1;
        let reason = match hindrance {
            Hindrance::Lasting(reason) => return state.stop(reason),
            Hindrance::Unreadable(pages) => format!("{pages} pages cannot be read from their files"),
            Hindrance::Fetch(FetchError::Other(error)) => error.to_string(),
            Hindrance::Fetch(moved) => {
                // The pages are read from other files of the next view.
                self.follower.set_outdated();
                match moved {
                    FetchError::Damaged(error) | FetchError::Spoiled(error) => error.to_string(),
                    _ => "files of the newest state have vanished".to_owned(),
                }
            }
        };
        tracing::debug!("hydration is interrupted: {reason}");
        if state.failures >= REPORTED_AFTER {
            state.stop(reason);
        }
    }

    /// Returns the pages of a view that are not in the directory, and updates the progress.
    async fn missing(&self, view: &Arc<View>) -> Vec<u32> {
        let complete = self.state.lock().complete_files(view);
        let mut missing = Vec::new();
        for pgno in 1..=view.commit() {
            if pgno.is_multiple_of(BATCH as u32) {
                tokio::task::yield_now().await;
            }
            let is_new = view.file_of(pgno).is_some_and(|file| !complete.contains(&file.number));
            if is_new && !self.fetcher.is_kept(view, pgno) {
                missing.push(pgno);
            }
        }
        let mut state = self.state.lock();
        (state.total, state.present) = (view.commit(), view.commit() - missing.len() as u32);
        missing
    }

    /// Fails if the directory cannot keep a whole view.
    fn check_directory(&self, view: &View) -> Result<(), Hindrance> {
        let size = u64::from(view.commit()) * u64::from(view.page_size());
        self.fetcher.cache().check_keeps(size).map_err(Hindrance::Lasting)
    }
}
