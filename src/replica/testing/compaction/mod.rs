//! Compaction of random histories, by one compactor or by several at once, which end at random requests.
//!
//! A seed determines everything.

mod client;
mod clocks;
mod damaged;
mod history;
mod late;
mod store;
mod suspended;

use crate::ltx::{FileName, Level, Txid, verify};
use crate::replica::testing::simulation::random::Random;
use crate::replica::{CompactionReport, CompactionSettings, Compactor};
use crate::store::Listed;
use client::MortalClient;
use futures_util::future::join_all;
use history::WrittenHistory;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::AgedFiles;

const SECOND: i64 = 1000;

/// Short intervals, so that a simulation of a few minutes contains many of each.
fn settings() -> CompactionSettings {
    let seconds = Duration::from_secs;
    CompactionSettings {
        levels: [seconds(3), seconds(12), seconds(36)],
        snapshot_interval: seconds(144),
        snapshot_retention: seconds(144),
        l0_retention: seconds(10),
    }
}

struct CompactionWorld {
    files: Arc<AgedFiles>,
    history: WrittenHistory,
    random: Random,
}

impl CompactionWorld {
    fn new(seed: u64) -> CompactionWorld {
        let mut random = Random::new(seed);
        let files = AgedFiles::new();
        CompactionWorld { history: WrittenHistory::new(&files, random.fork()), files, random }
    }

    /// Returns a compactor that ends at its request number `life`.
    fn compactor(&mut self, life: u64) -> (Compactor, Arc<MortalClient>) {
        let client = MortalClient::new(&self.files, self.random.fork(), life);
        let files = self.files.clone();
        (Compactor::with_clock(client.clone(), settings(), move || files.clock()), client)
    }

    /// Flips a bit of a file. Returns its bytes before.
    fn damage(&self, level: Level, name: FileName) -> Vec<u8> {
        let bytes = self.files.memory.get(level, name).expect("a file").to_vec();
        let mut damaged = bytes.clone();
        let last = bytes.len() - 1;
        damaged[last] ^= 1;
        self.files.memory.insert(level, name, damaged);
        bytes
    }

    /// Returns the transactions that can be restored.
    fn restorable(&self) -> BTreeSet<Txid> {
        let files = self.files.all();
        let ends: BTreeSet<Txid> = files.iter().map(|file| file.name.max).collect();
        ends.into_iter().filter(|txid| self.history.is_restorable(&files, *txid)).collect()
    }

    /// Compares all states that can be restored with those that were written.
    fn check_content(&self) {
        let files = self.files.all();
        self.restorable().into_iter().for_each(|txid| self.history.check(&files, txid));
    }

    /// The newest snapshot that is older than its retention.
    fn base(&self) -> Option<Listed> {
        let old = self.files.now() - 144 * SECOND;
        let is_old = |file: &Listed| file.level == Level::SNAPSHOT && file.modified_ms <= old;
        self.files.all().into_iter().filter(is_old).max_by_key(|file| file.name.max)
    }

    /// Asserts that every state that should be there can be restored. `before` are the states that could be restored before.
    fn check(&self, before: &BTreeSet<Txid>) -> BTreeSet<Txid> {
        let (files, restorable) = (self.files.all(), self.restorable());
        let base = self.base().map(|base| base.name.max).unwrap_or_default();
        let young = self.files.now() - 10 * SECOND;
        for file in &files {
            let (txid, is_young) = (file.name.max, file.level == Level::ZERO && file.modified_ms > young);
            let is_needed = is_young || txid >= base && before.contains(&txid);
            assert!(!is_needed || restorable.contains(&txid), "{txid} could be restored before");
        }
        assert!(restorable.contains(&self.history.newest()), "the newest state");
        restorable
    }
}

fn names(files: &[Listed], level: u8) -> Vec<FileName> {
    files.iter().filter(|file| file.level.number() == level).map(|file| file.name).collect()
}

