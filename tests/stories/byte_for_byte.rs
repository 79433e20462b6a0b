//! The extension serves the bytes that `litestream restore` writes, at every TXID that can be restored.

use crate::support::extension::connect;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::pages::{Content, assert_same_bytes, assert_whole, content};
use crate::support::programs::wait_until;
use crate::support::{extension, workload};
use litestream_vfs::ltx::Txid;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// Replicates the whole workload, then compares every state.
fn every_state_is_served(before: &str, schedule: Schedule) {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let database = dir.path().join("app.db");
    let conn = workload::create(&database, before);
    let primary = Primary::start(&database, &destination, schedule);
    for step in workload::STEPS {
        workload::run(&conn, step);
        primary.sync();
        // Compactions depend on the clock. The pause lets them run between the steps.
        thread::sleep(Duration::from_millis(300));
    }
    primary.wait_for_levels(&[0, 1, 2, 9]);
    primary.stop();

    let restored = dir.path().join("restored.db");
    let txids = destination.txids();
    let compared = txids.iter().filter(|txid| destination.restore(**txid, &restored)).map(|txid| {
        let conn = connect(&destination.url, &[("txid", &txid.to_string())]);
        assert_eq!(txid_of(&conn), *txid);
        assert_same_bytes(&conn, &restored);
        assert_whole(&conn);
    });
    let compared = compared.count();
    // With a short retention, some states cannot be restored, but always fewer than half of them.
    assert!(compared > txids.len() / 2 && compared >= 8, "{compared} of {} states could be restored", txids.len());
}

fn txid_of(conn: &Connection) -> Txid {
    let txid: String = conn.query_row("PRAGMA litestream_txid", [], |row| row.get(0)).expect("a view has a TXID");
    txid.parse().expect("a TXID")
}

#[test]
fn every_state_of_a_plain_database() {
    every_state_is_served("PRAGMA auto_vacuum = NONE", Schedule::BUSY);
}

#[test]
fn every_state_under_full_auto_vacuum() {
    every_state_is_served("PRAGMA auto_vacuum = FULL", Schedule::BUSY);
}

#[test]
fn every_state_under_incremental_vacuum_when_level_0_is_deleted() {
    every_state_is_served("PRAGMA auto_vacuum = INCREMENTAL", Schedule::SHORT_RETENTION);
}

/// A connection stays open while the primary changes. Each state that it shows is that of the primary at the same TXID.
#[test]
fn an_open_connection_shows_the_primary_at_each_txid() {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let database = dir.path().join("app.db");
    let conn = workload::create(&database, "PRAGMA auto_vacuum = INCREMENTAL");
    workload::run(&conn, "CREATE TABLE first (a)");
    let primary = Primary::start(&database, &destination, Schedule::SHORT_RETENTION);
    let mut states = BTreeMap::from([(primary.sync(), content(&conn))]);
    let follower = extension::connect(&destination.url, &[("poll_interval", "50ms")]);
    for step in workload::STEPS {
        workload::run(&conn, step);
        let newest = primary.sync();
        states.insert(newest, content(&conn));
        wait_until("the follower shows the newest state", || shown(&follower, &states) >= newest);
        // Time for compactions while the follower is open.
        thread::sleep(Duration::from_millis(200));
    }
}

fn search_notes(conn: &Connection) {
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'notes'", [], |row| row.get(0))
        .expect("the schema can be read");
    if tables > 0 {
        let search = "SELECT count(*) FROM notes WHERE notes MATCH 'note'";
        conn.query_row(search, [], |row| row.get::<_, i64>(0)).expect("notes can be searched");
    }
}

/// Checks the state of a follower in one transaction, and returns its TXID.
fn shown(follower: &Connection, states: &BTreeMap<Txid, Content>) -> Txid {
    follower.execute_batch("BEGIN").expect("a transaction begins");
    let txid = txid_of(follower);
    // FTS5 notices changes of other connections when it is searched, not when it is checked. So it does in a plain database.
    search_notes(follower);
    assert_whole(follower);
    // A sync may use two TXIDs: the second is a checkpoint, which changes only a table of Litestream.
    let (_, expected) = states.range(txid..).next().expect("the primary was at this TXID");
    assert_eq!(content(follower), *expected, "content at {txid}");
    assert_eq!(txid_of(follower), txid, "a transaction keeps its state");
    follower.execute_batch("COMMIT").expect("a transaction ends");
    txid
}
