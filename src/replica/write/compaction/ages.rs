//! How old files are, at least.
//!
//! A file that is deleted too early is lost, and listings do not show how old files are: on some stores their times are those of the writers'
//! clocks, one of which may have been days ahead. Then the times of all later files are ahead as well, because times do not go back. This
//! host's clock can be wrong too, or be set. So the time of a file is compared with this host's clock only once, when this process lists the
//! file first. From then on its age is counted by the monotonic clock. A [`Stamp`](crate::time::Stamp) would not do: its age is too large
//! once the time of day was set forward. While a machine is suspended, nothing is counted, so its files are kept for longer.

use super::witness::is_another;
use crate::lock::Mutex;
use crate::ltx::{FileName, Level};
use crate::store::Listed;
use crate::time::milliseconds;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How old the newest of all files can be by this host's clock. If it seems to be older, either nothing was written for that long, and
/// nothing need be deleted, or the clock is ahead.
const MOST_IDLE: Duration = Duration::from_secs(3600);

/// The ages of all files that were listed last.
#[derive(Default)]
pub(super) struct FileAges {
    known: Mutex<KnownAges>,
}

#[derive(Default)]
struct KnownAges {
    files: BTreeMap<(Level, FileName), FirstSight>,
    /// When each level was listed last.
    listed: BTreeMap<Level, Instant>,
}

/// When this process has listed a file first.
struct FirstSight {
    file: Listed,
    at: Instant,
    /// How old the file was then, at least.
    age: Duration,
}

impl FileAges {
    /// Takes note of a listing of some levels that began at a time, and forgets the files that are gone. `now_ms` is the time of this host's
    /// clock.
    pub(super) fn observe(&self, files: &[Listed], levels: &[Level], began: Instant, now_ms: i64) {
        let mut known = self.known.lock();
        let newest_ms = files.iter().map(|file| file.modified_ms).max().unwrap_or_default();
        let now_ms = now_ms.min(newest_ms.saturating_add(milliseconds(MOST_IDLE)));
        let mut seen = BTreeMap::new();
        for file in files {
            let key = (file.level, file.name);
            let before = known.files.remove(&key).filter(|sight| !is_another(&sight.file, file));
            let sight = before.unwrap_or_else(|| {
                // What the last listing did not show was written after that.
                let most = known.listed.get(&file.level).map_or(Duration::MAX, Instant::elapsed);
                FirstSight { file: file.clone(), at: Instant::now(), age: age_by_clock(file, now_ms).min(most) }
            });
            seen.insert(key, sight);
        }
        known.files.retain(|(level, _), _| !levels.contains(level));
        known.files.append(&mut seen);
        known.listed.extend(levels.iter().map(|level| (*level, began)));
    }

    /// Returns how old a listed file is, at least. That decides what is deleted.
    pub(super) fn age(&self, file: &Listed) -> Duration {
        let known = self.known.lock();
        let sight = known.files.get(&(file.level, file.name));
        sight.map_or(Duration::ZERO, |sight| sight.age.saturating_add(sight.at.elapsed()))
    }

    /// Returns when a listed file was written, by this host's clock: the time in the listing, unless that is unknown or ahead. Only snapshots
    /// are planned by it, so nothing is lost if the clock is wrong.
    pub(super) fn written_ms(&self, file: &Listed, now_ms: i64) -> i64 {
        match file.modified_ms {
            listed @ 1.. if listed <= now_ms => listed,
            _ => now_ms.saturating_sub(milliseconds(self.age(file))),
        }
    }
}

