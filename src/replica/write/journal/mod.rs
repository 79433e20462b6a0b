//! The journal of a writer: a commit returns when its transaction is durable in a local file, and is uploaded later.
//!
//! The transactions since the last upload become one file of the replica, with one TXID. Until then each has a state of its own, which only
//! this process reads ([`Head::served`](crate::replica::follow::head::Head::served)). The follower knows nothing of it.
//!
//! | module | contents |
//! |---|---|
//! | `format` | the format of a journal |
//! | `storage` | its files, and their lock |
//! | `stored` | reads them |
//! | `rest` | keeps what follows the last transaction that can be read |
//! | `failure` | why they cannot be used, and what to do about it |
//! | `pending` | the transactions that are not uploaded |
//! | `append` | commits a transaction into the journal |
//! | `recovery` | opens a journal, and continues with what an earlier process has left |
//! | `upload` | uploads the transactions, in the background or when a caller waits for it |
//! | `due` | when that happens, and who waits for it |
//! | `discard` | gives up transactions that cannot be uploaded |

mod append;
#[cfg(test)]
pub(in crate::replica) mod crash;
mod discard;
mod due;
mod failure;
mod format;
mod pending;
mod recovery;
mod rest;
mod storage;
mod stored;
#[cfg(test)]
mod tests;
mod upload;

pub(in crate::replica::write) use append::is_same_state;
pub(in crate::replica) use recovery::OPEN_LIMIT;

use crate::config::Settings;
use crate::error::Error;
use crate::lock::{Mutex, MutexGuard};
use crate::runtime;
use crate::store::Location;
use pending::PendingTransactions;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use storage::{JournalSteps, JournalStorage};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long whoever waits for the state does so before it tries again.
const PAUSE: Duration = Duration::from_millis(2);

/// How the journal of a replica is used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::replica) struct JournalSettings {
    /// The directory of the journals of all replicas.
    pub directory: PathBuf,
    /// Identifies the replica.
    pub place: String,
    /// The time between a commit and its upload. With 0, commits go to the store, and the journal is only emptied.
    pub interval: Duration,
    pub limits: JournalLimits,
}

/// What a journal holds at most, unless a single transaction is larger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) struct JournalLimits {
    pub bytes: u64,
    pub transactions: u64,
}

impl Default for JournalLimits {
    fn default() -> JournalLimits {
        JournalLimits { bytes: 256 << 20, transactions: 64 << 10 }
    }
}

impl JournalSettings {
    /// Returns the settings of the journal for a replica. None if there is none.
    pub(in crate::replica) fn of(settings: &Settings, location: &Location) -> Option<JournalSettings> {
        let directory = settings.buffer_path.clone().filter(|_| settings.writes)?;
        let (place, limits) = (location.place().to_owned(), JournalLimits::default());
        Some(JournalSettings { directory, place, interval: settings.sync_interval, limits })
    }
}

/// The journal of the writer of a replica in this process.
pub(in crate::replica) struct Journal {
    settings: JournalSettings,
    state: Mutex<JournalState>,
    /// Notified at each change of the state.
    changed: watch::Sender<()>,
    steps: JournalSteps,
}

#[derive(Default)]
struct JournalState {
    /// None while the journal is not open, for example because another process has it.
    open: Option<OpenJournal>,
    /// Why the journal could not be opened, or why the last upload failed.
    failure: Option<Error>,
    /// The number of the last transaction that a caller wants to be uploaded at once.
    wanted: u64,
    /// Whether requests for an upload are going on.
    is_uploading: bool,
    is_closed: bool,
}

/// A journal that this process uses.
struct OpenJournal {
    storage: JournalStorage,
    pending: PendingTransactions,
    /// Whether the file of the last upload is still on the disk, although it is in the replica.
    is_upload_left: bool,
    /// Why nothing is appended or uploaded any more.
    stopped: Option<Error>,
}

/// What a journal holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JournalStatus {
    /// Where it is.
    pub path: Option<String>,
    /// Transactions that are not uploaded. What an earlier process had begun to upload counts as one.
    pub transactions: u64,
    /// The length of their files.
    pub bytes: u64,
    /// Why the journal cannot be used, or why the last upload failed.
    pub failure: Option<String>,
}

impl Journal {
    pub(in crate::replica) fn new(settings: JournalSettings) -> Journal {
        Journal { settings, state: Mutex::default(), changed: watch::Sender::new(()), steps: JournalSteps::default() }
    }

    /// Creates a journal of a process that ends at this point.
    #[cfg(test)]
    pub(in crate::replica) fn with_crash_point(settings: JournalSettings, end: crash::CrashPoint) -> Journal {
        Journal { steps: JournalSteps(end), ..Journal::new(settings) }
    }

    /// Whether commits go to the journal.
    pub(in crate::replica) fn takes_commits(&self) -> bool {
        !self.settings.interval.is_zero()
    }

    /// Takes a step that waits for the disk, on a thread of its own.
    async fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        step: impl FnOnce(&Journal) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let journal = self.clone();
        runtime::on_own_thread(move || step(&journal)).await
    }

    /// Returns the state in an asynchronous task. Whoever has it may be waiting for the disk.
    async fn state_in_task(&self) -> MutexGuard<'_, JournalState> {
        if let Some(state) = self.state.try_lock() {
            return state;
        }
        // A commit notifies when it has ended. So a task gets the lock between two of them.
        let mut changes = self.changed.subscribe();
        loop {
            if let Some(state) = self.state.try_lock() {
                return state;
            }
            let _ = timeout(PAUSE, changes.changed()).await;
        }
    }

    /// Returns the state outside of a task. None if whoever has it waits for the disk for longer than `limit`.
    fn state_within(&self, limit: Duration) -> Option<MutexGuard<'_, JournalState>> {
        let begun = Instant::now();
        loop {
            let state = self.state.try_lock();
            if state.is_some() || begun.elapsed() >= limit {
                return state;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Returns what the journal holds, and why nothing is written any more. Waits a second at most for the disk.
    pub(super) fn status(&self) -> (JournalStatus, Option<Error>) {
        const LIMIT: Duration = Duration::from_secs(1);
        let Some(state) = self.state_within(LIMIT) else {
            let failure = Some(failure::hangs(&self.settings.directory, LIMIT).to_string());
            return (JournalStatus { failure, ..JournalStatus::default() }, None);
        };
        let failure = state.failure.as_ref().map(Error::to_string);
        let Some(open) = &state.open else { return (JournalStatus { failure, ..JournalStatus::default() }, None) };
        let status = JournalStatus {
            path: Some(open.storage.path().display().to_string()),
            transactions: open.pending.count(),
            bytes: open.pending.bytes(),
            failure,
        };
        (status, open.stopped.clone())
    }
}
