//! The duties of Litestream's daemon for a replica that is written without it: compactions, snapshots and retention.
//!
//! | module | contents |
//! |---|---|
//! | `settings` | the intervals and retentions |
//! | `plan` | which files are merged; a pure function of a listing |
//! | `retention` | which files are deleted; a pure function of a listing |
//! | `input`, `merge` | merges files into one |
//! | `complete` | whether the files that replace deleted ones are complete |
//!
//! Every file is created only if its name is free, and a file is deleted only if a listing shows files that replace it. So a run can stop
//! after any request, and several compactors can run at once: at worst they do the same work twice.

mod complete;
mod input;
pub(in crate::replica::write) mod merge;
mod plan;
mod retention;
mod settings;

pub use settings::CompactionSettings;

use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::replica::files::listing;
use crate::replica::files::loader::display_name;
use crate::replica::write::lease::{Lease, LeaseState};
use crate::store::{Creation, Listed, ObjectName, Store};
use crate::time;
use complete::CompleteFiles;
use merge::MergeError;
use plan::{MAX_INPUTS, MAX_OUTPUT, Merge, MergePlan};
use settings::{boundary, milliseconds};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The maximum number of files that a run deletes. The next run deletes more.
const MAX_DELETIONS: usize = 1000;

/// A merge of so few files is not divided.
const FEW_INPUTS: usize = 8;

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
    refused: Mutex<Option<(FileName, Error)>>,
    complete: CompleteFiles,
    /// The maximum number of files that are merged into one: half as many after each failure, and twice as many after each success. Otherwise
    /// files that have piled up would never be merged if some requests fail.
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
        let (listed, refused, complete) = Default::default();
        let most_inputs = AtomicUsize::new(MAX_INPUTS);
        Compactor { store, settings, clock: Box::new(clock), listed, refused, complete, most_inputs }
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

    /// Does everything that is due. Fails if the files cannot be listed; other failures are in the report.
    ///
    /// The future may be dropped at any time. What it has not done is done by the next run.
    pub async fn run_once(&self) -> Result<CompactionReport, Error> {
        let (now, most_inputs) = ((self.clock)(), self.most_inputs.load(Ordering::Relaxed));
        let all_levels = Some(boundary(now, self.settings.levels[1]));
        let mut report = CompactionReport::default();
        if *self.listed.lock() == all_levels {
            let files = self.list_two_levels().await?;
            let plan = plan::level_1(&files, now, &self.settings, most_inputs);
            self.run(&files, plan, now, &mut report).await;
        } else {
            report.all_levels = true;
            let files = self.list_all_levels().await?;
            let plan = plan::all(&files, now, &self.settings, most_inputs);
            self.run(&files, plan, now, &mut report).await;
            *self.listed.lock() = all_levels;
        }
        Ok(report)
    }

    /// Lists levels 0 and 1: level 0 first. Once retention has freed a name there, another writer may create it again; then the later listing
    /// shows a file that contains the transaction.
    async fn list_two_levels(&self) -> Result<Vec<Listed>, Error> {
        let mut files = self.store.list(Level::ZERO, Txid(1)).await?;
        files.extend(self.store.list(Level::FIRST_COMPACTED, Txid(1)).await?);
        Ok(files)
    }

    /// As [`Compactor::list_two_levels`], with all levels.
    async fn list_all_levels(&self) -> Result<Vec<Listed>, Error> {
        let mut files = self.store.list(Level::ZERO, Txid(1)).await?;
        files.extend(listing::compacted(&*self.store).await?);
        Ok(files)
    }

    async fn run(&self, files: &[Listed], plan: MergePlan, now: i64, report: &mut CompactionReport) {
        for file in &plan.too_large {
            let (shown, size) = (display_name(&*self.store, file.level, file.name), file.size);
            let message = format!(
                "the file {shown} stays at its level: it has {size} bytes, and at most {MAX_OUTPUT} are merged"
            );
            report.failures.push(Error::new(ErrorKind::Exhausted, message).remedy(merge::WITHOUT_LIMITS));
        }
        let mut failed = None;
        for merge in &plan.merges {
            // Later files of a level do not overtake those of a merge that failed, which the next run tries again.
            if failed == Some(merge.level) {
                continue;
            }
            let is_done = self.merge(merge, report).await;
            self.set_most_inputs(merge, is_done);
            if !is_done {
                failed = Some(merge.level);
            }
        }
        let expired = retention::expired(files, now, &self.settings);
        if let Err(error) = self.delete(files, &expired, report).await {
            report.failures.push(error);
        }
    }

    fn set_most_inputs(&self, merge: &Merge, is_done: bool) {
        if merge.level == Level::SNAPSHOT {
            return;
        }
        let (inputs, most) = (merge.inputs.len(), self.most_inputs.load(Ordering::Relaxed));
        let most = match is_done {
            true => most.max(2 * inputs).min(MAX_INPUTS),
            false if inputs > FEW_INPUTS => inputs / 2,
            false => most,
        };
        self.most_inputs.store(most, Ordering::Relaxed);
    }

    /// Returns false if the next run may succeed.
    async fn merge(&self, merge: &Merge, report: &mut CompactionReport) -> bool {
        let is_snapshot = merge.level == Level::SNAPSHOT;
        if is_snapshot && let Some((_, error)) = self.refused.lock().as_ref().filter(|(name, _)| *name == merge.name) {
            report.failures.push(error.clone());
            return true;
        }
        let created = match merge::merge(&*self.store, merge).await {
            Ok(bytes) => self.store.create(ObjectName::File(merge.level, merge.name), bytes).await,
            Err(MergeError::Moved) => return false,
            Err(MergeError::Refused(error)) => {
                if is_snapshot {
                    *self.refused.lock() = Some((merge.name, error.clone()));
                }
                report.failures.push(error);
                // Fewer files may be within the limits.
                return is_snapshot || merge.inputs.len() <= FEW_INPUTS;
            }
            Err(MergeError::Failed(error)) => {
                report.failures.push(error);
                return false;
            }
        };
        match created {
            Ok(Creation::Created) => report.created.push((merge.level, merge.name)),
            // Another compactor created it.
            Ok(Creation::Exists) => {}
            Err(error) => {
                report.failures.push(error.into());
                return false;
            }
        }
        true
    }

    async fn delete(&self, files: &[Listed], expired: &[Listed], report: &mut CompactionReport) -> Result<(), Error> {
        let expired = &expired[..expired.len().min(MAX_DELETIONS)];
        self.complete.check(&*self.store, files, expired).await?;
        for Listed { level, name, .. } in expired {
            self.store.delete(ObjectName::File(*level, *name)).await?;
            report.deleted.push((*level, *name));
        }
        Ok(())
    }
}

impl fmt::Debug for Compactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Compactor({}, {:?})", self.store, self.settings)
    }
}

/// Returns a file in a listing, for tests.
#[cfg(test)]
fn listed(level: u8, min: u64, max: u64, modified_ms: i64) -> Listed {
    let (level, name) = (Level::new(level).expect("a level"), FileName { min: Txid(min), max: Txid(max) });
    Listed { level, name, size: 1, version: None, modified_ms }
}
