//! Decides which files are merged. A pure function of a listing.
//!
//! Time is divided into intervals, as in Litestream. A file of level n contains the files of level n - 1 that were written before the
//! newest boundary of level n's interval and that level n does not contain yet. So compactors that list the same files merge the same ones,
//! and nothing has to be remembered between two runs.
//!
//! In some stores the time of a file is what its writer took for the time, and this host's clock may be wrong as well. So a file whose time is
//! more than an interval ahead counts as old: otherwise nothing would be merged until that time.

use super::retention::{intervals, is_within};
use super::settings::{CompactionSettings, boundary, milliseconds};
use crate::ltx::{FileName, Level, Txid};
use crate::replica::files::plan::{self, FileChain};
use crate::store::Listed;
use std::time::Duration;

/// The maximum number of files that are merged into one.
pub(super) const MAX_INPUTS: usize = 1000;

/// The maximum length of a file that is written, in bytes. It is in memory while it is written.
pub(super) const MAX_OUTPUT: u64 = 256 << 20;

/// Files to be merged into one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Merge {
    /// The level of the new file.
    pub level: Level,
    pub name: FileName,
    /// The files, in the order in which they are applied.
    pub inputs: Vec<Listed>,
}

impl Merge {
    fn of(level: Level, inputs: Vec<Listed>) -> Merge {
        let min = inputs.iter().map(|file| file.name.min).min().unwrap_or_default();
        let max = inputs.last().map_or(min, |file| file.name.max);
        Merge { level, name: FileName { min, max }, inputs }
    }
}

/// What is merged now.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct MergePlan {
    pub merges: Vec<Merge>,
    /// The files that stay at their level, because they are longer than [`MAX_OUTPUT`].
    pub too_large: Vec<Listed>,
}

/// The current interval of a level. Files that were written in it are merged when it is over.
#[derive(Clone, Copy)]
struct CurrentInterval {
    start_ms: i64,
    length_ms: i64,
}

impl CurrentInterval {
    fn at(now_ms: i64, interval: Duration) -> CurrentInterval {
        CurrentInterval { start_ms: boundary(now_ms, interval), length_ms: milliseconds(interval) }
    }

    /// Whether the file was written before, as far as its time shows.
    fn is_over_for(self, file: &Listed) -> bool {
        let ahead = file.modified_ms.saturating_sub(self.start_ms);
        ahead < 0 || ahead >= self.length_ms.saturating_mul(2)
    }
}

/// Plans the compaction of the level below `level` into it. `files` contains both levels. Up to `needed_from`, files that the level left out,
/// because a merge failed, stay below: a snapshot has their transactions.
fn compact(
    files: &[Listed],
    level: Level,
    interval: CurrentInterval,
    needed_from: Txid,
    most_inputs: usize,
    plan: &mut MergePlan,
) {
    let merged = intervals(files.iter().filter(|file| file.level == level).map(|file| file.name).collect());
    let reached = merged.last().map_or(Txid(0), |last| last.max);
    // What is before the first file of the level was merged, and its file deleted.
    let mut from = merged.first().map_or(Txid(0), |first| Txid(first.min.0 - 1)).max(needed_from).min(reached);
    let is_source = |file: &&Listed| {
        let is_below = file.level.number() + 1 == level.number() && interval.is_over_for(file);
        is_below && file.name.max > from && !is_within(&merged, file.name)
    };
    let sources: Vec<Listed> = files.iter().filter(is_source).cloned().collect();
    // No file is merged across missing transactions.
    while let Some(next) = sources.iter().filter(|file| file.name.max > from).map(|file| file.name.min).min() {
        let chain = plan::onwards(&sources, from.max(Txid(next.0 - 1)));
        from = chain.last().map_or(Txid(u64::MAX), |last| last.name.max);
        divide(level, chain, most_inputs, plan);
    }
}

/// Divides a chain of files into merges within the limits.
fn divide(level: Level, chain: Vec<Listed>, most_inputs: usize, plan: &mut MergePlan) {
    let (mut inputs, mut bytes) = (Vec::new(), 0);
    let mut end = |inputs: &mut Vec<Listed>| {
        if !inputs.is_empty() {
            plan.merges.push(Merge::of(level, std::mem::take(inputs)));
        }
    };
    for file in chain {
        if file.size > MAX_OUTPUT {
            end(&mut inputs);
            bytes = 0;
            plan.too_large.push(file);
            continue;
        }
        if bytes + file.size > MAX_OUTPUT || inputs.len() == most_inputs {
            end(&mut inputs);
            bytes = 0;
        }
        bytes += file.size;
        inputs.push(file);
    }
    end(&mut inputs);
}

