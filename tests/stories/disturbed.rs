//! What happens to replicas and to those who read them: processes that stand still, primaries that begin anew, files that go.
//! Whatever it is, a reader sees states that were, each of them whole, and in the end the newest.

use crate::support::bank::{self, LOOK};
use crate::support::hosts::Host;
use crate::support::litestream::{Place, Primary, Schedule, Stopped};
use crate::support::programs::wait_until;
use crate::support::session::Session;
use crate::support::workload;
use litestream_vfs::ltx::Txid;
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A bank and its primary.
struct Bank {
    dir: TempDir,
    conn: Connection,
    place: Place,
    primary: Option<Primary>,
    /// Every state there was, as looks at it.
    states: BTreeSet<String>,
}

impl Bank {
    /// One that has replicated a few transfers.
    fn start(schedule: Schedule) -> Bank {
        let dir = tempfile::tempdir().expect("a directory");
        let conn = bank::found(&dir.path().join("app.db"));
        let place = Place::directory(&dir.path().join("replica"));
        let primary = Some(Primary::start(&dir.path().join("app.db"), &place, schedule));
        let mut bank = Bank { dir, conn, place, primary, states: BTreeSet::new() };
        bank.states.insert(bank.state());
        bank.transfer(5);
        bank
    }

    fn replica(&self) -> PathBuf {
        self.dir.path().join("replica")
    }

    fn head(&self) -> Txid {
        bank::head(&self.replica()).unwrap_or_default()
    }

    fn state(&self) -> String {
        let look = bank::look(&self.conn).expect("the primary's database is whole");
        look.map(|value| value.to_string()).join("|")
    }

    /// Commits, and replicates each if the primary runs.
    fn transfer(&mut self, times: usize) {
        for _ in 0..times {
            bank::transfer(&self.conn);
            self.states.insert(self.state());
            if let Some(primary) = &self.primary {
                primary.sync();
            }
        }
    }

    /// What the primary's machine keeps, with nobody at work on it.
    fn save(&mut self, to: &Path) {
        fs::create_dir_all(to).expect("a directory");
        for name in ["app.db", "app.db-wal", ".app.db-litestream"] {
            copy(&self.dir.path().join(name), &to.join(name));
        }
    }

    /// The primary's machine comes back as it was saved; the replica stays.
    fn roll_back(&mut self, saved: &Path) {
        let stopped = self.stop();
        self.forget_database();
        for name in ["app.db", "app.db-wal", ".app.db-litestream"] {
            copy(&saved.join(name), &self.dir.path().join(name));
        }
        self.conn = Connection::open(self.dir.path().join("app.db")).expect("the database is back");
        workload::run(&self.conn, "PRAGMA wal_autocheckpoint = 0");
        self.conn.busy_timeout(Duration::from_secs(60)).expect("there is a timeout");
        self.transfer(6);
        self.primary = Some(stopped.start());
        self.transfer(1);
    }

    /// The database and all that Litestream knows of it is gone.
    fn forget_database(&mut self) {
        self.conn = Connection::open_in_memory().expect("memory");
        fs::remove_dir_all(self.dir.path().join(".app.db-litestream")).expect("Litestream keeps what it knows there");
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.dir.path().join(format!("app.db{end}")));
        }
    }

    fn stop(&mut self) -> Stopped {
        self.primary.take().expect("it runs").stop()
    }

    /// The primary forgets everything, the replica is gone, and another database stands where this one stood.
    fn begin_anew(&mut self, schedule: Schedule) {
        drop(self.primary.take());
        fs::remove_dir_all(self.replica()).expect("the replica is deleted");
        self.forget_database();
        let path = self.dir.path().join("app.db");
        self.conn = bank::found(&path);
        self.states.insert(self.state());
        self.primary = Some(Primary::start(&path, &self.place, schedule));
        self.transfer(1);
    }
}

/// Copies a file, or a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a directory");
        for entry in from.read_dir().expect("it can be read").flatten() {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap_or_else(|error| panic!("cannot copy {}: {error}", from.display()));
    }
}

/// A process with one connection, which polls often. SQLite keeps next to nothing itself.
struct Reader {
    session: Session,
}

impl Reader {
    fn open(bank: &Bank, parameters: &[(&str, &str)]) -> Reader {
        let mut session = Host::session(&bank.place);
        session.open(&bank.place.url, &[&[("poll_interval", "100ms")], parameters].concat());
        session.must(0, "PRAGMA cache_size = 4");
        let mut reader = Reader { session };
        reader.sees_the_newest(bank);
        reader
    }

    fn must(&mut self, sql: &str) -> String {
        self.session.must(0, sql)
    }

