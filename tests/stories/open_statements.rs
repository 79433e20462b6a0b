//! Transactions that are committed while other statements of the connection read. SQLite does not look at the file again before those end,
//! so nothing but its own counting tells it which state it has in its cache.

use crate::support::extension;
use crate::support::litestream::Destination;
use crate::support::pages::assert_whole;
use rusqlite::{Connection, Rows, Statement};
use std::path::Path;

/// More transactions than views are numbered together, several times.
const COMMITS: i64 = 40;

fn number(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Opens a statement that reads a row and is not at its end.
fn begun<'a>(statement: &'a mut Statement<'_>) -> Rows<'a> {
    let mut rows = statement.query([]).expect("a query");
    rows.next().expect("it can be read").expect("a row");
    rows
}

fn all_are_there(parameters: &[(&str, &str)], dir: &Path) {
    let destination = Destination::directory(&dir.join("replica"));
    let parameters = [&[("write_enabled", "1")], parameters].concat();
    let conn = extension::connect(&destination.url, &parameters);
    conn.execute_batch(
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b);
         INSERT INTO t(b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i FROM n",
    )
    .expect("it can be written");
    let mut statement = conn.prepare("SELECT a FROM t").expect("a statement");
    let rows = begun(&mut statement);
    for count in 101..=100 + COMMITS {
        conn.execute("INSERT INTO t(b) VALUES (randomblob(500))", []).expect("it can be written");
        assert_eq!(number(&conn, "SELECT count(*) FROM t"), count);
    }
    drop(rows);
    assert_eq!(number(&conn, "SELECT count(*) FROM t"), 100 + COMMITS);
    conn.query_row("SELECT litestream_flush()", [], |_| Ok(())).expect("it is uploaded");
    drop(statement);
    drop(conn);
    let reader = extension::connect(&destination.url, &[]);
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 100 + COMMITS);
    assert_whole(&reader);
    let restored = dir.join("restored.db");
    let newest = *destination.txids().last().expect("a state");
    assert!(destination.restore(newest, &restored));
    let restored = Connection::open(restored).expect("it can be opened");
    assert_eq!(number(&restored, "SELECT count(*) FROM t"), 100 + COMMITS);
}

#[test]
fn transactions_that_are_committed_during_a_query_are_all_there() {
    let dir = tempfile::tempdir().expect("a directory");
    all_are_there(&[], dir.path());
}

#[test]
fn transactions_in_a_journal_that_are_committed_during_a_query_are_all_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let buffer = dir.path().join("buffer").display().to_string();
    all_are_there(&[("sync_interval", "1h"), ("buffer_path", &buffer)], dir.path());
}

#[test]
fn transactions_that_are_committed_during_a_query_of_a_shared_cache_are_all_there() {
    let dir = tempfile::tempdir().expect("a directory");
    all_are_there(&[("cache", "shared")], dir.path());
}

/// A query begins before each transaction, and goes on during it and the next ones.
#[test]
fn what_a_query_has_cached_is_never_taken_for_another_state() {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let conn = extension::connect(&destination.url, &[("write_enabled", "1")]);
    conn.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (0), (0)").expect("it can be written");
    // Another state of the same size, whose view comes between those of the transactions.
    let past = extension::connect(&destination.url, &[]);
    let mut query = conn.prepare("SELECT a FROM t").expect("a statement");
    let rows = begun(&mut query);
    for a in 1..=COMMITS {
        conn.execute("UPDATE t SET a = ?1", [a]).expect("it can be written");
        let txid = format!("{:016x}", 2 + a);
        past.execute_batch(&format!("PRAGMA litestream_txid = '{txid}'")).expect("the newest state");
        assert_eq!(number(&past, "SELECT max(a) FROM t"), a);
    }
    drop(rows);
    for a in (1..=COMMITS).rev() {
        conn.execute_batch(&format!("PRAGMA litestream_txid = '{:016x}'", 2 + a)).expect("back in time");
        assert_eq!(number(&conn, "SELECT max(a) FROM t"), a);
    }
}
