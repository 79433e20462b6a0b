//! Decides which files are merged. A pure function of a listing, and of when the files were written.
//!
//! Time is divided into intervals, as in Litestream. A file of level n contains the files of level n - 1 that were written before the
//! newest boundary of level n's interval and that level n does not contain yet. So compactors that list the same files merge the same ones,
//! and nothing has to be remembered between two runs.
//!
//! In some stores the time of a file is what its writer took for the time, and this host's clock may be wrong as well. So for levels 1 to 3,
//! a file whose time is more than an interval ahead counts as old: otherwise a process that does not run for long would merge nothing until
//! that time, and a merge that comes too early only costs requests. A snapshot that comes too early costs as much as the database, and would
//! be followed by another one in the next run. So for it, the time of such a file is that at which this process has first seen it.

use super::retention::{intervals, is_within};
use super::settings::{CompactionSettings, boundary};
use crate::ltx::{FileName, Level, Txid};
use crate::replica::files::plan::{self, FileChain};
use crate::store::Listed;
use crate::time::milliseconds;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// The maximum number of files that are merged into one.
pub(in crate::replica::write) const MAX_INPUTS: usize = 1000;

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

/// Plans a snapshot of the state at the newest boundary `start_ms`, if the snapshots do not contain that state yet. `files` contains all
/// levels.
///
/// Only states at which a compacted file ends are considered, because few files lead to them. If there are too many files nevertheless, the
/// snapshot has the state to which the first of them lead.
fn snapshot(files: &[Listed], start_ms: i64, written_ms: &dyn Fn(&Listed) -> i64) -> Option<Merge> {
    let end = |is_candidate: &dyn Fn(&Listed) -> bool| {
        files.iter().filter(|file| is_candidate(file)).map(|file| file.name.max).max()
    };
    let is_compacted = |file: &Listed| file.level != Level::ZERO && file.level != Level::SNAPSHOT;
    let txid = end(&|file| is_compacted(file) && written_ms(file) < start_ms)?;
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

/// Plans all merges. `files` contains all levels, and `written_ms` returns when one of them was written. At most `most_inputs` files are
/// merged into one, except for a snapshot, which needs all of its.
pub(super) fn all(
    files: &[Listed],
    now_ms: i64,
    written_ms: &dyn Fn(&Listed) -> i64,
    settings: &CompactionSettings,
    most_inputs: usize,
) -> MergePlan {
    let mut plan = MergePlan::default();
    let snapshots = files.iter().filter(|file| file.level == Level::SNAPSHOT).map(|file| file.name.max);
    let newest_snapshot = snapshots.max().unwrap_or_default();
    for (level, interval) in Level::all().skip(1).zip(settings.levels) {
        compact(files, level, CurrentInterval::at(now_ms, interval), newest_snapshot, most_inputs, &mut plan);
    }
    plan.merges.extend(snapshot(files, boundary(now_ms, settings.snapshot_interval), written_ms));
    plan
}
