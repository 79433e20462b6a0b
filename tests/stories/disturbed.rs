//! Disturbances of replicas and readers: suspended processes, restarted primaries, deleted files. In every case a reader sees
//! only states that the primary had, each of them consistent, and in the end the newest one.

use crate::support::bank::{self, Bank, read_state};
use crate::support::extension::connect;
use crate::support::hosts::Host;
use crate::support::litestream::Schedule;
use crate::support::programs::wait_until;
use crate::support::reader::Reader;
use std::fs;
use std::time::Duration;

#[test]
fn a_suspended_process_keeps_its_state_and_catches_up() {
    let mut bank = Bank::start(Schedule::CONTINUOUS);
    let (mut within, mut between) = (Reader::open(&bank, &[]), Reader::open(&bank, &[]));
    let seen = within.begin(&bank);
    let txid = within.txid();
    within.session.freeze();
    between.session.freeze();
    wait_until("the files that are new to the readers are deleted", || {
        bank.transfer(10);
        let oldest = bank::names(&bank.replica()).iter().find(|(level, _)| *level == 0).map(|(_, name)| name.min);
        oldest > Some(txid)
    });
    bank.transfer(3);
    within.session.thaw();
    between.session.thaw();

    assert_eq!(within.read_state(&bank.states), Ok(seen.clone()));
    assert_eq!(within.query("PRAGMA integrity_check"), "ok");
    assert_eq!(within.txid(), txid);
    assert_eq!(within.read_state(&bank.states), Ok(seen));
    within.query("COMMIT");
    within.wait_for_newest_state(&bank);
    assert!(within.txid() > txid);
    between.wait_for_newest_state(&bank);
}

#[test]
fn a_killed_and_restarted_primary_is_followed() {
    let mut bank = Bank::start(Schedule::BUSY);
    let (mut reader, mut within) = (Reader::open(&bank, &[]), Reader::open(&bank, &[]));
    let seen = within.begin(&bank);
    for _ in 0..3 {
        let stopped = bank.stop();
        bank.transfer(2);
        reader.read_state(&bank.states).expect("a state");
        bank.primary = Some(stopped.start());
        let before = reader.txid();
        bank.transfer(2);
        reader.wait_for_newest_state(&bank);
        assert!(reader.txid() > before);
        assert_eq!(within.read_state(&bank.states).as_ref(), Ok(&seen));
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
        reader.wait_for_newest_state(&bank);
        assert!(reader.txid() > before, "the history continues");
        assert_eq!(within.read_state(&bank.states).as_ref(), Ok(&seen));
    }
}

#[test]
fn a_wiped_replica_without_a_base_is_read_from_the_cache_and_followed_from_the_next_snapshot() {
    let mut bank = Bank::start(Schedule::QUIET);
    let mut reader = Reader::open(&bank, &[]);
    let mut forgetful = Reader::open(&bank, &[("cache_size", "16KB")]);
    let (mut seen, txid) = (reader.begin(&bank), reader.txid());
    bank.wipe();
    bank.transfer(3);
    let names = bank::names(&bank.replica());
    assert!(bank.head() > txid && names.iter().all(|(_, name)| name.min.0 > 1), "no base after {txid}: {names:?}");
    let late = Host::session(&bank.destination).try_open(&bank.destination.url, &[("open_timeout", "0s")]);
    assert_eq!(late, Err("unable to open database file".to_owned()), "a new reader has no complete state");
    for _ in 0..20 {
        let state = reader.read_state(&bank.states).expect("the whole state is cached");
        assert_eq!(state, seen, "the transaction keeps its state");
        reader.query("COMMIT");
        seen = reader.begin(&bank);
        forgetful.read_state_or_io_error(&bank.states);
        std::thread::sleep(Duration::from_millis(50));
    }
    reader.query("COMMIT");
    assert!(reader.txid() >= txid);
    let stopped = bank.stop();
    stopped.force_snapshot();
    bank.primary = Some(stopped.start());
    reader.wait_for_newest_state(&bank);
    forgetful.wait_for_newest_state(&bank);
    bank.transfer(1);
    reader.wait_for_newest_state(&bank);
    assert!(reader.txid() > txid);
}

#[test]
fn a_replica_that_disappears_and_returns_is_followed_again() {
    let mut bank = Bank::start(Schedule::BUSY);
    let mut reader = Reader::open(&bank, &[]);
    let mut forgetful = Reader::open(&bank, &[("cache_size", "16KB")]);
    let (seen, txid) = (bank.state(), reader.txid());
    let stopped = bank.stop();
    let away = bank.dir.path().join("away");
    fs::rename(bank.replica(), &away).expect("the replica goes");
    for _ in 0..20 {
        assert_eq!(reader.read_state(&bank.states).as_ref(), Ok(&seen), "the whole state is cached");
        assert_eq!(reader.txid(), txid);
        forgetful.read_state_or_io_error(&bank.states).into_iter().for_each(|state| assert_eq!(state, seen));
        std::thread::sleep(Duration::from_millis(50));
    }
    fs::rename(&away, bank.replica()).expect("the replica comes back");
    forgetful.wait_for_newest_state(&bank);
    bank.primary = Some(stopped.start());
    bank.transfer(2);
    reader.wait_for_newest_state(&bank);
    forgetful.wait_for_newest_state(&bank);
    assert!(reader.txid() > txid);
}

#[test]
fn a_rewritten_snapshot_is_read_within_an_open_transaction() {
    let mut bank = Bank::start(Schedule::QUIET);
    let stopped = bank.stop();
    stopped.force_snapshot();
    let snapshot = || {
        let names = bank::names(&bank.replica());
        let (_, name) = names.iter().rfind(|(level, _)| *level == 9).expect("a snapshot");
        let path = bank.replica().join("ltx/9").join(format!("{}-{}.ltx", name.min, name.max));
        (name.max, fs::read(path).expect("the state can be read"))
    };
    let (at, bytes) = snapshot();
    // Delete all other files but the newest of level 0, so that only the snapshot has the pages.
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
    assert_eq!(reader.read_state(&bank.states), Ok(seen));
    assert_eq!(reader.query("PRAGMA integrity_check"), "ok");
    reader.query("COMMIT");
    bank.primary = Some(stopped.start());
    bank.transfer(2);
    reader.wait_for_newest_state(&bank);
}

#[test]
fn a_new_connection_to_an_unreadable_replica_sees_the_state_of_the_others() {
    let bank = Bank::start(Schedule::QUIET);
    let level_0 = bank.replica().join("ltx/0");
    let first = connect(&bank.destination.url, &[("poll_interval", "50ms")]);
    let state = read_state(&first).expect("the state can be read");
    fs::rename(&level_0, bank.dir.path().join("aside")).expect("a level goes");
    fs::write(&level_0, "no directory").expect("a file replaces the directory");
    let failing = "SELECT litestream_status() LIKE '%cannot be read%'";
    wait_until("polls fail", || first.query_row(failing, [], |row| row.get(0)).expect("a status"));
    let second = connect(&bank.destination.url, &[]);
    assert_eq!(read_state(&second).expect("the state can be read"), state);
}
