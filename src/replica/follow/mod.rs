//! Following the primary.
//!
//! A poll requests the next file of level 0 by its name: one request returns a newer file and its pages. The file is
//! applied to the view if it continues the view in the primary's WAL and the view's own newest file is unchanged. Some
//! polls request that own file instead, which exists as long as no newer file has replaced it, or list level 0 from the
//! view on, which shows a hole (see `schedule`). If these requests do not explain what they found, the whole replica is
//! listed. After any failure, the last view is kept until a correct one replaces it.
//!
//! | module | contents |
//! |---|---|
//! | `poll` | shares one poll between all callers that wait for it |
//! | `poll_loop` | the task that polls |
//! | `leader` | which process polls, if several share a cache directory |
//! | `schedule` | what each poll requests |
//! | `newer` | finds newer files at level 0 |
//! | `resume` | the newest view in the cache directory, with which the next process begins |
//! | `relist` | plans the newest view from a listing of the whole replica |
//! | `history` | whether files continue the history of a view |
//! | `view_loader` | builds views, and reads around damaged files |
//! | `head` | the newest view |
//! | `health` | whether the replica can be followed, and why not |
//! | `waiting` | what opens, readers with `max_staleness` and `litestream_wait` wait for |
//! | `waiters` | waits for a transaction, by one task for all callers |
//! | `verification` | reads the files of a view completely |

pub(in crate::replica) mod head;
pub(in crate::replica) mod health;
pub(in crate::replica) mod history;
mod leader;
mod newer;
pub(in crate::replica) mod poll;
mod poll_loop;
mod relist;
mod resume;
mod schedule;
pub(in crate::replica) mod verification;
pub(in crate::replica) mod view_loader;
mod waiters;
pub(in crate::replica) mod waiting;

use crate::error::Error;
use crate::lock::Mutex;
use crate::replica::fetch::Fetcher;
use crate::replica::files::Files;
use crate::replica::files::load_error::LoadError;
use crate::replica::view::{Epoch, View};
use crate::time::Stamp;
use head::Head;
use health::Health;
use history::Histories;
use newer::Newer;
use poll::{PollPurpose, Polls};
use resume::ResumedView;
use schedule::{PollProgress, PollStep};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;
use view_loader::ViewLoader;
use waiters::Waiters;

/// What a successful poll proves about the view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) enum PollOutcome {
    /// It is the newest state.
    Newest,
    /// The replica still has its history. The poll did not look for a newer state.
    SameHistory,
    /// Neither is certain.
    Uncertain,
}

impl PollOutcome {
    /// Whether the poll would have found newer files.
    pub(super) fn looked_for_newer(self) -> bool {
        self != PollOutcome::SameHistory
    }
}

/// Keeps the newest view of a replica up to date.
pub(in crate::replica) struct Follower {
    files: Arc<Files>,
    fetcher: Arc<Fetcher>,
    views: Arc<ViewLoader>,
    histories: Arc<Histories>,
    head: Arc<Head>,
    health: Arc<Health>,
    polls: Polls,
    pub(in crate::replica) progress: tokio::sync::Mutex<PollProgress>,
    waiters: Waiters,
    /// Files of the newest view have vanished or are damaged, so it has to be built from others.
    outdated: AtomicBool,
    poll_interval_ms: AtomicU64,
    /// The view in the cache directory when the process started. None once there is another one.
    resumed: Mutex<Arc<OnceCell<Option<ResumedView>>>>,
    /// The history that the last view was part of, and its number in records.
    lineage: Mutex<Option<(Epoch, u64)>>,
    /// The counter of the last view that a record of another process has published or confirmed.
    adopted: AtomicU32,
}

impl Follower {
    pub(in crate::replica) fn new(
        files: Arc<Files>,
        fetcher: Arc<Fetcher>,
        views: Arc<ViewLoader>,
        histories: Arc<Histories>,
        head: Arc<Head>,
        health: Arc<Health>,
    ) -> Follower {
        Follower {
            files,
            fetcher,
            views,
            histories,
            head,
            health,
            polls: Polls::default(),
            progress: tokio::sync::Mutex::default(),
            waiters: Waiters::default(),
            outdated: AtomicBool::new(false),
            poll_interval_ms: AtomicU64::new(0),
            resumed: Mutex::default(),
            lineage: Mutex::default(),
            adopted: AtomicU32::new(0),
        }
    }

