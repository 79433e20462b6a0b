//! Decides which files are deleted. A pure function of a listing, and of how old the files are at least.
//!
//! Two kinds of files are deleted, once they are older than the retention of level 0. The newest file of a level is never deleted, because
//! the next compaction starts after it.
//!
//! - Files of level 0 that files of levels 1 to 8 contain.
//! - Files that end before the newest snapshot that is older than the retention of snapshots. So every later state can be restored.

use super::settings::CompactionSettings;
use crate::ltx::{FileName, Level, Txid};
use crate::store::Listed;
use std::cmp::Reverse;
use std::time::Duration;

/// Returns the files to delete, in the order in which they are to be deleted: later ends first.
///
/// The files that lead to a state end at or before it. So in this order, each remaining state can be restored after each deletion. `age`
/// returns how old a file is, at least.
pub(super) fn expired(
    files: &[Listed],
    age: impl Fn(&Listed) -> Duration,
    settings: &CompactionSettings,
) -> Vec<Listed> {
    let is_older = |file: &Listed, other: Duration| age(file) >= other;
    let base = files
        .iter()
        .filter(|file| file.level == Level::SNAPSHOT && is_older(file, settings.snapshot_retention))
        .map(|file| file.name.max)
        .max()
        .unwrap_or_default();
    let covered = match settings.l0_retention {
        Duration::ZERO => Vec::new(),
        age => covered_of_level_0(files, |file| is_older(file, age)),
    };
    let is_expired = |file: &&Listed| match file.level {
        Level::SNAPSHOT => file.name.max < base,
        Level::ZERO if settings.l0_retention.is_zero() => false,
        Level::ZERO => file.name.max <= base || is_within(&covered, file.name),
        _ => file.name.max <= base,
    };
    let newest: Vec<_> = Level::all().filter_map(|level| newest_of(files, level)).collect();
    let is_newest = |file: &Listed| newest.contains(&(file.level, file.name));
    let mut expired: Vec<Listed> = files
        .iter()
        .filter(is_expired)
        .filter(|file| is_older(file, settings.l0_retention) && !is_newest(file))
        .cloned()
        .collect();
    expired.sort_unstable_by_key(|file| (Reverse(file.name.max), file.level, file.name.min));
    expired
}

fn newest_of(files: &[Listed], level: Level) -> Option<(Level, FileName)> {
    let files = files.iter().filter(|file| file.level == level);
    files.map(|file| file.name).max_by_key(|name| (name.max, name.min)).map(|name| (level, name))
}

/// Returns the intervals of transactions whose files of level 0 are not needed.
///
/// They end where a file of a higher level ends, and all files of level 0 up to there are old. If only some of them were deleted, the states
/// of the others could not be restored.
fn covered_of_level_0(files: &[Listed], is_old: impl Fn(&Listed) -> bool) -> Vec<FileName> {
    let young = files.iter().filter(|file| file.level == Level::ZERO && !is_old(file));
    let before = young.map(|file| file.name.max).min().unwrap_or(Txid(u64::MAX));
    let is_compacted = |file: &&Listed| file.level != Level::ZERO && file.level != Level::SNAPSHOT;
    let mut names: Vec<FileName> = files.iter().filter(is_compacted).map(|file| file.name).collect();
    names.retain(|name| name.max < before);
    intervals(names)
}

/// Joins intervals of transactions that overlap or follow each other.
pub(super) fn intervals(mut names: Vec<FileName>) -> Vec<FileName> {
    names.sort_unstable();
    let mut joined: Vec<FileName> = Vec::new();
    for name in names {
        match joined.last_mut().filter(|last| name.min <= last.max.next()) {
            Some(last) => last.max = last.max.max(name.max),
            None => joined.push(name),
        }
    }
    joined
}