    fn txid(&mut self) -> Txid {
        self.must("PRAGMA litestream_txid").parse().expect("a TXID")
    }

    /// What it sees, a state that was, or that it cannot be read.
    fn look(&mut self, states: &BTreeSet<String>) -> Result<String, String> {
        let state = self.session.ask(0, LOOK)?;
        assert!(states.contains(&state), "there never was a state {state}");
        Ok(state)
    }

    /// What it sees, or a clear failure.
    fn look_or_fail(&mut self, states: &BTreeSet<String>) -> Option<String> {
        match self.look(states) {
            Ok(state) => Some(state),
            Err(error) => {
                assert_eq!(error, "disk I/O error", "what cannot be read is an I/O error");
                None
            }
        }
    }

    /// Waits until it sees the newest state, and everything of it.
    fn sees_the_newest(&mut self, bank: &Bank) {
        let newest = bank.state();
        wait_until("the reader sees the newest state", || {
            self.look_or_fail(&bank.states).is_some_and(|state| state == newest)
        });
        assert_eq!(self.must("PRAGMA integrity_check"), "ok");
    }

    /// Ends a transaction. After an I/O error SQLite has done so itself.
    fn leave(&mut self) {
        let _ = self.session.ask(0, "ROLLBACK");
    }

    /// Begins a transaction.
    fn begin(&mut self, bank: &Bank) -> String {
        self.must("BEGIN");
        self.look(&bank.states).expect("a state")
    }
}

#[test]
fn a_process_that_stood_still_goes_on_where_it_was_and_catches_up() {
    let mut bank = Bank::start(Schedule::RESTLESS);
    let (mut within, mut between) = (Reader::open(&bank, &[]), Reader::open(&bank, &[]));
    let seen = within.begin(&bank);
    let txid = within.txid();
    within.session.freeze();
    between.session.freeze();
    wait_until("what was new to the readers is deleted", || {
        bank.transfer(10);
        let oldest = bank::names(&bank.replica()).iter().find(|(level, _)| *level == 0).map(|(_, name)| name.min);
        oldest > Some(txid)
    });
    bank.transfer(3);
    within.session.thaw();
    between.session.thaw();

    assert_eq!(within.look(&bank.states), Ok(seen.clone()));
    assert_eq!(within.must("PRAGMA integrity_check"), "ok");
    assert_eq!(within.txid(), txid);
    assert_eq!(within.look(&bank.states), Ok(seen));
    within.must("COMMIT");
    within.sees_the_newest(&bank);
    assert!(within.txid() > txid);
    between.sees_the_newest(&bank);
}

#[test]
fn a_primary_that_is_killed_and_started_again_is_followed() {
    let mut bank = Bank::start(Schedule::BUSY);
    let (mut reader, mut within) = (Reader::open(&bank, &[]), Reader::open(&bank, &[]));
    let seen = within.begin(&bank);
    for _ in 0..3 {
        let stopped = bank.stop();
        bank.transfer(2);
        reader.look(&bank.states).expect("a state");
        bank.primary = Some(stopped.start());
        let before = reader.txid();
        bank.transfer(2);
        reader.sees_the_newest(&bank);
        assert!(reader.txid() > before);
        assert_eq!(within.look(&bank.states).as_ref(), Ok(&seen));
    }
}

#[test]
fn litestream_reset_is_followed() {
    let mut bank = Bank::start(Schedule::BUSY);
    let (mut reader, mut within) = (Reader::open(&bank, &[]), Reader::open(&bank, &[]));
    let seen = within.begin(&bank);
    for _ in 0..2 {
        let stopped = bank.stop();
        stopped.reset();
        bank.transfer(2);
        bank.primary = Some(stopped.start());
        let before = reader.txid();
        bank.transfer(2);
        reader.sees_the_newest(&bank);
        assert!(reader.txid() > before, "the history goes on");
        assert_eq!(within.look(&bank.states).as_ref(), Ok(&seen));
    }
}

/// The machine of the primary was restored from an image: its write-ahead log goes on from where it was then.
#[test]
fn a_primary_that_was_set_back_is_followed() {
    let mut bank = Bank::start(Schedule::QUIET);
    let saved = bank.dir.path().join("saved");
    let stopped = bank.stop();
    // Litestream takes the pages that are not in the log from the database.
    workload::run(&bank.conn, "PRAGMA wal_checkpoint");
    bank.save(&saved);
    bank.primary = Some(stopped.start());
    bank.transfer(3);
    let (mut reader, mut within) = (Reader::open(&bank, &[]), Reader::open(&bank, &[]));
    let (seen, txid) = (within.begin(&bank), reader.txid());
    bank.roll_back(&saved);
    reader.sees_the_newest(&bank);
    assert!(reader.txid() > txid, "Litestream goes on with what the replica has");
    assert_eq!(within.look(&bank.states), Ok(seen));
}

