//! A reader follows its primary between transactions, never within one.

use crate::support::extension::connect;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::pages::{RawFile, assert_whole, content};
use crate::support::programs::wait_until;
use crate::support::workload;
use rusqlite::{Connection, ffi};
use std::path::PathBuf;
use tempfile::TempDir;

/// A primary and readers that poll often.
struct Followed {
    dir: TempDir,
    database: Connection,
    destination: Destination,
    primary: Primary,
}

impl Followed {
    fn start(setup: &str) -> Followed {
        let dir = tempfile::tempdir().expect("a directory");
        let destination = Destination::directory(&dir.path().join("replica"));
        let path: PathBuf = dir.path().join("app.db");
        let database = workload::create(&path, "");
        workload::run(&database, setup);
        let primary = Primary::start(&path, &destination, Schedule::BUSY);
        primary.sync();
        Followed { dir, database, destination, primary }
    }

    fn reader(&self) -> Connection {
        connect(&self.destination.url, &[("poll_interval", "50ms")])
    }

    /// Changes the primary, and waits until the change is replicated.
    fn change(&self, sql: &str) -> String {
        workload::run(&self.database, sql);
        self.primary.sync().to_string()
    }
}

fn text(conn: &Connection, sql: &str) -> String {
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn number(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn wait_for_txid(conn: &Connection, txid: &str) {
    wait_until("the reader sees the new TXID", || text(conn, "PRAGMA litestream_txid").as_str() >= txid);
}

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)";

#[test]
fn a_transaction_sees_one_state_from_begin_to_end() {
    let followed = Followed::start(TABLE);
    let first = followed.change("INSERT INTO t SELECT value, randomblob(3000) FROM json_each('[1,2,3,4,5,6,7,8]')");
    // Two connections share one replica: the second shows when the new files are applied.
    let (reader, other) = (followed.reader(), followed.reader());
    wait_for_txid(&reader, &first);
    reader.execute_batch("BEGIN").expect("a transaction begins");
    let before = (content(&reader), number(&reader, "PRAGMA page_count"), RawFile::of(&reader, "main").size());
    assert_eq!(text(&reader, "PRAGMA litestream_txid"), first);

    let last = followed.change("DELETE FROM t WHERE id > 2");
    let last = last.max(followed.change("VACUUM"));
    wait_for_txid(&other, &last);
    assert_eq!(number(&other, "SELECT count(*) FROM t"), 2);

    let after = (content(&reader), number(&reader, "PRAGMA page_count"), RawFile::of(&reader, "main").size());
    assert_eq!(after, before, "the transaction still has its first state");
    assert_eq!(text(&reader, "PRAGMA litestream_txid"), first);
    assert_eq!(text(&reader, "SELECT litestream_txid()"), first);
    assert_whole(&reader);
    reader.execute_batch("COMMIT").expect("a transaction ends");

    assert_eq!(text(&reader, "PRAGMA litestream_txid"), last, "the next transaction sees the newest state");
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 2);
}

/// The TXID that the first statement after BEGIN returns must be that of the state that later statements read.
#[test]
fn reading_the_txid_first_pins_the_state_of_a_transaction() {
    for ask in ["PRAGMA litestream_txid", "SELECT litestream_txid()"] {
        let followed = Followed::start(TABLE);
        let (reader, other) = (followed.reader(), followed.reader());
        reader.execute_batch("BEGIN").expect("a transaction begins");
        let first = text(&reader, ask);
        let last = followed.change("INSERT INTO t VALUES (1, 'new')");
        wait_for_txid(&other, &last);
        assert_eq!(number(&reader, "SELECT count(*) FROM t"), 0, "{ask}");
        assert_eq!(text(&reader, ask), first);
        reader.execute_batch("COMMIT").expect("a transaction ends");
        assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1, "{ask}");
    }
}