pub(super) fn is_within(intervals: &[FileName], name: FileName) -> bool {
    intervals.iter().any(|interval| interval.min <= name.min && name.max <= interval.max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::write::compaction::listed;

    const NOW: i64 = 1_700_006_400_000;
    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * 60 * MINUTE;

    fn age(file: &Listed) -> Duration {
        Duration::from_millis((NOW - file.modified_ms) as u64)
    }

    fn expired_of(files: &[Listed]) -> Vec<(u8, u64, u64)> {
        let expired = expired(files, age, &CompactionSettings::default());
        expired.iter().map(|file| (file.level.number(), file.name.min.0, file.name.max.0)).collect()
    }

    fn of_level_0(txids: std::ops::RangeInclusive<u64>, age: i64) -> Vec<Listed> {
        txids.map(|txid| listed(0, txid, txid, NOW - age)).collect()
    }

    #[test]
    fn compacted_files_of_level_0_are_deleted_from_the_last_to_the_first() {
        let mut files = of_level_0(1..=5, 6 * MINUTE);
        assert_eq!(expired_of(&files), []);
        files.push(listed(1, 1, 3, NOW));
        assert_eq!(expired_of(&files), [(0, 3, 3), (0, 2, 2), (0, 1, 1)]);
        // The newest one stays.
        files.push(listed(1, 4, 5, NOW));
        assert_eq!(expired_of(&files), [(0, 4, 4), (0, 3, 3), (0, 2, 2), (0, 1, 1)]);
        let never = CompactionSettings { l0_retention: Duration::ZERO, ..CompactionSettings::default() };
        assert_eq!(expired(&files, age, &never), []);
    }

    #[test]
    fn files_of_level_0_stay_if_newer_ones_need_them() {
        // Only with 4 and 5 can the state at 6 be restored.
        let mut files = [of_level_0(1..=5, 6 * MINUTE), of_level_0(6..=7, MINUTE)].concat();
        files.extend([listed(1, 1, 3, NOW), listed(1, 4, 7, NOW)]);
        assert_eq!(expired_of(&files), [(0, 3, 3), (0, 2, 2), (0, 1, 1)]);
        // Level 1 does not have 2.
        files.retain(|file| file.level == Level::ZERO);
        files.extend([listed(1, 1, 1, NOW), listed(2, 3, 5, NOW)]);
        assert_eq!(expired_of(&files), [(0, 5, 5), (0, 4, 4), (0, 3, 3), (0, 1, 1)]);
    }

    #[test]
    fn every_state_within_the_retention_of_snapshots_stays() {
        let mut files = vec![listed(9, 1, 10, NOW - 9 * DAY)];
        files.extend((1..=3).map(|level| listed(level, 1, 10, NOW - 9 * DAY)));
        files.extend((1..=3).map(|level| listed(level, 11, 20, NOW - 9 * DAY)));
        files.extend((1..=3).map(|level| listed(level, 21, 30, NOW)));
        files.push(listed(9, 1, 20, NOW - DAY + 1));
        // No state is needed that is older than the first snapshot.
        assert_eq!(expired_of(&files), [(1, 1, 10), (2, 1, 10), (3, 1, 10)]);
        files.push(listed(9, 1, 15, NOW - DAY));
        let of_levels = |min, max| (1..=3).map(move |level| (level, min, max));
        assert_eq!(expired_of(&files), of_levels(1, 10).chain([(9, 1, 10)]).collect::<Vec<_>>());
        files[11 - 1].modified_ms -= 1;
        let all = of_levels(11, 20).chain([(9, 1, 15)]).chain(of_levels(1, 10)).chain([(9, 1, 10)]);
        assert_eq!(expired_of(&files), all.collect::<Vec<_>>());
    }

    #[test]
    fn the_only_snapshot_and_the_newest_files_are_never_deleted() {
        let files: Vec<Listed> = [0, 1, 2, 3, 9].map(|level| listed(level, 1, 7, NOW - 99 * DAY)).into();
        assert_eq!(expired_of(&files), []);
    }
}
