//! The duties of Litestream's daemon for a replica that is written without it: compactions, snapshots and retention.
//!
//! | module | contents |
//! |---|---|
//! | `settings` | the intervals and retentions |
//! | `plan` | which files are merged; a pure function of a listing and of the times of its files |
//! | `retention` | which files are deleted; a pure function of a listing and of the ages of its files |
//! | `input`, `merge` | merges files into one |
//! | `run`, `merges` | does what is due |
//! | `ages` | how old the files are, at least |
//! | `witness` | whether the replica is still the one that was listed |
//! | `created` | takes back a file that was created when it was another one |
//! | `damage` | the damaged files, around which the others are compacted |
//! | `complete` | whether the files that replace deleted ones are complete |
//!
//! Every file is created only if its name is free, and a file is deleted only if a listing shows files that replace it. So a run can stop
//! after any request, and several compactors can run at once: at worst they do the same work twice. If the replica was deleted or set back
//! after the listing, nothing is deleted, and what was created is deleted again, unless the process ends or a request fails just then.

mod ages;
mod complete;
mod created;
mod damage;
mod input;
pub(in crate::replica::write) mod merge;
mod merges;
mod plan;
mod retention;
mod run;
mod settings;
mod witness;

pub(super) use plan::MAX_INPUTS;
pub use settings::CompactionSettings;

use crate::error::Error;
use crate::lock::Mutex;
use crate::ltx::{FileName, Level};
use crate::replica::write::lease::{Lease, LeaseState};
use crate::store::Store;
use crate::time::{self, milliseconds};
use ages::FileAges;
use complete::CompleteFiles;
use damage::DamagedFiles;
use plan::Merge;
use settings::boundary;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// What a run did.
#[derive(Default, Debug)]
pub struct CompactionReport {
    /// Whether all levels were due, and not only the first one.
    pub all_levels: bool,
    /// The files that were created.
    pub created: Vec<(Level, FileName)>,
    /// The files that were deleted.
    pub deleted: Vec<(Level, FileName)>,
    /// What failed, or cannot be done. Nothing is lost by it, and the next run tries again.
    pub failures: Vec<Error>,
}

/// Compacts a replica, writes snapshots of it, and deletes old files.
pub struct Compactor {
    store: Arc<dyn Store>,
    settings: CompactionSettings,
    /// Returns the time in milliseconds since 1970.
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
    /// The newest boundary of level 2 at which all levels were listed.
    listed: Mutex<Option<i64>>,
    /// The snapshot that was refused last, and why. The same one would be refused again.
    refused: Mutex<Option<(Merge, Error)>>,
    ages: FileAges,
    complete: CompleteFiles,
    damaged: DamagedFiles,
    /// The maximum number of files that are merged into one: half as many after each failed request, and twice as many after each success.
    /// Otherwise files that have piled up would never be merged if some requests fail.
    most_inputs: AtomicUsize,
}

impl Compactor {
    /// Creates the compactor of the replica in a store.
    pub fn new(store: Arc<dyn Store>, settings: CompactionSettings) -> Compactor {
        Compactor::with_clock(store, settings, time::now_ms)
    }

    /// Creates a compactor with a clock of the caller, which returns the time in milliseconds since 1970.
    pub fn with_clock(
        store: Arc<dyn Store>,
        settings: CompactionSettings,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Compactor {
        let (listed, refused, ages, complete, damaged) = Default::default();
        let most_inputs = AtomicUsize::new(MAX_INPUTS);
        Compactor { store, settings, clock: Box::new(clock), listed, refused, ages, complete, damaged, most_inputs }
    }

    /// Runs at each boundary of level 1 while this writer holds the lease and `may_run`, and passes each result to `report`. Never returns.
    pub async fn run_forever(
        &self,
        lease: &Lease,
        may_run: impl Fn() -> bool + Send,
        report: impl Fn(Result<CompactionReport, Error>) + Send,
    ) {
        loop {
            if may_run() {
                match lease.hold().await {
                    Ok(LeaseState::Held) => report(self.run_once().await),
                    Ok(LeaseState::HeldBy { .. }) => {}
                    Err(error) => report(Err(error)),
                }
            }
            tokio::time::sleep(self.pause()).await;
        }
    }

    /// Returns the time until the next run.
    pub fn pause(&self) -> Duration {
        let (interval, now) = (self.settings.levels[0], (self.clock)());
        let next = boundary(now, interval).saturating_add(milliseconds(interval));
        Duration::from_millis(u64::try_from(next.saturating_sub(now)).unwrap_or_default().max(1))
    }
}

impl fmt::Debug for Compactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Compactor({}, {:?})", self.store, self.settings)
    }
}

/// Returns a file in a listing, for tests.
#[cfg(test)]
fn listed(level: u8, min: u64, max: u64, modified_ms: i64) -> crate::store::Listed {
    use crate::{ltx::Txid, store::Listed};
    let (level, name) = (Level::new(level).expect("a level"), FileName { min: Txid(min), max: Txid(max) });
    Listed { level, name, size: 1, version: None, modified_ms }
}
