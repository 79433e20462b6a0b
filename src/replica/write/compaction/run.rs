//! Does what is due: merges files, and deletes those that are no longer needed.

use super::merge::MergeError;
use super::plan::{MAX_INPUTS, MAX_OUTPUT, Merge, MergePlan};
use super::settings::boundary;
use super::{CompactionReport, Compactor, merge, plan, retention};
use crate::error::{Error, ErrorKind};
use crate::ltx::{Level, Txid};
use crate::replica::files::listing;
use crate::replica::files::loader::display_name;
use crate::store::{Creation, Listed, ObjectName, StoreError};
use std::sync::atomic::Ordering;

/// The maximum number of files that a run deletes. The next run deletes more.
const MAX_DELETIONS: usize = 1000;

/// A merge of so few files is not divided.
const FEW_INPUTS: usize = 8;

/// A run plans again without the damaged files that it has found, until it has planned so often.
const MOST_PASSES: u32 = 5;

/// What became of a merge.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merged {
    Done,
    /// The next run may succeed.
    Failed,
    /// A file is damaged, and is left out from now on.
    Damaged,
}

impl Compactor {
    /// Does everything that is due. Fails if the files cannot be listed; other failures are in the report.
    ///
    /// The future may be dropped at any time. What it has not done is done by the next run.
    pub async fn run_once(&self) -> Result<CompactionReport, Error> {
        let now = (self.clock)();
        let this_boundary = Some(boundary(now, self.settings.levels[1]));
        let all_levels = *self.listed.lock() != this_boundary;
        let mut report = CompactionReport { all_levels, ..CompactionReport::default() };
        for pass in 1.. {
            let listed = if all_levels { listing::all(&*self.store).await } else { self.list_two_levels().await };
            let mut files = listed?;
            if all_levels && pass == 1 {
                self.damaged.read_again(&*self.store, &files).await;
            }
            // Other files may have the same transactions.
            let damage = self.damaged.leave_out(&mut files);
            let most_inputs = self.most_inputs.load(Ordering::Relaxed);
            let plan = match all_levels {
                true => plan::all(&files, now, &self.settings, most_inputs),
                false => plan::level_1(&files, now, &self.settings, most_inputs),
            };
            let has_damaged = self.merge_all(&plan, &mut report).await;
            if has_damaged && pass < MOST_PASSES {
                continue;
            }
            // What only a damaged file contains besides is not deleted.
            let damage = damage.into_iter().chain(self.damaged.leave_out(&mut files));
            // First, because it can be why others were refused.
            report.failures.splice(0..0, damage);
            self.report_too_large(&plan, &mut report);
            let expired = retention::expired(&files, now, &self.settings);
            if let Err(error) = self.delete(&files, &expired, &mut report).await {
                report.failures.push(error);
            }
            break;
        }
        if all_levels {
            *self.listed.lock() = this_boundary;
        }
        Ok(report)
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

    /// Returns whether damaged files were found.
    async fn merge_all(&self, plan: &MergePlan, report: &mut CompactionReport) -> bool {
        let (mut has_damaged, mut unfinished) = (false, None);
        for merge in &plan.merges {
            // Later files of a level do not overtake those of a merge that failed, which the next run tries again.
            if unfinished == Some(merge.level) {
                continue;
            }
            let merged = self.merge(merge, report).await;
            self.set_most_inputs(merge, merged);
            has_damaged |= merged == Merged::Damaged;
            if merged != Merged::Done {
                unfinished = Some(merge.level);
            }
        }
        has_damaged
    }

    fn set_most_inputs(&self, merge: &Merge, merged: Merged) {
        if merge.level == Level::SNAPSHOT {
            return;
        }
        let (inputs, most) = (merge.inputs.len(), self.most_inputs.load(Ordering::Relaxed));
        let most = match merged {
            Merged::Done => most.max(2 * inputs).min(MAX_INPUTS),
            Merged::Failed if inputs > FEW_INPUTS => inputs / 2,
            Merged::Failed | Merged::Damaged => most,
        };
        self.most_inputs.store(most, Ordering::Relaxed);
    }

    async fn merge(&self, merge: &Merge, report: &mut CompactionReport) -> Merged {
        let is_snapshot = merge.level == Level::SNAPSHOT;
        if is_snapshot && let Some((_, error)) = self.refused.lock().as_ref().filter(|(refused, _)| refused == merge) {
            report.failures.push(error.clone());
            return Merged::Done;
        }
        let created = match merge::merge(&*self.store, merge).await {
            Ok(bytes) => self.store.create(ObjectName::File(merge.level, merge.name), bytes).await,
            Err(MergeError::Moved) => return Merged::Failed,
            Err(MergeError::Refused(error)) => {
                if is_snapshot {
                    *self.refused.lock() = Some((merge.clone(), error.clone()));
                }
                report.failures.push(error);
                // Fewer files may be within the limits.
                return if is_snapshot || merge.inputs.len() <= FEW_INPUTS { Merged::Done } else { Merged::Failed };
            }
            Err(MergeError::Damaged(level, name, error)) => {
                let damaged = merge.inputs.iter().find(|file| (file.level, file.name) == (level, name));
                if let Some(damaged) = damaged
                    && self.damaged.add(&*self.store, damaged).await
                {
                    return Merged::Damaged;
                }
                report.failures.push(error);
                return Merged::Failed;
            }
            Err(MergeError::Failed(error)) => {
                report.failures.push(error);
                return Merged::Failed;
            }
        };
        match created {
            Ok(Creation::Created) => report.created.push((merge.level, merge.name)),
            // Another compactor created it.
            Ok(Creation::Exists) => {}
            Err(error) => {
                report.failures.push(error.into());
                return Merged::Failed;
            }
        }
        Merged::Done
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