/// Compactors run alone or at the same time, and end at random requests, while a writer commits.
#[tokio::test(start_paused = true)]
async fn every_state_stays_as_it_was_written() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut world = CompactionWorld::new(seed);
        world.history.commit();
        let mut before = world.restorable();
        let mut compactors = Vec::new();
        for _ in 0..120 {
            world.files.advance(world.random.below(6) as i64 * SECOND / 2).await;
            (0..world.random.below(4)).for_each(|_| world.history.commit());
            before.extend(world.restorable());
            compactors.retain(|(_, client): &(Compactor, Arc<MortalClient>)| client.is_alive());
            while compactors.len() < 1 + world.random.below(3) as usize {
                let life = if world.random.one_in(2) { world.random.below(40) + 1 } else { 100_000 };
                compactors.push(world.compactor(life));
            }
            let running = 1 + world.random.below(compactors.len() as u64) as usize;
            join_all(compactors[..running].iter().map(|(compactor, _)| compactor.run_once())).await;
            before = world.check(&before);
        }
        world.check_content();
    }
}

/// Returns a replica of which every level is due.
async fn overdue() -> CompactionWorld {
    let mut world = CompactionWorld::new(7);
    let (compactor, _) = world.compactor(u64::MAX);
    run_for(&mut world, &compactor, 400).await;
    for _ in 0..50 {
        world.history.commit();
        world.files.advance(SECOND).await;
    }
    world
}

/// Compacts until nothing is due at this time, and returns the files.
async fn finish(world: &mut CompactionWorld) -> Vec<(Level, FileName)> {
    loop {
        let (compactor, _) = world.compactor(u64::MAX);
        let report = compactor.run_once().await.expect("files are listed");
        assert!(report.failures.is_empty(), "{report:?}");
        if report.created.is_empty() && report.deleted.is_empty() {
            return world.files.all().iter().map(|file| (file.level, file.name)).collect();
        }
    }
}

/// A run is stopped after each of its requests in turn. The next run completes it.
#[tokio::test(start_paused = true)]
async fn a_run_can_stop_after_any_request() {
    let expected = finish(&mut overdue().await).await;
    for life in 1.. {
        let mut world = overdue().await;
        let before = world.restorable();
        let (compactor, client) = world.compactor(life);
        let report = compactor.run_once().await;
        let after = world.check(&before);
        if client.is_alive() {
            let report = report.expect("no request failed");
            let levels: Vec<u8> = report.created.iter().map(|(level, _)| level.number()).collect();
            assert_eq!(levels, [1, 2, 3, 9]);
            assert!(report.deleted.len() > 10 && report.failures.is_empty(), "{report:?}");
            break;
        }
        assert_eq!(finish(&mut world).await, expected, "a run that was stopped after {life} requests");
        world.check(&after);
        if life % 8 == 0 {
            world.check_content();
        }
    }
}

/// Commits every second, and compacts at each boundary.
async fn run_for(world: &mut CompactionWorld, compactor: &Compactor, seconds: u64) -> Vec<CompactionReport> {
    let mut reports = Vec::new();
    for second in 0..seconds {
        world.history.commit();
        world.files.advance(SECOND).await;
        if second % 3 == 2 {
            reports.push(compactor.run_once().await.expect("files are listed"));
        }
    }
    reports
}

#[tokio::test(start_paused = true)]
async fn files_that_have_piled_up_are_merged_although_some_requests_fail() {
    let mut world = CompactionWorld::new(3);
    (0..300).for_each(|_| world.history.commit());
    let (compactor, client) = world.compactor(u64::MAX);
    client.fail_one_read_in(40);
    for _ in 0..30 {
        world.files.advance(3 * SECOND).await;
        compactor.run_once().await.expect("files are listed");
    }
    let merged = world.files.all().into_iter().filter(|file| file.level != Level::ZERO).map(|file| file.name.max);
    assert_eq!(merged.max(), Some(world.history.newest()));
    world.check_content();
}

