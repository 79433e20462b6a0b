//! A replica whose history is replaced by another one: readers detect it, change to the new history at the start of a
//! transaction, and never mix the two.

use crate::support::bank::{self, Bank};
use crate::support::files::copy;
use crate::support::litestream::{Primary, Schedule};
use crate::support::programs::wait_until;
use crate::support::reader::Reader;
use crate::support::workload;
use litestream_vfs::ltx::Txid;
use rusqlite::Connection;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The files of a primary.
const MACHINE: [&str; 3] = ["app.db", "app.db-wal", ".app.db-litestream"];

/// Copies the files of a stopped primary.
fn copy_machine(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    MACHINE.iter().for_each(|name| copy(&from.join(name), &to.join(name)));
}

/// Deletes the database of a bank and Litestream's metadata.
fn forget_machine(bank: &mut Bank) {
    bank.conn = Connection::open_in_memory().expect("memory");
    fs::remove_dir_all(bank.dir.path().join(".app.db-litestream")).expect("Litestream's metadata is there");
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(bank.dir.path().join(format!("app.db{end}")));
    }
}

/// Replaces the files of a primary by saved ones.
fn restore_machine(bank: &mut Bank, saved: &Path) {
    forget_machine(bank);
    copy_machine(saved, bank.dir.path());
    bank.conn = Connection::open(bank.dir.path().join("app.db")).expect("the database is back");
    workload::run(&bank.conn, "PRAGMA wal_autocheckpoint = 0");
    bank.conn.busy_timeout(Duration::from_secs(60)).expect("a timeout can be set");
}

/// Deletes the database, the metadata and the replica, and creates another database in the same path.
fn begin_anew(bank: &mut Bank) {
    drop(bank.primary.take());
    fs::remove_dir_all(bank.replica()).expect("the replica is deleted");
    forget_machine(bank);
    let path = bank.dir.path().join("app.db");
    bank.conn = bank::create(&path);
    bank.states.insert(bank.state());
    bank.primary = Some(Primary::start(&path, &bank.destination, Schedule::QUIET));
    bank.transfer(1);
}

/// The files of the primary are restored from an image, so that its WAL continues from an older state.
#[test]
fn a_primary_restored_from_an_image_is_followed() {
    let mut bank = Bank::start(Schedule::QUIET);
    let saved = bank.dir.path().join("saved");
    let stopped = bank.stop();
    // Litestream reads pages that are not in the WAL from the database.
    workload::run(&bank.conn, "PRAGMA wal_checkpoint");
    copy_machine(bank.dir.path(), &saved);
    bank.primary = Some(stopped.start());
    bank.transfer(3);
    let (mut reader, mut within) = (Reader::open(&bank, &[]), Reader::open(&bank, &[]));
    let (seen, txid) = (within.begin(&bank), reader.txid());
    let stopped = bank.stop();
    restore_machine(&mut bank, &saved);
    bank.transfer(6);
    bank.primary = Some(stopped.start());
    bank.transfer(1);
    reader.wait_for_newest_state(&bank);
    assert!(reader.txid() > txid, "Litestream continues from the newest file of the replica");
    assert_eq!(within.read_state(&bank.states), Ok(seen));
}

/// Writes to both databases until the second has the higher TXID and, with a short retention, no file of level 0 that the
/// reader has seen. Then the replica of the second replaces that of the first, between two polls.
fn overtake(first: &mut Bank, second: &mut Bank, schedule: Schedule, seen: Txid) {
    while second.head() < Txid(seen.0 + 5) {
        second.transfer(1);
    }
    if schedule.l0_retention < Schedule::QUIET.l0_retention {
        wait_until("level 0 has no file that the reader has seen", || {
            second.transfer(1);
            bank::names(&second.replica()).iter().all(|(level, name)| *level > 0 || name.min > seen)
        });
    }
    drop(first.primary.take());
    drop(second.primary.take());
    fs::rename(first.replica(), first.dir.path().join("old")).expect("the old replica goes");
    fs::rename(second.replica(), first.replica()).expect("another comes");
    second.states.append(&mut first.states.clone());
    first.states = second.states.clone();
}

