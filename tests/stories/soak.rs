//! Readers while a primary commits twenty times a second, and files are compacted and deleted.
//!
//! It takes twelve seconds, or the number in `LITESTREAM_VFS_SOAK_SECONDS`.

use crate::support::bank;
use crate::support::extension::connect;
use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::programs::Ended;
use crate::support::s3::S3Server;
use litestream_vfs::ltx::Txid;
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// The pause between two commits.
const PAUSE: Duration = Duration::from_millis(50);

/// The lengths of the transactions, in turn.
const LENGTHS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(700), Duration::from_secs(5), Duration::from_millis(2500)];

/// The number of readers in this process. Another process has three more.
const READERS: usize = 5;

/// The length of the test.
fn length() -> Duration {
    requested_length().unwrap_or(Duration::from_secs(12))
}

/// How far a new transaction may be behind the replica. In an ordinary run the bound is larger, because other tests run at the
/// same time.
fn behind() -> Duration {
    Duration::from_secs(if requested_length().is_some() { 3 } else { 6 })
}

fn requested_length() -> Option<Duration> {
    let seconds = std::env::var("LITESTREAM_VFS_SOAK_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("LITESTREAM_VFS_SOAK_SECONDS is a number")))
}

#[test]
fn readers_of_a_busy_primary_see_consistent_and_recent_states() {
    let dir = tempfile::tempdir().expect("a directory");
    let replica = dir.path().join("replica");
    soak(&Destination::directory(&replica), &replica, READERS);
}

/// The readers are in another process, which has the credentials.
#[test]
fn readers_of_a_busy_bucket_see_consistent_and_recent_states() {
    let server = S3Server::start();
    soak(&Destination::s3(&server, "app"), &server.path("app"), 0);
}

/// Reads while a primary writes to a destination with its files in `replica`: with this many threads of this process, and
/// three threads of another one.
fn soak(destination: &Destination, replica: &Path, threads: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("app.db");
    let bank = bank::create(&database);
    let primary = Primary::start(&database, destination, Schedule::CONTINUOUS);
    primary.sync();
    let first = bank::head(replica).expect("the replica has a file");
    let (stop, watch) = (&AtomicBool::new(false), Watch::new(replica));
    let end = Instant::now() + length();
    let (faults, transactions) = thread::scope(|scope| {
        scope.spawn(move || while_not(stop, PAUSE, || bank::transfer(&bank)));
        scope.spawn(|| while_not(stop, LOOK_EVERY, || watch.look()));
        let [seconds, behind] = [length(), behind()].map(|time| time.as_secs().to_string());
        let host = Host::python("soak.py").arg(&destination.url).arg(replica).arg(seconds).arg(behind);
        let host = scope.spawn(|| host.credentials(destination).longer(length()).run());
        let watch = &watch;
        let start = |number| scope.spawn(move || Reader::open(number, destination, watch).read_until(end));
        let readers: Vec<_> = (0..threads).map(start).collect();
        let readers: Vec<_> = readers.into_iter().map(ScopedJoinHandle::join).collect();
        let host = host.join();
        stop.store(true, Ordering::Relaxed);

        let readers: Vec<Reader> = readers.into_iter().map(|reader| reader.expect("it ends")).collect();
        let mut faults: Vec<String> = readers.iter().flat_map(|reader| reader.faults.clone()).collect();
        let Ended { stdout, stderr, .. } = host.expect("it ends");
        faults.extend([stdout, stderr].into_iter().filter(|text| !["", "ok\n"].contains(&text.as_str())));
        (faults, readers.iter().map(|reader| reader.transactions).collect::<Vec<_>>())
    });
    let (last, gone) = watch.summary();
    println!(
        "{transactions:?} transactions while the replica went from {first} to {last}, and {gone} files were deleted"
    );
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(transactions.iter().all(|count| *count >= LENGTHS.len()), "a reader was stuck: {transactions:?}");
    assert!(last.0 > first.0 + 5 * length().as_secs(), "the primary was slow: {first} to {last}");
    assert!(gone > length().as_secs(), "only {gone} files were deleted");
}

fn while_not(stop: &AtomicBool, pause: Duration, mut action: impl FnMut()) {
    while !stop.load(Ordering::Relaxed) {
        action();
        thread::sleep(pause);
    }
}

/// The time between two listings of the replica's directory.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The listings of the replica.
struct Watch {
    replica: PathBuf,
    heads: Mutex<Vec<Txid>>,
    names: Mutex<BTreeSet<(u8, Txid, Txid)>>,
}

impl Watch {
    fn new(replica: &Path) -> Watch {
        let watch = Watch { replica: replica.to_owned(), heads: Mutex::default(), names: Mutex::default() };
        watch.look();
        watch
    }

    fn look(&self) {
        let names = bank::names(&self.replica);
        let head = names.iter().map(|(_, name)| name.max).max().unwrap_or_default();
        self.heads.lock().expect("no panic while it was locked").push(head);
        self.names
            .lock()
            .expect("no panic while it was locked")
            .extend(names.iter().map(|(level, name)| (*level, name.min, name.max)));
    }

    /// Returns the TXID that a new transaction must at least have. Time is counted in listings, so that a pause of the machine
    /// does not make a reader late.
    fn due(&self) -> Txid {
        let heads = self.heads.lock().expect("no panic while it was locked");
        let looks = behind().as_millis() / LOOK_EVERY.as_millis();
        heads
            .len()
            .checked_sub(looks as usize)
            .map_or(heads[0], |at| heads[..=at].iter().copied().max().expect("a listing"))
    }

    /// Returns the newest transaction seen, and the number of files seen that have been deleted.
    fn summary(&self) -> (Txid, u64) {
        self.look();
        let newest = self.heads.lock().expect("no panic while it was locked").iter().copied().max();
        let there = bank::names(&self.replica).len();
        (newest.expect("a listing"), (self.names.lock().expect("no panic while it was locked").len() - there) as u64)
    }

    /// Describes the current files: for each level their number, the first and the last.
    fn listing(&self) -> String {
        let names = bank::names(&self.replica);
        let level = |files: &[(u8, litestream_vfs::ltx::FileName)]| {
            let (first, last) = (files[0].1, files[files.len() - 1].1);
            format!(
                "level {}: {} files, {}-{} … {}-{}",
                files[0].0,
                files.len(),
                first.min,
                first.max,
                last.min,
                last.max
            )
        };
        names.chunk_by(|a, b| a.0 == b.0).map(level).collect::<Vec<_>>().join("; ")
    }
}

/// A connection that reads one transaction after the other.
struct Reader<'w> {
    number: usize,
    watch: &'w Watch,
    conn: Connection,
    txid: String,
    transactions: usize,
    faults: Vec<String>,
}