/// Plans a snapshot of the state at the newest boundary, if the snapshots do not contain that state yet. `files` contains all levels.
///
/// Only states at which a compacted file ends are considered, because few files lead to them. If there are too many files nevertheless, the
/// snapshot has the state to which the first of them lead.
fn snapshot(files: &[Listed], interval: CurrentInterval) -> Option<Merge> {
    let end = |is_candidate: &dyn Fn(&Listed) -> bool| {
        files.iter().filter(|file| is_candidate(file)).map(|file| file.name.max).max()
    };
    let is_compacted = |file: &Listed| file.level != Level::ZERO && file.level != Level::SNAPSHOT;
    let txid = end(&|file| is_compacted(file) && interval.is_over_for(file))?;
    if end(&|file| file.level == Level::SNAPSHOT) >= Some(txid) {
        return None;
    }
    let FileChain { mut files } = plan::at(files, txid).ok()?;
    files.truncate(MAX_INPUTS);
    let name = FileName { min: Txid(1), max: files.last()?.name.max };
    Some(Merge { level: Level::SNAPSHOT, name, inputs: files })
}

/// Plans the compaction of level 0. `files` contains levels 0 and 1. At most `most_inputs` files are merged into one.
pub(super) fn level_1(files: &[Listed], now_ms: i64, settings: &CompactionSettings, most_inputs: usize) -> MergePlan {
    let mut plan = MergePlan::default();
    // Files that a failed merge has left out are merged when all levels are listed.
    compact(
        files,
        Level::FIRST_COMPACTED,
        CurrentInterval::at(now_ms, settings.levels[0]),
        Txid(u64::MAX),
        most_inputs,
        &mut plan,
    );
    plan
}