/// Two primaries continue from copies of one image, each with its replica. The second replica replaces the first.
fn a_diverged_copy_overtakes(schedule: Schedule) {
    let (mut bank, mut twin) = (Bank::start(Schedule::QUIET), Bank::start(schedule));
    let (stopped, twin_stopped) = (bank.stop(), twin.stop());
    let saved = bank.dir.path().join("saved");
    copy_machine(bank.dir.path(), &saved);
    restore_machine(&mut twin, &saved);
    fs::remove_dir_all(twin.replica()).expect("the replica is deleted");
    copy(&bank.replica(), &twin.replica());
    twin.states.append(&mut bank.states.clone());
    (bank.primary, twin.primary) = (Some(stopped.start()), Some(twin_stopped.start()));
    bank.transfer(3);
    let (mut reader, mut within) = (Reader::open(&bank, &[]), Reader::open(&bank, &[("cache_size", "16KB")]));
    let (seen, txid) = (within.begin(&bank), reader.txid());
    overtake(&mut bank, &mut twin, schedule, txid);
    reader.wait_for_newest_state(&twin);
    within.read_state_or_io_error(&bank.states).into_iter().for_each(|state| assert_eq!(state, seen));
    within.roll_back();
    within.wait_for_newest_state(&twin);
    assert_eq!(reader.txid(), bank.head());
}

#[test]
fn a_diverged_copy_that_overtakes_is_detected_with_an_equal_wal_start() {
    a_diverged_copy_overtakes(Schedule::QUIET);
}

#[test]
fn a_diverged_copy_that_overtakes_is_detected_with_only_common_files_to_compare() {
    a_diverged_copy_overtakes(Schedule::SHORT_RETENTION);
}

/// Litestream's metadata and the replica are lost, but not the database: its TXIDs start at 1 again.
#[test]
fn a_restarted_backup_is_followed() {
    let mut bank = Bank::start(Schedule::QUIET);
    bank.transfer(3);
    let (mut reader, mut within) = (Reader::open(&bank, &[]), Reader::open(&bank, &[]));
    let (seen, txid) = (within.begin(&bank), reader.txid());
    let stopped = bank.stop();
    fs::remove_dir_all(bank.replica()).expect("the replica is deleted");
    fs::remove_dir_all(bank.dir.path().join(MACHINE[2])).expect("Litestream's metadata is deleted");
    bank.transfer(1);
    bank.primary = Some(stopped.start());
    bank.transfer(1);
    assert!(bank.head() < txid, "{} < {txid}", bank.head());
    reader.wait_for_newest_state(&bank);
    assert_eq!(reader.txid(), bank.head());
    within.read_state_or_io_error(&bank.states).into_iter().for_each(|state| assert_eq!(state, seen));
    within.roll_back();
    bank.transfer(1);
    reader.wait_for_newest_state(&bank);
    within.wait_for_newest_state(&bank);
}

#[test]
fn another_history_with_lower_txids_is_detected_and_never_mixed_with_the_old_one() {
    let mut bank = Bank::start(Schedule::QUIET);
    bank.transfer(3);
    let (mut reader, mut within) = (Reader::open(&bank, &[]), Reader::open(&bank, &[("cache_size", "16KB")]));
    let (seen, txid) = (within.begin(&bank), reader.txid());
    begin_anew(&mut bank);
    assert!(bank.head() < txid, "{} < {txid}", bank.head());
    reader.wait_for_newest_state(&bank);
    assert!(reader.txid() < txid);
    within.read_state_or_io_error(&bank.states).into_iter().for_each(|state| assert_eq!(state, seen));
    within.roll_back();
    within.wait_for_newest_state(&bank);
    bank.transfer(1);
    reader.wait_for_newest_state(&bank);
    within.wait_for_newest_state(&bank);
    let stderr = reader.session.end().stderr;
    assert_eq!(stderr.matches("another history").count(), 1, "{stderr}");
}

/// The replica of another database with a higher TXID replaces this one between two polls.
fn another_history_overtakes(schedule: Schedule) {
    let (mut bank, mut other) = (Bank::start(Schedule::QUIET), Bank::start(schedule));
    let (mut reader, mut within) = (Reader::open(&bank, &[]), Reader::open(&bank, &[("cache_size", "16KB")]));
    let (seen, txid) = (within.begin(&bank), reader.txid());
    overtake(&mut bank, &mut other, schedule, txid);
    reader.wait_for_newest_state(&other);
    within.read_state_or_io_error(&bank.states).into_iter().for_each(|state| assert_eq!(state, seen));
    within.roll_back();
    within.wait_for_newest_state(&other);
    assert_eq!(reader.txid(), bank.head());
}

#[test]
fn another_history_that_overtakes_is_detected_by_common_names() {
    another_history_overtakes(Schedule::QUIET);
}

#[test]
fn another_history_that_overtakes_is_detected_without_common_names_at_level_0() {
    another_history_overtakes(Schedule::SHORT_RETENTION);
}