#[test]
fn an_exclusive_reader_keeps_its_state_until_normal_mode() {
    let followed = Followed::start(TABLE);
    let (reader, other) = (followed.reader(), followed.reader());
    assert_eq!(text(&reader, "PRAGMA locking_mode = EXCLUSIVE"), "exclusive");
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 0);
    let first = text(&reader, "PRAGMA litestream_txid");
    let last = followed.change("INSERT INTO t VALUES (1, 'new')");
    wait_for_txid(&other, &last);
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 0);
    assert_eq!(text(&reader, "PRAGMA litestream_txid"), first);
    assert_whole(&reader);
    assert_eq!(text(&reader, "PRAGMA locking_mode = NORMAL"), "normal");
    // SQLite releases the lock at the end of the next read.
    number(&reader, "SELECT count(*) FROM t");
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1);
    assert_eq!(text(&reader, "PRAGMA litestream_txid"), last);
    assert_whole(&reader);
}

#[test]
fn a_growing_and_shrinking_database_is_followed() {
    let followed = Followed::start(TABLE);
    let reader = followed.reader();
    let mut sizes = Vec::new();
    for change in [
        "INSERT INTO t SELECT value, randomblob(500000) FROM json_each('[1,2,3,4]')",
        "DELETE FROM t WHERE id > 1",
        "VACUUM",
        "INSERT INTO t VALUES (9, randomblob(900000))",
        "DELETE FROM t; VACUUM",
    ] {
        let txid = followed.change(change);
        wait_for_txid(&reader, &txid);
        assert_whole(&reader);
        assert_eq!(content(&reader), content(&followed.database), "{change}");
        let pages = number(&reader, "PRAGMA page_count");
        assert_eq!(pages, number(&followed.database, "PRAGMA page_count"), "{change}");
        sizes.push(pages);
    }
    assert!(sizes[1] == sizes[0] && sizes[2] < sizes[1] && sizes[3] > sizes[2] && sizes[4] < sizes[3], "{sizes:?}");
}

/// SQLite keeps its page cache between transactions as long as the change counter in page 1 is unchanged.
#[test]
fn sqlites_page_cache_is_kept_while_the_state_is_unchanged() {
    let followed = Followed::start(TABLE);
    let txid = followed.change("INSERT INTO t SELECT value, randomblob(9000) FROM json_each('[1,2,3,4,5,6,7,8]')");
    let (reader, other) = (followed.reader(), followed.reader());
    wait_for_txid(&reader, &txid);
    let sum = "SELECT sum(length(hex(body))) FROM t";
    number(&reader, sum);
    misses(&reader);
    for _ in 0..5 {
        number(&reader, sum);
    }
    assert_eq!(misses(&reader), 0, "no page is read again without a change");

    let txid = followed.change("UPDATE t SET body = x'00' WHERE id = 1");
    wait_for_txid(&other, &txid);
    assert_eq!(number(&reader, sum), 7 * 18000 + 2, "the new state");
    assert!(misses(&reader) > 0, "the old pages are dropped");
}

/// Returns the cache misses of SQLite since the last call.
fn misses(conn: &Connection) -> i32 {
    let (mut current, mut highest) = (0, 0);
    // SAFETY: the connection is open, and both pointers are to local variables.
    let code = unsafe {
        ffi::sqlite3_db_status(conn.handle(), ffi::SQLITE_DBSTATUS_CACHE_MISS, &mut current, &mut highest, 1)
    };
    assert_eq!(code, ffi::SQLITE_OK);
    current
}

/// A replica that is first read when some of its files have been compacted.
#[test]
fn a_late_reader_sees_the_same_state_as_an_early_one() {
    let followed = Followed::start(TABLE);
    let stayed = followed.reader();
    for i in 0..20 {
        let txid =
            followed.change(&format!("INSERT INTO t VALUES ({i}, randomblob(5000)); DELETE FROM t WHERE id = {i} - 7"));
        wait_for_txid(&stayed, &txid);
    }
    // Through a symbolic link, the directory is another replica to the process, which lists it itself.
    let link = followed.dir.path().join("link");
    std::os::unix::fs::symlink("replica", &link).expect("a link is made");
    let late = connect(&Destination::directory(&link).url, &[]);
    assert_eq!(text(&late, "PRAGMA litestream_txid"), text(&stayed, "PRAGMA litestream_txid"));
    assert_eq!(content(&late), content(&stayed));
    assert_eq!(content(&late), content(&followed.database));
}