/// Two machines come out of one image, each with its replica; the one takes the place of the other's.
#[test]
fn a_twin_that_overtakes_is_noticed_though_its_write_ahead_log_began_alike() {
    let mut bank = Bank::start(Schedule::QUIET);
    let mut twin = Bank::start(Schedule::QUIET);
    let stopped = bank.stop();
    let twin_stopped = twin.stop();
    let saved = bank.dir.path().join("saved");
    bank.save(&saved);
    twin.forget_database();
    fs::remove_dir_all(twin.replica()).expect("the replica is deleted");
    copy(&bank.replica(), &twin.replica());
    copy(&saved, twin.dir.path());
    twin.conn = Connection::open(twin.dir.path().join("app.db")).expect("the database is there");
    workload::run(&twin.conn, "PRAGMA wal_autocheckpoint = 0");
    twin.states.append(&mut bank.states.clone());
    (bank.primary, twin.primary) = (Some(stopped.start()), Some(twin_stopped.start()));
    bank.transfer(3);
    let mut reader = Reader::open(&bank, &[]);
    let txid = reader.txid();
    while twin.head() < Txid(txid.0 + 4) {
        twin.transfer(1);
    }
    drop(bank.primary.take());
    drop(twin.primary.take());
    for (level, name) in bank::names(&twin.replica()).into_iter().chain(bank::names(&bank.replica())) {
        println!("{level} {}-{}", name.min, name.max);
    }
    fs::rename(bank.replica(), bank.dir.path().join("old")).expect("the old replica goes");
    fs::rename(twin.replica(), bank.replica()).expect("another comes");
    twin.states.append(&mut bank.states);
    reader.sees_the_newest(&twin);
    assert_eq!(reader.txid(), bank.head());
}

#[test]
fn a_wiped_replica_without_a_base_is_read_as_far_as_its_pages_are_known_and_followed_from_the_next_snapshot_on() {
    let mut bank = Bank::start(Schedule::QUIET);
    let mut reader = Reader::open(&bank, &[]);
    let mut forgetful = Reader::open(&bank, &[("cache_size", "16KB")]);
    let (mut seen, txid) = (reader.begin(&bank), reader.txid());
    // Litestream makes one when it starts, in its own time.
    wait_until("the last snapshot for a day is made", || {
        bank::names(&bank.replica()).iter().any(|(level, _)| *level == 9)
    });
    fs::remove_dir_all(bank.replica().join("ltx")).expect("the replica is wiped");
    bank.transfer(3);
    let names = bank::names(&bank.replica());
    assert!(bank.head() > txid && names.iter().all(|(_, name)| name.min.0 > 1), "no base after {txid}: {names:?}");
    let late = Host::session(&bank.place).ask_to_open(&bank.place.url, &[("open_timeout", "0s")]);
    assert_eq!(late, Err("unable to open database file".to_owned()), "a new reader has nothing to begin with");
    for _ in 0..20 {
        let state = reader.look(&bank.states).expect("all of it is in the cache");
        assert_eq!(state, seen, "it stays within the transaction");
        reader.must("COMMIT");
        seen = reader.begin(&bank);
        forgetful.look_or_fail(&bank.states);
        std::thread::sleep(Duration::from_millis(50));
    }
    reader.must("COMMIT");
    assert!(reader.txid() >= txid);
    let stopped = bank.stop();
    stopped.force_snapshot();
    bank.primary = Some(stopped.start());
    reader.sees_the_newest(&bank);
    forgetful.sees_the_newest(&bank);
    bank.transfer(1);
    reader.sees_the_newest(&bank);
    assert!(reader.txid() > txid);
}

#[test]
fn another_history_with_lower_txids_is_noticed_and_never_mixed_with_the_old_one() {
    let mut bank = Bank::start(Schedule::QUIET);
    bank.transfer(3);
    let (mut reader, mut within) = (Reader::open(&bank, &[]), Reader::open(&bank, &[("cache_size", "16KB")]));
    let (seen, txid) = (within.begin(&bank), reader.txid());
    bank.begin_anew(Schedule::QUIET);
    assert!(bank.head() < txid, "{} < {txid}", bank.head());
    reader.sees_the_newest(&bank);
    assert!(reader.txid() < txid);
    within.look_or_fail(&bank.states).into_iter().for_each(|state| assert_eq!(state, seen));
    within.leave();
    within.sees_the_newest(&bank);
    bank.transfer(1);
    reader.sees_the_newest(&bank);
    within.sees_the_newest(&bank);
    let told = reader.session.end().stderr;
    assert_eq!(told.matches("another history").count(), 1, "{told}");
}