#[tokio::test(start_paused = true)]
async fn levels_fill_at_their_boundaries_and_old_files_are_deleted() {
    let mut world = CompactionWorld::new(1);
    let (compactor, _) = world.compactor(u64::MAX);
    assert_eq!(compactor.pause(), Duration::from_secs(3));
    run_for(&mut world, &compactor, 12).await;
    let files = world.files.all();
    let name = |min, max| FileName { min: Txid(min), max: Txid(max) };
    assert_eq!(names(&files, 1), [name(1, 3), name(4, 6), name(7, 9), name(10, 12)]);
    // The last file of level 1 was written at the boundary of level 2, and belongs to the next interval.
    assert_eq!(names(&files, 2), [name(1, 9)]);
    assert_eq!(names(&files, 0), (4..=12).map(|txid| name(txid, txid)).collect::<Vec<_>>());

    run_for(&mut world, &compactor, 3 * 144).await;
    let files = world.files.all();
    let snapshots = names(&files, 9);
    assert_eq!(snapshots.len(), 2, "{snapshots:?}");
    for level in 1..=3 {
        let old: Vec<FileName> = names(&files, level).into_iter().filter(|name| name.max <= snapshots[0].max).collect();
        assert_eq!(old, [], "level {level}");
        assert!(names(&files, level).len() > 3, "level {level}");
    }
    let kept = names(&files, 0);
    assert!((9..=13).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept.last().expect("a file").max, world.history.newest());

    // Everything is compacted once the writer rests. The newest file of each level stays.
    for _ in 0..200 {
        world.files.advance(3 * SECOND).await;
        compactor.run_once().await.expect("files are listed");
    }
    let (files, newest) = (world.files.all(), world.history.newest());
    assert_eq!(names(&files, 0), [FileName::of(newest)]);
    assert_eq!(names(&files, 9), [FileName { min: Txid(1), max: newest }]);
    assert_eq!(files.len(), 5, "{files:?}");
}

/// The header of a compacted file is as Litestream's.
#[tokio::test(start_paused = true)]
async fn a_merged_file_has_the_time_of_its_newest_input() {
    let mut world = CompactionWorld::new(3);
    let (compactor, _) = world.compactor(u64::MAX);
    run_for(&mut world, &compactor, 6).await;
    let name = names(&world.files.all(), 1)[1];
    let header_of = |level, name| verify(&world.files.memory.get(level, name).expect("a file")).expect("valid").header;
    let (merged, newest) =
        (header_of(Level::new(1).expect("a level"), name), header_of(Level::ZERO, FileName::of(name.max)));
    assert_eq!((merged.timestamp_ms, merged.commit), (newest.timestamp_ms, newest.commit));
    assert_eq!((merged.min_txid, merged.max_txid), (name.min, name.max));
    assert_eq!((merged.wal_offset, merged.wal_size, merged.wal_salt), (0, 0, [0, 0]));
    assert_eq!((merged.node_id, merged.previous), (0, 0));
    assert!(!merged.has_checksums());
}

/// A damaged file is never merged, and what it belongs to is not deleted.
#[tokio::test(start_paused = true)]
async fn a_damaged_file_is_reported_and_nothing_is_deleted_for_it() {
    let mut world = CompactionWorld::new(5);
    let (compactor, _) = world.compactor(u64::MAX);
    (0..5).for_each(|_| world.history.commit());
    world.damage(Level::ZERO, FileName::of(Txid(5)));
    world.files.advance(100 * SECOND).await;
    let report = compactor.run_once().await.expect("files are listed");
    assert_eq!(names(&world.files.all(), 0).len(), 5);
    let [failure] = &report.failures[..] else { panic!("{report:?}") };
    assert!(failure.to_string().contains("is damaged: "), "{failure}");

    // An incomplete file of level 1 replaces nothing.
    let name = FileName { min: Txid(1), max: Txid(2) };
    let level = Level::new(1).expect("a level");
    world.files.insert(level, name, vec![0; 300]);
    world.files.advance(100 * SECOND).await;
    let report = compactor.run_once().await.expect("files are listed");
    assert_eq!(names(&world.files.all(), 0).len(), 5);
    assert!(report.deleted.is_empty() && report.failures.len() >= 2, "{report:?}");
}
