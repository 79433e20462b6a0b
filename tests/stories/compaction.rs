//! Replicas that are compacted without Litestream's daemon: Litestream restores the same states from them, and continues them.

use crate::stories::conformance::at;
use crate::support::extension::connect;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::pages::{assert_same_bytes, assert_same_file, assert_whole};
use crate::support::programs::wait_until;
use crate::support::s3::S3Server;
use crate::support::workload::{self, STEPS};
use litestream_vfs::ltx::Txid;
use litestream_vfs::replica::{CompactionReport, CompactionSettings, Compactor};
use litestream_vfs::store::{Store, open};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Every run compacts, and nothing is deleted.
const KEEP: CompactionSettings = CompactionSettings {
    levels: [Duration::from_millis(1), Duration::from_millis(20), Duration::from_millis(60)],
    snapshot_interval: Duration::from_millis(150),
    snapshot_retention: DAY,
    l0_retention: DAY,
};

/// Steps that grow and shrink the database, and write all of it.
fn steps() -> impl Iterator<Item = &'static str> {
    STEPS[..8].iter().copied().chain(["VACUUM", STEPS[15], "VACUUM", STEPS[13]])
}

/// A database with a replica at level 0 of Litestream, and a compactor of the replica.
struct Compacted {
    dir: TempDir,
    destination: Destination,
    conn: Connection,
    store: Arc<dyn Store>,
    runtime: Runtime,
    /// The database as Litestream restored it before the replica was compacted.
    states: BTreeMap<Txid, PathBuf>,
}

impl Compacted {
    /// Runs all steps, and compacts the replica after each of them. Saves the state after the last of each `every` steps.
    fn new(destination: Destination, store: Arc<dyn Store>, page_size: u32, every: usize) -> Compacted {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("app.db");
        let conn = workload::create(&database, &format!("PRAGMA page_size = {page_size}"));
        let runtime = Runtime::new().expect("a runtime");
        let mut compacted = Compacted { dir, destination, conn, store, runtime, states: BTreeMap::new() };
        let primary = Primary::start(&database, &compacted.destination, Schedule::QUIET);
        let compactor = Compactor::new(compacted.store.clone(), KEEP);
        for (number, step) in steps().enumerate() {
            workload::run(&compacted.conn, step);
            let txid = primary.sync();
            if number % every == every - 1 {
                compacted.save(txid);
            }
            compacted.run(&compactor);
        }
        primary.stop();
        compacted
    }

    fn save(&mut self, txid: Txid) {
        let path = self.dir.path().join(txid.to_string());
        assert!(self.destination.restore(txid, &path), "{txid}");
        self.states.insert(txid, path);
    }

    fn run(&self, compactor: &Compactor) -> CompactionReport {
        let report = self.runtime.block_on(compactor.run_once()).expect("the replica is listed");
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        report
    }

    /// Runs until nothing is due at any boundary.
    fn settle(&self, settings: CompactionSettings) {
        let compactor = Compactor::new(self.store.clone(), settings);
        let is_idle = || {
            sleep(KEEP.levels[1]);
            let report = self.run(&compactor);
            report.created.is_empty() && report.deleted.is_empty()
        };
        while !(0..10).all(|_| is_idle()) {}
    }

    /// Compares what Litestream restores with the states before. Returns how many states are available.
    fn check(&self) -> usize {
        let is_same = |(txid, saved): &(&Txid, &PathBuf)| {
            let is_available = self.destination.restore(**txid, &self.restored());
            if is_available {
                assert_same_file(&self.restored(), saved);
            }
            is_available
        };
        self.states.iter().filter(is_same).count()
    }

    fn levels(&self) -> BTreeMap<u8, usize> {
        let mut levels = BTreeMap::new();
        self.destination.files().iter().for_each(|(level, ..)| *levels.entry(*level).or_default() += 1);
        levels
    }

    /// Compacts the replica as far as possible, with and without deletions.
    fn check_all(&self) {
        assert_eq!(self.check(), self.states.len(), "nothing was deleted");
        assert_eq!(self.levels()[&1], steps().count());
        let short = CompactionSettings { l0_retention: Duration::from_millis(1), ..KEEP };
        self.settle(short.clone());
        let levels = self.levels();
        assert!(levels[&0] == 1 && levels[&2] >= 1 && levels[&3] >= 1 && levels[&9] >= 1, "{levels:?}");
        assert_eq!(self.check(), self.states.len(), "level 1 has a file for each state");

        self.settle(CompactionSettings { snapshot_retention: Duration::from_millis(1), ..short });
        let levels = self.levels();
        assert!([0, 1, 2, 3, 9].iter().all(|level| levels[level] == 1), "{levels:?}");
        let (newest, saved) = self.states.last_key_value().expect("a state");
        assert!(self.destination.restore(*newest, &self.restored()));
        assert_same_file(&self.restored(), saved);
    }

    fn restored(&self) -> PathBuf {
        self.dir.path().join("restored.db")
    }
}

fn in_directory(replica: &TempDir, page_size: u32, every: usize) -> Compacted {
    let destination = Destination::directory(replica.path());
    let store = open(&destination.url).expect("a store");
    Compacted::new(destination, store, page_size, every)
}

#[test]
fn litestream_restores_every_state_of_a_compacted_replica() {
    for page_size in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
        let every = if page_size == 4096 { 1 } else { 4 };
        in_directory(&tempfile::tempdir().expect("a directory"), page_size, every).check_all();
    }
}

#[test]
fn a_replica_in_a_bucket_is_compacted() {
    let server = S3Server::start();
    let destination = Destination::s3(&server, "app");
    let store = at(&destination.url, |name| server.variable(name));
    Compacted::new(destination, store, 4096, 4).check_all();
}

/// The database is restored from a compacted replica elsewhere, and Litestream replicates it to the same replica.
#[test]
fn litestream_continues_a_compacted_replica() {
    let replica = tempfile::tempdir().expect("a directory");
    let compacted = in_directory(&replica, 4096, 4);
    compacted.settle(CompactionSettings { l0_retention: Duration::from_millis(1), ..KEEP });
    let newest = *compacted.states.keys().last().expect("a state");
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("app.db");
    assert!(compacted.destination.restore(newest, &database));
    let conn = workload::create(&database, "");
    let primary = Primary::start(&database, &compacted.destination, Schedule::SHORT_RETENTION);
    workload::run(&conn, "CREATE TABLE later (id INTEGER PRIMARY KEY, body BLOB)");
    assert!(primary.sync() > newest);
    workload::run(&conn, "INSERT INTO later VALUES (1, randomblob(90000))");
    let later = primary.sync();
    wait_until("Litestream compacts what it added", || {
        let files = compacted.destination.files();
        [1, 2, 9].iter().all(|level| files.iter().any(|(at, _, max)| at == level && *max >= later))
    });
    primary.stop();
    assert_read_as_restored(&compacted, &dir.path().join("restored.db"));

    // And this compactor continues after Litestream's.
    compacted.settle(KEEP);
    assert_read_as_restored(&compacted, &dir.path().join("restored.db"));
}

fn assert_read_as_restored(compacted: &Compacted, restored: &Path) {
    let newest = *compacted.destination.txids().last().expect("a state");
    assert!(compacted.destination.restore(newest, restored));
    let reader = connect(&compacted.destination.url, &[]);
    assert_same_bytes(&reader, restored);
    assert_whole(&reader);
    let rows: i64 = reader.query_row("SELECT sum(length(body)) FROM later", [], |row| row.get(0)).expect("a row");
    assert_eq!(rows, 90000);
}
