//! Hydration: fetches the whole newest state into the cache directory, in the background.
//!
//! A page is used as soon as it is there. There is no other state than the pages themselves, so hydration goes on where it was after any
//! interruption, also in another process.

mod state;

pub use state::HydrationProgress;

use crate::lock::Mutex;
use crate::ltx::FileName;
use crate::replica::fetch::{FetchError, Fetcher};
use crate::replica::files::Files;
use crate::replica::files::load_error::LoadError;
use crate::replica::files::ltx_file::LtxFile;
use crate::replica::follow::Follower;
use crate::replica::follow::head::Head;
use crate::replica::view::View;
use futures_util::{StreamExt, stream};
use state::{FilesOfHistory, HydrationState};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
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

/// How long pages of a state are fetched while there is a newer one, or other files of it. To look for what those lack takes time too.
const STAY: Duration = Duration::from_secs(30);

/// Fetches the newest state of a replica into its cache directory.
pub(in crate::replica) struct Hydration {
    files: Arc<Files>,
    fetcher: Arc<Fetcher>,
    follower: Arc<Follower>,
    head: Arc<Head>,
    state: Mutex<HydrationState>,
}

/// Why a state was not hydrated.
enum Hindrance {
    /// Nothing changes without the user.
    Lasting(String),
    /// The pages could not be fetched.
    Fetch(FetchError),
    /// This many pages are still missing although all were requested.
    Unreadable(usize),
    /// The index of this file is not in the directory although it was written.
    Unkept(FileName),
}

impl From<FetchError> for Hindrance {
    fn from(error: FetchError) -> Hindrance {
        Hindrance::Fetch(error)
    }
}

impl From<LoadError> for Hindrance {
    fn from(error: LoadError) -> Hindrance {
        Hindrance::Fetch(error.into())
    }
}

impl Hydration {
    pub(in crate::replica) fn new(
        files: Arc<Files>,
        fetcher: Arc<Fetcher>,
        follower: Arc<Follower>,
        head: Arc<Head>,
    ) -> Hydration {
        Hydration { files, fetcher, follower, head, state: Mutex::default() }
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
            let last_eviction = self.last_eviction();
            // Before the directory is looked through: what is evicted meanwhile has to be looked for again.
            self.state.lock().forget_evicted(last_eviction);
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

    /// Returns when a process has evicted something from the directory last.
    fn last_eviction(&self) -> Option<SystemTime> {
        self.fetcher.cache().directory()?.last_eviction()
    }

    /// Fetches what is missing of a view. Ends before that if there has been a view of other files for some time.
    async fn hydrate(&self, view: &Arc<View>) -> Result<(), Hindrance> {
        let (files, missing) = (FilesOfHistory::of(view), self.missing(view).await);
        let started = Instant::now();
        let batches: Vec<_> = missing.chunks(BATCH).map(|pages| self.fetch(view, pages)).collect();
        let mut fetched = stream::iter(batches).buffered(CONCURRENT_BATCHES);
        while let Some(batch) = fetched.next().await {
            batch?;
            let is_outdated = || self.head.view().is_some_and(|head| !files.include(&head));
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
        self.keep_parts(view).await?;
        self.state.lock().complete(files);
        Ok(())
    }

    /// Ensures that a new process can build a view without the store.
    async fn keep_parts(&self, view: &View) -> Result<(), Hindrance> {
        let complete = self.state.lock().complete_files(view);
        let files: Vec<Arc<LtxFile>> = view.files().chain([view.tip()]).cloned().collect();
        for file in files.iter().filter(|file| !complete.contains(&file.number)) {
            if !self.files.loader.keep_parts(file).await? {
                self.check_directory(view)?;
                return Err(Hindrance::Unkept(file.name));
            }
        }
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
            Hindrance::Unkept(name) => format!("the index of the file {name} is not in the cache directory"),
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
    ///
    /// The first time that it looks for the pages of a file, it reads those that are there: they may be damaged. What is written after that is
    /// right, so the next time it only looks whether there is something.
    async fn missing(&self, view: &Arc<View>) -> Vec<u32> {
        let (complete, read) = self.state.lock().known_files(view);
        let (mut missing, mut damaged) = (Vec::new(), HashSet::new());
        for pgno in 1..=view.commit() {
            if pgno.is_multiple_of(BATCH as u32) {
                self.state.lock().found(view.commit(), pgno - 1 - missing.len() as u32);
                tokio::task::yield_now().await;
            }
            let Some(file) = view.file_of(pgno).filter(|file| !complete.contains(&file.number)) else { continue };
            if !self.fetcher.is_kept(file, pgno) {
                missing.push(pgno);
            } else if !read.contains(&file.number) && !self.fetcher.is_intact(file, pgno) {
                missing.push(pgno);
                damaged.insert(file.number);
            }
        }
        self.state.lock().looked(view, missing.len() as u32, &damaged);
        missing
    }

    /// Fails if the directory cannot keep a whole view.
    fn check_directory(&self, view: &View) -> Result<(), Hindrance> {
        let size = u64::from(view.commit()) * u64::from(view.page_size());
        self.fetcher.cache().check_keeps(size).map_err(Hindrance::Lasting)
    }
}