/// Returns how old a file is by its time and a clock. A file whose time is unknown or ahead may have just been written.
fn age_by_clock(file: &Listed, now_ms: i64) -> Duration {
    let age = now_ms.saturating_sub(file.modified_ms);
    let is_known = file.modified_ms > 0;
    u64::try_from(age).ok().filter(|_| is_known).map_or(Duration::ZERO, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::write::compaction::listed;
    use crate::replica::write::compaction::plan::{self, MAX_INPUTS};
    use crate::replica::write::compaction::retention::expired;
    use crate::replica::write::compaction::settings::CompactionSettings;
    use tokio::time::advance;

    const NOW: i64 = 1_700_006_400_000;
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86400);

    fn ms(duration: Duration) -> i64 {
        milliseconds(duration)
    }

    /// A process that lists all levels, with a clock of its own.
    #[derive(Default)]
    struct ListingProcess(FileAges);

    impl ListingProcess {
        fn list(&self, files: &[Listed], now_ms: i64) {
            self.0.observe(files, &Level::all().collect::<Vec<_>>(), Instant::now(), now_ms);
        }

        fn expired(&self, files: &[Listed]) -> Vec<Listed> {
            expired(files, |file| self.0.age(file), &CompactionSettings::default())
        }

        /// Returns what a new process deletes.
        fn of_new(files: &[Listed], now_ms: i64) -> Vec<Listed> {
            let process = ListingProcess::default();
            process.list(files, now_ms);
            process.expired(files)
        }

        /// Returns whether a snapshot is planned.
        fn has_snapshot(&self, files: &[Listed], now_ms: i64) -> bool {
            let written_ms = |file: &Listed| self.0.written_ms(file, now_ms);
            let plan = plan::all(files, now_ms, &written_ms, &CompactionSettings::default(), MAX_INPUTS);
            plan.merges.iter().any(|merge| merge.level == Level::SNAPSHOT)
        }
    }

    /// The files of some days, with a snapshot each.
    fn of_days() -> Vec<Listed> {
        let mut files = Vec::new();
        for day in 0..4 {
            let (first, time) = (10 * day + 1, NOW - (3 - day as i64) * ms(DAY));
            files.extend((first..first + 10).map(|txid| listed(0, txid, txid, time)));
            files.extend([listed(1, first, first + 9, time), listed(9, 1, first + 8, time)]);
        }
        files
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_weeks_ahead_deletes_what_one_deletes_that_is_an_hour_ahead() {
        let files = of_days();
        let usual = ListingProcess::of_new(&files, NOW + ms(HOUR));
        assert!(usual.iter().any(|file| file.level == Level::SNAPSHOT), "{usual:?}");
        assert!(usual.iter().all(|file| file.name.max.0 <= 30 || file.level == Level::ZERO), "{usual:?}");
        assert_eq!(ListingProcess::of_new(&files, NOW + 30 * ms(DAY)), usual);

        // A clock that jumps while the process runs changes nothing, whatever the newest file is.
        let process = ListingProcess::default();
        process.list(&files, NOW);
        let usual = process.expired(&files);
        let files = [&files[..], &[listed(0, 41, 41, NOW + 30 * ms(DAY))]].concat();
        process.list(&files, NOW + 30 * ms(DAY));
        assert_eq!(process.expired(&files), usual);
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_of_a_file_whose_time_is_unknown_or_ahead_counts_from_its_first_listing() {
        for time in [0, -5, NOW + 7 * ms(DAY)] {
            let files: Vec<Listed> = (1..=3).map(|txid| listed(0, txid, txid, time)).collect();
            let files = [&files[..], &[listed(1, 1, 3, time), listed(9, 1, 2, time), listed(9, 1, 3, time)]].concat();
            let process = ListingProcess::default();
            process.list(&files, NOW);
            assert_eq!(process.expired(&files), []);
            advance(5 * MINUTE).await;
            process.list(&files, NOW + ms(5 * MINUTE));
            let names: Vec<u64> = process.expired(&files).iter().map(|file| file.name.max.0).collect();
            assert_eq!(names, [2, 1], "those of level 0");
            advance(DAY).await;
            process.list(&files, NOW + ms(DAY));
            assert!(process.expired(&files).contains(&files[4]), "the older snapshot");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_not_older_than_the_last_listing_without_it() {
        let process = ListingProcess::default();
        process.list(&[], NOW);
        advance(MINUTE).await;
        let files: Vec<Listed> = (1..=2).map(|txid| listed(0, txid, txid, NOW - ms(DAY))).collect();
        process.list(&files, NOW + ms(HOUR));
        assert_eq!(process.0.age(&files[0]), MINUTE);
        // Another file under its name is a new one.
        advance(MINUTE).await;
        let other = Listed { size: 2, ..files[0].clone() };
        process.list(std::slice::from_ref(&other), NOW + ms(HOUR));
        assert_eq!(process.0.age(&other), MINUTE);
        assert_eq!(process.0.age(&files[1]), Duration::ZERO, "it is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn one_snapshot_a_day_is_planned_whatever_the_times_show() {
        for time in [0, NOW + 30 * ms(DAY)] {
            let (process, mut files) = (ListingProcess::default(), Vec::new());
            let mut snapshots = 0;
            for hour in 0..96 {
                let now_ms = NOW + hour * ms(HOUR);
                files.push(listed(1, hour as u64 + 1, hour as u64 + 1, time));
                process.list(&files, now_ms);
                if process.has_snapshot(&files, now_ms) {
                    snapshots += 1;
                    files.push(listed(9, 1, hour as u64, time));
                }
                advance(HOUR).await;
            }
            assert_eq!(snapshots, 3);
        }
        // A process that runs only now and then.
        let files = [listed(1, 1, 1, NOW - 1)];
        let process = ListingProcess::default();
        process.list(&files, NOW + ms(23 * HOUR));
        assert!(process.has_snapshot(&files, NOW + ms(23 * HOUR)));
    }
}