    /// Time between two polls: the interval of the connection that wants the shortest.
    pub(in crate::replica) fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms.load(Ordering::Relaxed))
    }

    pub(in crate::replica) fn set_poll_interval(&self, interval: Duration) {
        let milliseconds = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        self.poll_interval_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// Has the next poll build the newest view from other files than those it is made of.
    pub(in crate::replica) fn set_outdated(&self) {
        self.outdated.store(true, Ordering::Relaxed);
    }

    /// Polls once, publishes a newer view, and records the outcome. Only one task at a time may call it.
    pub(super) async fn run_poll(&self, purpose: PollPurpose) -> Result<PollOutcome, Error> {
        let began = Stamp::now();
        let mut progress = self.progress.lock().await;
        self.health.begin_poll();
        let mut outcome = self.poll_once(purpose, &mut progress).await;
        if outcome.is_ok() && self.health.is_incomplete() {
            // There is a newer file, which cannot be read yet.
            outcome = Ok(PollOutcome::Uncertain);
        }
        progress.ended(outcome.is_err());
        self.health.end_poll(&outcome);
        if outcome.as_ref().is_ok_and(|outcome| *outcome == PollOutcome::Newest) {
            self.head.confirm(began);
            self.write_record(began);
        }
        outcome
    }

    async fn poll_once(&self, purpose: PollPurpose, progress: &mut PollProgress) -> Result<PollOutcome, Error> {
        let slept = progress.begin(self.poll_interval());
        let outdated = self.outdated.load(Ordering::Relaxed);
        let trusted = |view: &Arc<View>| !slept && !progress.wants_listing(outdated, self.is_scattered(view));
        match self.head.view().filter(trusted) {
            Some(view) => self.follow(view, purpose, progress).await,
            None => self.relist(progress).await,
        }
    }

    async fn follow(
        &self,
        view: Arc<View>,
        purpose: PollPurpose,
        progress: &mut PollProgress,
    ) -> Result<PollOutcome, Error> {
        let from = view.txid();
        let step = progress.step(purpose);
        let mut newer = match step {
            PollStep::Check => self.check_history(&view, progress).await,
            PollStep::ListLevel0 => self.list_level_0(view, progress).await,
            PollStep::RequestNext { check } => self.request_next(view, check, progress).await,
        };
        if let Ok(Newer::Followed(view)) = &newer
            && progress.requested(view.txid() != from)
            && step != PollStep::ListLevel0
        {
            // No newer file for the first time. If the next file was deleted before it was requested, this shows it.
            newer = self.list_level_0(view.clone(), progress).await;
        }
        match newer {
            Ok(Newer::Followed(view)) if view.txid() != from => {
                progress.moved_on();
                self.health.set_stalled(None);
                Ok(PollOutcome::Newest)
            }
            Ok(Newer::Followed(_)) if progress.is_in_doubt() => Ok(PollOutcome::Uncertain),
            Ok(Newer::Followed(_)) => Ok(PollOutcome::Newest),
            Ok(Newer::SameHistory { reappeared: false }) if progress.is_in_doubt() => Ok(PollOutcome::Uncertain),
            Ok(Newer::SameHistory { reappeared: false }) => Ok(PollOutcome::SameHistory),
            Ok(Newer::SameHistory { reappeared: true }) => self.relist(progress).await,
            Ok(Newer::Unexplained) | Err(LoadError::Moved) => {
                progress.doubted();
                if progress.may_list() { self.relist(progress).await } else { Ok(PollOutcome::Uncertain) }
            }
            // Other files may replace a damaged one.
            Err(error) if error.is_damage() && progress.may_look_around() => self.relist(progress).await,
            Err(LoadError::Other(error)) => Err(error),
        }
    }
}
