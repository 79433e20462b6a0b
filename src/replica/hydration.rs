//! Hydration: fetches the whole newest state into the cache directory, in the background.
//!
//! A page is used as soon as it is there. There is no other state than the pages themselves, so hydration goes on where it was after any
//! interruption, also in another process.

use crate::lock::Mutex;
use crate::replica::fetch::{FetchError, Fetcher};
use crate::replica::follow::Follower;
use crate::replica::follow::head::Head;
use crate::replica::view::View;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The pause before it looks for a newer state, and the first pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How many pages are fetched, or looked for, before the progress is updated.
const BATCH: usize = 256;

/// The progress of hydration: pages of the newest state, and those of them that are in the cache directory.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HydrationProgress {
    /// All pages.
    pub total: u32,
    /// Pages that are in the directory.
    pub present: u32,
}

impl HydrationProgress {
    /// Returns how much is there in percent; 0 before the first state.
    pub fn percent(self) -> f64 {
        f64::from(self.present) / f64::from(self.total.max(1)) * 100.0
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
    progress: HydrationProgress,
    /// The files whose pages are all there, as far as the newest state needs them.
    complete: HashSet<u32>,
    /// The counter of the state that is complete.
    hydrated: Option<u32>,
    has_warned: bool,
}

impl Hydration {
    pub(in crate::replica) fn new(fetcher: Arc<Fetcher>, follower: Arc<Follower>, head: Arc<Head>) -> Hydration {
        Hydration { fetcher, follower, head, state: Mutex::default() }
    }

    pub(in crate::replica) fn progress(&self) -> HydrationProgress {
        self.state.lock().progress
    }

    /// Hydrates each newest state until the task is aborted.
    pub(in crate::replica) async fn run_forever(self: Arc<Self>) {
        let mut pause = PAUSE;
        loop {
            let view = self.head.view().filter(|view| self.state.lock().hydrated != Some(view.counter()));
            match view {
                Some(view) => match self.hydrate(&view).await {
                    Ok(true) => pause = PAUSE,
                    Ok(false) => pause = (pause * 2).min(LONGEST_PAUSE),
                    Err(error) => {
                        tracing::debug!("hydration is interrupted: {error:?}");
                        if !matches!(error, FetchError::Other(_)) {
                            // The pages are read from other files of the next view.
                            self.follower.set_outdated();
                        }
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                },
                None => pause = PAUSE,
            }
            sleep(pause).await;
        }
    }

    /// Fetches what is missing of a view. Returns false if some pages are still missing although there is no newer view.
    async fn hydrate(&self, view: &Arc<View>) -> Result<bool, FetchError> {
        let missing = self.missing(view).await;
        if !self.fits(view) {
            return Ok(false);
        }
        for pages in missing.chunks(BATCH) {
            let fetched = self.fetcher.hydrate(view, pages).await?;
            self.state.lock().progress.present += fetched;
            if self.head.view().is_some_and(|head| head.counter() != view.counter()) {
                // The pages that are left are looked for again in the newer state.
                return Ok(true);
            }
        }
        let mut state = self.state.lock();
        let is_complete = state.progress.present == state.progress.total;
        if is_complete {
            state.complete = view.files().map(|file| file.number).collect();
            state.hydrated = Some(view.counter());
        }
        Ok(is_complete)
    }

    /// Returns the pages of a view that are not in the directory, and updates the progress.
    async fn missing(&self, view: &Arc<View>) -> Vec<u32> {
        let complete = self.state.lock().complete.clone();
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
        let (total, absent) = (view.commit(), missing.len() as u32);
        self.state.lock().progress = HydrationProgress { total, present: total - absent };
        missing
    }

    /// Whether the directory may become large enough. If not, hydration would evict what it has fetched.
    fn fits(&self, view: &View) -> bool {
        let size = u64::from(view.commit()) * u64::from(view.page_size());
        let room = self.fetcher.cache().disk_room(view.page_size());
        let fits = size <= room / 8 * 7;
        if !fits && room > 0 && !std::mem::replace(&mut self.state.lock().has_warned, true) {
            tracing::warn!(
                "the database has {size} bytes, so it does not fit into the cache directory, and is not hydrated; set a larger \
                 disk_cache_size"
            );
        }
        fits
    }
}
