//! Does the merges that are due.

use super::created::CreatedFile;
use super::merge::{self, MergeError, MergedFile};
use super::plan::{MAX_INPUTS, Merge, MergePlan};
use super::witness::{Witness, is_same};
use super::{CompactionReport, Compactor};
use crate::ltx::Level;
use crate::store::{Creation, ObjectName};
use std::sync::atomic::Ordering;

/// A merge of so few files is not divided.
const FEW_INPUTS: usize = 8;

/// What became of a merge.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Merged {
    Done,
    /// The next run may succeed.
    Failed,
    /// A file is damaged, and is left out from now on.
    Damaged,
    /// The replica may be another one than that which was listed.
    Outdated,
}

impl Compactor {
    /// Does all merges. Returns [`Merged::Damaged`] if damaged files were found, and [`Merged::Outdated`] if it has stopped.
    /// `created` gets the files that may have been created.
    pub(super) async fn merge_all(
        &self,
        plan: &MergePlan,
        witness: &mut Witness,
        created: &mut Vec<CreatedFile>,
        report: &mut CompactionReport,
    ) -> Merged {
        let (mut all, mut unfinished) = (Merged::Done, None);
        for merge in &plan.merges {
            // Later files of a level do not overtake those of a merge that failed, which the next run tries again.
            if unfinished == Some(merge.level) {
                continue;
            }
            let merged = self.merge(merge, witness, created, report).await;
            self.set_most_inputs(merge, merged);
            match merged {
                Merged::Done => continue,
                Merged::Failed => {}
                Merged::Damaged => all = merged,
                Merged::Outdated => return merged,
            }
            unfinished = Some(merge.level);
        }
        all
    }

    fn set_most_inputs(&self, merge: &Merge, merged: Merged) {
        if merge.level == Level::SNAPSHOT {
            return;
        }
        let (inputs, most) = (merge.inputs.len(), self.most_inputs.load(Ordering::Relaxed));
        let most = match merged {
            Merged::Done => most.max(2 * inputs).min(MAX_INPUTS),
            Merged::Failed if inputs > FEW_INPUTS => inputs / 2,
            Merged::Failed | Merged::Damaged | Merged::Outdated => most,
        };
        self.most_inputs.store(most, Ordering::Relaxed);
    }

    /// Merges files, as [`Compactor::merge_all`] does.
    async fn merge(
        &self,
        merge: &Merge,
        witness: &mut Witness,
        created: &mut Vec<CreatedFile>,
        report: &mut CompactionReport,
    ) -> Merged {
        let is_snapshot = merge.level == Level::SNAPSHOT;
        if is_snapshot && let Some((_, error)) = self.refused.lock().as_ref().filter(|(refused, _)| refused == merge) {
            report.failures.push(error.clone());
            return Merged::Done;
        }
        let MergedFile { bytes, inputs } = match merge::merge(&*self.store, merge).await {
            Ok(merged) => merged,
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
        if !is_same(witness.look_if_old(&*self.store).await, report) {
            return Merged::Outdated;
        }
        created.push(CreatedFile::new(merge, &bytes, inputs));
        match self.store.create(ObjectName::File(merge.level, merge.name), bytes).await {
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
}