/// Plans all merges. `files` contains all levels. At most `most_inputs` files are merged into one, except for a snapshot, which needs all of its.
pub(super) fn all(files: &[Listed], now_ms: i64, settings: &CompactionSettings, most_inputs: usize) -> MergePlan {
    let mut plan = MergePlan::default();
    let snapshots = files.iter().filter(|file| file.level == Level::SNAPSHOT).map(|file| file.name.max);
    let newest_snapshot = snapshots.max().unwrap_or_default();
    for (level, interval) in Level::all().skip(1).zip(settings.levels) {
        compact(files, level, CurrentInterval::at(now_ms, interval), newest_snapshot, most_inputs, &mut plan);
    }
    plan.merges.extend(snapshot(files, CurrentInterval::at(now_ms, settings.snapshot_interval)));
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::write::compaction::listed;

    const AT: i64 = 1_700_006_400_000;

    fn names(merges: &[Merge]) -> Vec<(u8, u64, u64, usize)> {
        let name = |merge: &Merge| (merge.level.number(), merge.name.min.0, merge.name.max.0, merge.inputs.len());
        merges.iter().map(name).collect()
    }

    fn planned(files: &[Listed]) -> Vec<(u8, u64, u64, usize)> {
        names(&all(files, AT, &CompactionSettings::default(), MAX_INPUTS).merges)
    }

    #[test]
    fn a_level_takes_what_was_written_before_its_boundary() {
        let files: Vec<Listed> = (1..=9).map(|txid| listed(0, txid, txid, AT - 5000 + 1000 * txid as i64)).collect();
        assert_eq!(planned(&files), [(1, 1, 4, 4)]);
        assert_eq!(
            names(&level_1(&files, AT + 29_999, &CompactionSettings::default(), MAX_INPUTS).merges),
            [(1, 1, 4, 4)]
        );
        assert_eq!(
            names(&level_1(&files, AT + 30_000, &CompactionSettings::default(), MAX_INPUTS).merges),
            [(1, 1, 9, 9)]
        );
        let files = [&files[..], &[listed(1, 1, 4, AT + 10)]].concat();
        assert_eq!(planned(&files), []);
        // The times of some stores are unknown.
        let files = [listed(1, 1, 4, AT - 1), listed(1, 5, 6, 0), listed(2, 1, 2, AT - 90)];
        assert_eq!(planned(&files), [(2, 1, 6, 2), (3, 1, 2, 1), (9, 1, 6, 2)]);
    }

    /// A writer whose clock was a week ahead has ended. The times of those after it do not go back.
    #[test]
    fn files_of_the_future_are_merged() {
        const WEEK: i64 = 7 * 86_400_000;
        let files: Vec<Listed> = (1..=9).map(|txid| listed(0, txid, txid, AT + WEEK)).collect();
        assert_eq!(planned(&files), [(1, 1, 9, 9)]);
        let files = [listed(1, 1, 4, AT + WEEK), listed(1, 5, 6, AT + WEEK)];
        assert_eq!(planned(&files), [(2, 1, 6, 2), (9, 1, 6, 2)]);
        // What was written in this interval, by a clock that is slightly ahead.
        assert_eq!(planned(&[listed(0, 1, 1, AT + 59_999)]), []);
    }

    #[test]
    fn a_snapshot_has_the_first_of_too_many_files() {
        let files: Vec<Listed> = (1..=1500).map(|txid| listed(1, txid, txid, 1)).collect();
        let plan = all(&files, AT, &CompactionSettings::default(), MAX_INPUTS);
        assert_eq!(names(&plan.merges).last(), Some(&(9, 1, 1000, 1000)));
        let files = [&files[..], &[listed(9, 1, 1000, AT)]].concat();
        let plan = all(&files, AT, &CompactionSettings::default(), MAX_INPUTS);
        assert_eq!(names(&plan.merges).last(), Some(&(9, 1, 1500, 501)));
    }

    #[test]
    fn files_are_not_merged_across_missing_transactions() {
        let file = |txid| listed(0, txid, txid, 1);
        let files = [file(2), file(3), file(5), file(6), file(9)];
        assert_eq!(planned(&files), [(1, 2, 3, 2), (1, 5, 6, 2), (1, 9, 9, 1)]);
    }

    /// A merge has failed, and a later one has not.
    #[test]
    fn what_was_left_out_is_merged_later() {
        let file = |txid| listed(0, txid, txid, 1);
        let mut files: Vec<Listed> = (3..=9).map(file).collect();
        files.extend([listed(1, 4, 4, 1), listed(1, 7, 8, 1)]);
        assert_eq!(planned(&files)[..2], [(1, 5, 6, 2), (1, 9, 9, 1)]);
        assert_eq!(names(&level_1(&files, AT, &CompactionSettings::default(), MAX_INPUTS).merges), [(1, 9, 9, 1)]);
        files.push(listed(9, 1, 6, 1));
        assert_eq!(planned(&files)[0], (1, 9, 9, 1));
    }

    /// Two compactors that listed different files may have written overlapping ones.
    #[test]
    fn overlapping_files_are_merged_without_what_they_contain_twice() {
        let files =
            [listed(1, 5, 7, 1), listed(1, 5, 9, 2), listed(1, 8, 9, 3), listed(1, 9, 12, 4), listed(2, 1, 6, 1)];
        let plan = all(&files, AT, &CompactionSettings::default(), MAX_INPUTS);
        assert_eq!(names(&plan.merges), [(2, 5, 12, 2), (3, 1, 6, 1), (9, 1, 12, 3)]);
    }

    #[test]
    fn merges_have_limits() {
        let mut files: Vec<Listed> = (1..=2001).map(|txid| listed(0, txid, txid, 1)).collect();
        assert_eq!(planned(&files), [(1, 1, 1000, 1000), (1, 1001, 2000, 1000), (1, 2001, 2001, 1)]);
        files.truncate(6);
        files[1].size = MAX_OUTPUT;
        files[3].size = MAX_OUTPUT + 1;
        let plan = all(&files, AT, &CompactionSettings::default(), MAX_INPUTS);
        assert_eq!(names(&plan.merges), [(1, 1, 1, 1), (1, 2, 2, 1), (1, 3, 3, 1), (1, 5, 6, 2)]);
        assert_eq!(plan.too_large, [files[3].clone()]);
    }

    #[test]
    fn a_snapshot_is_made_of_the_newest_compacted_state_of_the_day_before() {
        let files = [listed(9, 1, 3, 1), listed(1, 2, 6, 2), listed(1, 7, 9, AT - 1), listed(1, 10, 12, AT)];
        let snapshot = |files: &[Listed], start_ms| {
            let interval = CurrentInterval { start_ms, length_ms: AT };
            snapshot(files, interval).map(|merge| names(&[merge])[0])
        };
        assert_eq!(snapshot(&files, AT), Some((9, 1, 9, 3)));
        assert_eq!(snapshot(&files, 3), Some((9, 1, 6, 2)));
        assert_eq!(snapshot(&files, 2), None);
        let files = [&files[..], &[listed(9, 1, 9, AT + 1)]].concat();
        assert_eq!(snapshot(&files, AT), None);
        // A transaction is missing, or only level 0 has the state.
        assert_eq!(snapshot(&[listed(9, 1, 3, 1), listed(1, 5, 6, 2)], AT), Some((9, 1, 6, 1)));
        assert_eq!(snapshot(&[listed(9, 1, 3, 1), listed(0, 4, 4, 2)], AT), None);
    }
}