/// Another database's replica takes this one's place between two polls, and is further than this one was.
fn another_history_overtakes(schedule: Schedule) {
    let mut bank = Bank::start(Schedule::QUIET);
    let mut other = Bank::start(schedule);
    let (mut reader, mut within) = (Reader::open(&bank, &[]), Reader::open(&bank, &[("cache_size", "16KB")]));
    let (seen, txid) = (within.begin(&bank), reader.txid());
    while other.head() < Txid(txid.0 + 5) {
        other.transfer(3);
    }
    if schedule.l0_retention < Schedule::QUIET.l0_retention {
        wait_until("level 0 forgets what the reader has seen", || {
            other.transfer(1);
            bank::names(&other.replica()).iter().all(|(level, name)| *level > 0 || name.min > txid)
        });
    }
    drop(other.primary.take());
    drop(bank.primary.take());
    fs::rename(bank.replica(), bank.dir.path().join("old")).expect("the old replica goes");
    fs::rename(other.replica(), bank.replica()).expect("another comes");
    bank.states.append(&mut other.states.clone());
    other.states = bank.states.clone();

    reader.sees_the_newest(&other);
    within.look_or_fail(&bank.states).into_iter().for_each(|state| assert_eq!(state, seen));
    within.leave();
    within.sees_the_newest(&other);
    assert_eq!(reader.txid(), bank.head());
}

#[test]
fn another_history_that_overtakes_is_noticed_by_the_names_it_has_in_common() {
    another_history_overtakes(Schedule::QUIET);
}

#[test]
fn another_history_that_overtakes_is_noticed_where_level_0_has_no_name_in_common() {
    another_history_overtakes(Schedule::FORGETFUL);
}

#[test]
fn a_replica_that_goes_and_comes_back_is_followed_again() {
    let mut bank = Bank::start(Schedule::BUSY);
    let mut reader = Reader::open(&bank, &[]);
    let mut forgetful = Reader::open(&bank, &[("cache_size", "16KB")]);
    let (seen, txid) = (bank.state(), reader.txid());
    let stopped = bank.stop();
    let away = bank.dir.path().join("away");
    fs::rename(bank.replica(), &away).expect("the replica goes");
    for _ in 0..20 {
        assert_eq!(reader.look(&bank.states).as_ref(), Ok(&seen), "all of it is in the cache");
        assert_eq!(reader.txid(), txid);
        forgetful.look_or_fail(&bank.states).into_iter().for_each(|state| assert_eq!(state, seen));
        std::thread::sleep(Duration::from_millis(50));
    }
    fs::rename(&away, bank.replica()).expect("the replica comes back");
    forgetful.sees_the_newest(&bank);
    bank.primary = Some(stopped.start());
    bank.transfer(2);
    reader.sees_the_newest(&bank);
    forgetful.sees_the_newest(&bank);
    assert!(reader.txid() > txid);
}

#[test]
fn a_snapshot_that_is_made_again_is_read_under_an_open_transaction() {
    let mut bank = Bank::start(Schedule::QUIET);
    let stopped = bank.stop();
    stopped.force_snapshot();
    let snapshot = || {
        let names = bank::names(&bank.replica());
        let (_, name) = names.iter().rfind(|(level, _)| *level == 9).expect("a snapshot");
        let path = bank.replica().join("ltx/9").join(format!("{}-{}.ltx", name.min, name.max));
        (name.max, fs::read(path).expect("it can be read"))
    };
    let (at, bytes) = snapshot();
    // All that is older is gone, but the newest of level 0: the snapshot alone holds the pages.
    for (_, name) in bank::names(&bank.replica()).iter().filter(|(level, name)| *level == 0 && name.max < at) {
        fs::remove_file(bank.replica().join("ltx/0").join(format!("{}-{}.ltx", name.min, name.max)))
            .expect("a file is deleted");
    }
    let mut reader = Reader::open(&bank, &[("cache_size", "16KB")]);
    let seen = reader.begin(&bank);
    stopped.force_snapshot();
    let (again_at, again) = snapshot();
    assert_eq!(again_at, at, "the same name");
    assert_ne!(again, bytes, "other bytes");
    assert_eq!(reader.look(&bank.states), Ok(seen));
    assert_eq!(reader.must("PRAGMA integrity_check"), "ok");
    reader.must("COMMIT");
    bank.primary = Some(stopped.start());
    bank.transfer(2);
    reader.sees_the_newest(&bank);
}
