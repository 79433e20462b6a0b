//! Does what is due: merges files, and deletes those that are no longer needed.

use super::created::CreatedFile;
use super::merges::Merged;
use super::plan::{MAX_OUTPUT, MergePlan};
use super::settings::boundary;
use super::witness::{Sight, Witness, is_same};
use super::{CompactionReport, Compactor, merge, plan, retention};
use crate::error::{Error, ErrorKind};
use crate::ltx::{Level, Txid};
use crate::replica::files::listing;
use crate::replica::files::load_error::display_name;
use crate::store::{Listed, ObjectName, StoreError};
use crate::time::Stamp;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// The maximum number of files that a run deletes. The next run deletes more.
const MAX_DELETIONS: usize = 1000;

/// A run plans again without the damaged files that it has found, until it has planned so often.
const MOST_PASSES: u32 = 5;

impl Compactor {
    /// Does everything that is due. Fails if the files cannot be listed; other failures are in the report.
    ///
    /// The future may be dropped at any time. What it has not done is done by the next run.
    pub async fn run_once(&self) -> Result<CompactionReport, Error> {
        let now = (self.clock)();
        let this_boundary = Some(boundary(now, self.settings.levels[1]));
        let all_levels = *self.listed.lock() != this_boundary;
        let mut report = CompactionReport { all_levels, ..CompactionReport::default() };
        let mut pass = 1;
        while self.run_pass(pass, now, &mut report).await? {
            pass += 1;
        }
        if all_levels {
            *self.listed.lock() = this_boundary;
        }
        Ok(report)
    }

    /// Lists the files and does everything that is due. Returns true if damaged files were found first, without which there is more to do.
    async fn run_pass(&self, pass: u32, now: i64, report: &mut CompactionReport) -> Result<bool, Error> {
        let (mut files, mut witness) = self.list(report.all_levels, now).await?;
        if report.all_levels && pass == 1 {
            self.damaged.read_again(&*self.store, &files).await;
        }
        // Other files may have the same transactions.
        let damage = self.damaged.leave_out(&mut files);
        let plan = self.plan(&files, report.all_levels, now);
        let mut created = Vec::new();
        let merged = self.merge_all(&plan, &mut witness, &mut created, report).await;
        if merged == Merged::Damaged && pass < MOST_PASSES {
            self.confirm(&created, &mut witness, report).await;
            return Ok(true);
        }
        // What only a damaged file contains besides is not deleted.
        let damage = damage.into_iter().chain(self.damaged.leave_out(&mut files));
        // First, because it can be why others were refused.
        report.failures.splice(0..0, damage);
        self.report_too_large(&plan, report);
        let expired = if merged == Merged::Outdated { Vec::new() } else { self.expired(&files, report).await };
        let has_changes = !created.is_empty() || !expired.is_empty();
        if has_changes && self.confirm(&created, &mut witness, report).await {
            self.delete(&expired, &mut witness, report).await;
        }
        Ok(false)
    }

    /// Lists all levels, or only levels 0 and 1. Returns the witness of the listing as well.
    async fn list(&self, all_levels: bool, now: i64) -> Result<(Vec<Listed>, Witness), StoreError> {
        let (began, stamp) = (Instant::now(), Stamp::now());
        let files = match all_levels {
            true => listing::all(&*self.store).await?,
            false => self.list_two_levels().await?,
        };
        let levels: Vec<Level> = Level::all().filter(|level| all_levels || *level <= Level::FIRST_COMPACTED).collect();
        self.ages.observe(&files, &levels, began, now);
        let witness = Witness::new(&files, stamp);
        Ok((files, witness))
    }

    fn plan(&self, files: &[Listed], all_levels: bool, now: i64) -> MergePlan {
        let (settings, most_inputs) = (&self.settings, self.most_inputs.load(Ordering::Relaxed));
        match all_levels {
            true => plan::all(files, now, &|file| self.ages.written_ms(file, now), settings, most_inputs),
            false => plan::level_1(files, now, settings, most_inputs),
        }
    }

    /// Lists levels 0 and 1: level 0 first. Once retention has freed a name there, another writer may create it again; then the later listing
    /// shows a file that contains the transaction.
    async fn list_two_levels(&self) -> Result<Vec<Listed>, StoreError> {
        let mut files = self.store.list(Level::ZERO, Txid(1)).await?;
        files.extend(self.store.list(Level::FIRST_COMPACTED, Txid(1)).await?);
        Ok(files)
    }

    fn report_too_large(&self, plan: &MergePlan, report: &mut CompactionReport) {
        for file in &plan.too_large {
            let (shown, size) = (display_name(&*self.store, file.level, file.name), file.size);
            let message = format!(
                "the file {shown} stays at its level: it has {size} bytes, and at most {MAX_OUTPUT} are merged"
            );
            report.failures.push(Error::new(ErrorKind::Exhausted, message).remedy(merge::WITHOUT_LIMITS));
        }
    }

    /// Looks whether the replica is still the one that was listed, and returns whether it is. If it is another one, takes back what was
    /// created.
    async fn confirm(&self, created: &[CreatedFile], witness: &mut Witness, report: &mut CompactionReport) -> bool {
        let sight = witness.look(&*self.store).await;
        if matches!(sight, Ok(Sight::Another)) {
            for file in created {
                match file.take_back(&*self.store).await {
                    Ok(true) => report.created.retain(|created| *created != file.identity()),
                    Ok(false) => {}
                    Err(error) => report.failures.push(error.into()),
                }
            }
        }
        is_same(sight, report)
    }

    /// Returns the files that are no longer needed, if those that replace them are complete.
    async fn expired(&self, files: &[Listed], report: &mut CompactionReport) -> Vec<Listed> {
        let mut expired = retention::expired(files, |file| self.ages.age(file), &self.settings);
        expired.truncate(MAX_DELETIONS);
        match self.complete.check(&*self.store, files, &expired).await {
            Ok(()) => expired,
            Err(error) => {
                report.failures.push(error);
                Vec::new()
            }
        }
    }

    /// Deletes files, as long as the replica is known to be the one that was listed.
    async fn delete(&self, expired: &[Listed], witness: &mut Witness, report: &mut CompactionReport) {
        for Listed { level, name, .. } in expired {
            if !is_same(witness.look_if_old(&*self.store).await, report) {
                return;
            }
            match self.store.delete(ObjectName::File(*level, *name)).await {
                Ok(()) => report.deleted.push((*level, *name)),
                Err(error) => return report.failures.push(error.into()),
            }
        }
    }
}