impl<'w> Reader<'w> {
    /// Some readers share a replica with a large cache, others one with an empty cache. Some have a tiny page cache in SQLite.
    fn open(number: usize, destination: &Destination, watch: &'w Watch) -> Reader<'w> {
        let conn = match number % 2 {
            0 => connect(&destination.url, &[]),
            // With another URL, the same directory is another replica to the process.
            _ => connect(&destination.url.replace("/replica", "/./replica"), &[("cache_size", "16KB")]),
        };
        if number < 3 {
            conn.execute_batch("PRAGMA cache_size = 4").expect("pragmas run");
        }
        Reader { number, watch, conn, txid: String::new(), transactions: 0, faults: Vec::new() }
    }

    fn read_until(mut self, end: Instant) -> Reader<'w> {
        while Instant::now() < end || self.transactions < LENGTHS.len() {
            let length = LENGTHS[(self.transactions + self.number) % LENGTHS.len()];
            if let Err(fault) = self.transaction(length) {
                let at = text(&self.conn, "SELECT litestream_txid()").unwrap_or_else(|error| error);
                self.faults.push(format!(
                    "reader {}, transaction {} of {length:?}, view {}, then {at}: {fault}\n    {}",
                    self.number,
                    self.transactions,
                    self.txid,
                    self.watch.listing()
                ));
                let _ = self.conn.execute_batch("ROLLBACK");
                thread::sleep(LOOK_EVERY);
            }
            self.transactions += 1;
        }
        self
    }

    fn transaction(&mut self, length: Duration) -> Result<(), String> {
        let due = self.watch.due();
        self.run("BEGIN")?;
        let txid = text(&self.conn, "PRAGMA litestream_txid")?;
        if txid < self.txid {
            return Err(format!("the TXID went back to {txid}"));
        }
        self.txid = txid.clone();
        if txid < due.to_string() {
            return Err(format!("the replica held {due} {:?} ago", behind()));
        }
        let first = bank::read_state(&self.conn)?;
        self.slow_cursor(length / 2)?;
        self.same(&first)?;
        thread::sleep(length / 2);
        if self.transactions.is_multiple_of(3) {
            let found = text(&self.conn, "PRAGMA quick_check")?;
            if found != "ok" {
                return Err(format!("quick_check: {found}"));
            }
        }
        self.same(&first)?;
        let after = text(&self.conn, "SELECT litestream_txid()")?;
        if after != txid {
            return Err(format!("the TXID became {after} within the transaction"));
        }
        self.run("COMMIT")
    }

    fn same(&self, first: &str) -> Result<(), String> {
        let again = bank::read_state(&self.conn)?;
        if again == first { Ok(()) } else { Err(format!("first {first}, then {again}")) }
    }

    /// Runs one statement slowly.
    fn slow_cursor(&self, length: Duration) -> Result<(), String> {
        let text_of = |error: rusqlite::Error| error.to_string();
        let mut statement = self.conn.prepare("SELECT balance FROM accounts").map_err(text_of)?;
        let (mut rows, mut sum, mut count) = (statement.query([]).map_err(text_of)?, 0, 0);
        while let Some(row) = rows.next().map_err(text_of)? {
            sum += row.get::<_, i64>(0).map_err(text_of)?;
            count += 1;
            if count == 500 {
                thread::sleep(length);
            }
        }
        if sum == bank::TOTAL { Ok(()) } else { Err(format!("a slow cursor sums up to {sum}")) }
    }

    fn run(&self, sql: &str) -> Result<(), String> {
        self.conn.execute_batch(sql).map_err(|error| format!("{sql}: {error}"))
    }
}

fn text(conn: &Connection, sql: &str) -> Result<String, String> {
    conn.query_row(sql, [], |row| row.get(0)).map_err(|error| format!("{sql}: {error}"))
}
