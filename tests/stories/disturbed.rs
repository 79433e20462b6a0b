//! What happens to replicas and to those who read them: processes that stand still, primaries that begin anew, files that go.
//! Whatever it is, a reader sees states that were, each of them whole, and in the end the newest.

use crate::support::bank::{self, Bank};
use crate::support::hosts::Host;
use crate::support::litestream::Schedule;
use crate::support::programs::wait_until;
use crate::support::reader::Reader;
use std::fs;
use std::time::Duration;

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

#[test]
fn a_wiped_replica_without_a_base_is_read_as_far_as_its_pages_are_known_and_followed_from_the_next_snapshot_on() {
    let mut bank = Bank::start(Schedule::QUIET);
    let mut reader = Reader::open(&bank, &[]);
    let mut forgetful = Reader::open(&bank, &[("cache_size", "16KB")]);
    let (mut seen, txid) = (reader.begin(&bank), reader.txid());
    bank.wipe();
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
