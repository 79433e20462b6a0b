use super::*;
use crate::replica::write::compaction::ages::FileAges;
use crate::replica::write::compaction::listed;
use tokio::time::Instant;

const AT: i64 = 1_700_006_400_000;

fn names(merges: &[Merge]) -> Vec<(u8, u64, u64, usize)> {
    let name = |merge: &Merge| (merge.level.number(), merge.name.min.0, merge.name.max.0, merge.inputs.len());
    merges.iter().map(name).collect()
}

/// Plans all merges, for a process that has just listed the files first.
fn plan_of(files: &[Listed]) -> MergePlan {
    let ages = FileAges::default();
    ages.observe(files, &Level::all().collect::<Vec<_>>(), Instant::now(), AT);
    all(files, AT, &|file| ages.written_ms(file, AT), &CompactionSettings::default(), MAX_INPUTS)
}

fn planned(files: &[Listed]) -> Vec<(u8, u64, u64, usize)> {
    names(&plan_of(files).merges)
}

#[test]
fn a_level_takes_what_was_written_before_its_boundary() {
    let files: Vec<Listed> = (1..=9).map(|txid| listed(0, txid, txid, AT - 5000 + 1000 * txid as i64)).collect();
    assert_eq!(planned(&files), [(1, 1, 4, 4)]);
    assert_eq!(names(&level_1(&files, AT + 29_999, &CompactionSettings::default(), MAX_INPUTS).merges), [(1, 1, 4, 4)]);
    assert_eq!(names(&level_1(&files, AT + 30_000, &CompactionSettings::default(), MAX_INPUTS).merges), [(1, 1, 9, 9)]);
    let files = [&files[..], &[listed(1, 1, 4, AT + 10)]].concat();
    assert_eq!(planned(&files), []);
    // The times of some stores are unknown.
    let files = [listed(1, 1, 4, AT - 1), listed(1, 5, 6, 0), listed(2, 1, 2, AT - 90)];
    assert_eq!(planned(&files), [(2, 1, 6, 2), (3, 1, 2, 1), (9, 1, 4, 1)]);
}

/// A writer whose clock was a week ahead has ended. The times of those after it do not go back.
#[test]
fn files_of_the_future_are_merged() {
    const WEEK: i64 = 7 * 86_400_000;
    let files: Vec<Listed> = (1..=9).map(|txid| listed(0, txid, txid, AT + WEEK)).collect();
    assert_eq!(planned(&files), [(1, 1, 9, 9)]);
    let files = [listed(1, 1, 4, AT + WEEK), listed(1, 5, 6, AT + WEEK)];
    // Nobody knows whether they were written before today.
    assert_eq!(planned(&files), [(2, 1, 6, 2)]);
    // What was written in this interval, by a clock that is slightly ahead.
    assert_eq!(planned(&[listed(0, 1, 1, AT + 59_999)]), []);
}

#[test]
fn a_snapshot_has_the_first_of_too_many_files() {
    let files: Vec<Listed> = (1..=1500).map(|txid| listed(1, txid, txid, 1)).collect();
    let plan = plan_of(&files);
    assert_eq!(names(&plan.merges).last(), Some(&(9, 1, 1000, 1000)));
    let files = [&files[..], &[listed(9, 1, 1000, AT)]].concat();
    let plan = plan_of(&files);
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
    let files = [listed(1, 5, 7, 1), listed(1, 5, 9, 2), listed(1, 8, 9, 3), listed(1, 9, 12, 4), listed(2, 1, 6, 1)];
    let plan = plan_of(&files);
    assert_eq!(names(&plan.merges), [(2, 5, 12, 2), (3, 1, 6, 1), (9, 1, 12, 3)]);
}

#[test]
fn merges_have_limits() {
    let mut files: Vec<Listed> = (1..=2001).map(|txid| listed(0, txid, txid, 1)).collect();
    assert_eq!(planned(&files), [(1, 1, 1000, 1000), (1, 1001, 2000, 1000), (1, 2001, 2001, 1)]);
    files.truncate(6);
    files[1].size = MAX_OUTPUT;
    files[3].size = MAX_OUTPUT + 1;
    let plan = plan_of(&files);
    assert_eq!(names(&plan.merges), [(1, 1, 1, 1), (1, 2, 2, 1), (1, 3, 3, 1), (1, 5, 6, 2)]);
    assert_eq!(plan.too_large, [files[3].clone()]);
}

#[test]
fn a_snapshot_is_made_of_the_newest_compacted_state_of_the_day_before() {
    let files = [listed(9, 1, 3, 1), listed(1, 2, 6, 2), listed(1, 7, 9, AT - 1), listed(1, 10, 12, AT)];
    let snapshot = |files: &[Listed], start_ms| {
        snapshot(files, start_ms, &|file| file.modified_ms).map(|merge| names(&[merge])[0])
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
