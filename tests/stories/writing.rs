//! Writing to replicas, compared with local databases and with what Litestream restores.

use crate::support::extension;
use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::pages::{assert_same_bytes, assert_whole};
use crate::support::programs::wait_until;
use crate::support::s3::{Manner, S3Server};
use litestream_vfs::ltx::Txid;
use rusqlite::{Connection, Error, ErrorCode, ffi};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const WRITE: &[(&str, &str)] = &[("write_enabled", "1")];

/// A directory with a replica in it.
fn replica() -> (TempDir, Destination) {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    (dir, destination)
}

fn open(destination: &Destination, parameters: &[(&str, &str)]) -> Connection {
    extension::connect(&destination.url, &[WRITE, parameters].concat())
}

fn text(conn: &Connection, sql: &str) -> String {
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn number(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn txid(conn: &Connection) -> Txid {
    text(conn, "SELECT litestream_txid()").parse().expect("a TXID")
}

/// The extended result code of a statement that fails, and why.
fn refusal(conn: &Connection, sql: &str) -> (i32, String) {
    match conn.execute_batch(sql) {
        Err(Error::SqliteFailure(error, _)) => {
            (error.extended_code, text(conn, "SELECT coalesce(litestream_last_error(), '')"))
        }
        other => panic!("{sql}: {other:?}"),
    }
}

/// Compares each state that the replica has with what Litestream restores, byte by byte. Each in a connection of its own: FTS5 checks its
/// tables by what it has read of an earlier state.
fn assert_restored_alike(destination: &Destination, dir: &Path) {
    let restored = dir.join("restored.db");
    for at in destination.txids() {
        assert!(destination.restore(at, &restored), "{at} can be restored");
        let conn = extension::connect(&destination.url, &[("txid", &at.to_string())]);
        assert_same_bytes(&conn, &restored);
        assert_whole(&conn);
    }
}

#[test]
fn a_database_is_created_written_and_restored() {
    let (dir, destination) = replica();
    let conn = open(&destination, &[]);
    assert_eq!(number(&conn, "SELECT count(*) FROM sqlite_schema"), 0);
    conn.execute_batch("CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t(b) VALUES ('one'), (zeroblob(20000))")
        .expect("it can be written");
    assert_eq!(txid(&conn), Txid(2), "a transaction for each statement");
    let other = open(&destination, &[]);
    other.execute_batch("BEGIN; INSERT INTO t(b) VALUES ('two'); DELETE FROM t WHERE a = 2; COMMIT").expect("written");
    // The commits of the process are seen without a poll.
    assert_eq!((number(&conn, "SELECT count(*) FROM t"), txid(&conn)), (2, Txid(3)));
    let reader = extension::connect(&destination.url, &[]);
    assert_eq!(text(&reader, "SELECT group_concat(b) FROM t"), "one,two");
    let denied = refusal(&reader, "INSERT INTO t(b) VALUES ('three')").0;
    assert_eq!(denied, 8, "it was not opened for writing");
    assert_restored_alike(&destination, dir.path());
    let status = text(&conn, "SELECT litestream_status()");
    assert!(status.contains("\"write_error\":null") && status.contains("\"conflicts\":0"), "{status}");
}

/// SQLite keeps the pages of a transaction under the change counter after that of the state before. A state that was read meanwhile once had the
/// same counter.
#[test]
fn a_past_state_is_not_taken_for_the_one_that_was_just_written() {
    let (_dir, destination) = replica();
    let conn = open(&destination, &[]);
    conn.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (1); UPDATE t SET a = 2").expect("it can be written");
    let past = extension::connect(&destination.url, &[("txid", "0000000000000002")]);
    assert_eq!(number(&past, "SELECT a FROM t"), 1);
    conn.execute_batch("UPDATE t SET a = 3; PRAGMA litestream_txid = '0000000000000002'")
        .expect("written, and back in time");
    assert_eq!((txid(&conn), number(&conn, "SELECT a FROM t")), (Txid(2), 1));
}

#[test]
fn a_past_state_is_not_taken_for_a_later_one_that_was_written_under_the_same_lock() {
    let (_dir, destination) = replica();
    let conn = open(&destination, &[]);
    conn.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (1)").expect("it can be written");
    let past = extension::connect(&destination.url, &[]);
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE; UPDATE t SET a = 2").expect("it can be written");
    past.execute_batch("PRAGMA litestream_txid = '0000000000000003'").expect("the newest state");
    conn.execute_batch("UPDATE t SET a = 3; UPDATE t SET a = 4; PRAGMA locking_mode = NORMAL")
        .expect("it can be written");
    assert_eq!((txid(&conn), number(&conn, "SELECT a FROM t")), (Txid(5), 4));
    conn.execute_batch("PRAGMA litestream_txid = '0000000000000003'").expect("back in time");
    assert_eq!((txid(&conn), number(&conn, "SELECT a FROM t")), (Txid(3), 2));
    assert_eq!((txid(&past), number(&past, "SELECT a FROM t")), (Txid(3), 2));
}

#[test]
fn every_page_size_grows_shrinks_and_is_vacuumed() {
    for (page_size, auto_vacuum) in (9..=16).map(|bits| 1 << bits).zip([0, 1, 2, 0, 1, 2, 0, 1]) {
        let (dir, destination) = replica();
        let conn = open(&destination, &[]);
        conn.execute_batch(&format!(
            "PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {auto_vacuum}; PRAGMA cache_size = 20;
             CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b);
             INSERT INTO t(b) SELECT hex(randomblob(100)) FROM {SERIES};
             DELETE FROM t WHERE a % 3 > 0; PRAGMA incremental_vacuum; VACUUM;
             BEGIN; INSERT INTO t(b) SELECT hex(randomblob(200)) FROM {SERIES}; ROLLBACK;
             INSERT INTO t(b) SELECT hex(randomblob(60)) FROM {SERIES};
             DROP INDEX i; DELETE FROM t WHERE a > 50; VACUUM;"
        ))
        .unwrap_or_else(|error| panic!("{page_size}: {error}"));
        assert_eq!(number(&conn, "PRAGMA page_size"), page_size);
        assert_eq!(text(&conn, "PRAGMA integrity_check"), "ok");
        assert_restored_alike(&destination, dir.path());
        let (code, why) =
            refusal(&conn, &format!("PRAGMA page_size = {}; VACUUM", if page_size == 512 { 1024 } else { 512 }));
        assert_eq!(code, 8, "{why}");
        assert!(why.contains("the page size of a replica cannot be changed"), "{why}");
        assert_eq!(text(&conn, "PRAGMA integrity_check"), "ok");
    }
}

/// A table of 500 rows.
const SERIES: &str = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i FROM n)";

#[test]
fn of_two_processes_one_wins_and_the_other_reads_its_state() {
    let server = S3Server::start();
    let destination = Destination::s3(&server, "app");
    let [mut one, mut two] = [(); 2].map(|()| Host::session(&destination));
    let options: &[(&str, &str)] = &[("write_enabled", "1"), ("poll_interval", "1h")];
    let first = one.open(&destination.url, options);
    one.query(first, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    let second = two.open(&destination.url, options);
    one.query(first, "INSERT INTO t(b) VALUES ('one')");
    // The second process has not polled since.
    let lost = two.try_query(second, "INSERT INTO t(b) VALUES ('two')").expect_err("a conflict");
    assert!(lost.contains("database is locked"), "{lost}");
    let why = two.query(second, "SELECT litestream_last_error()");
    assert!(why.contains("has committed TXID 0000000000000002 first; run the transaction again"), "{why}");
    assert_eq!(two.query(second, "SELECT group_concat(b) FROM t"), "one", "the state of the winner");
    two.query(second, "INSERT INTO t(b) VALUES ('two')");
    assert_eq!(two.query(second, "SELECT conflicts, writes > 0 FROM litestream_status"), "1|1");
    // A transaction that has read keeps its state, and cannot write after a newer one.
    one.query(first, "SELECT litestream_wait(3)");
    one.query(first, "BEGIN");
    assert_eq!(one.query(first, "SELECT count(*) FROM t"), "2");
    two.query(second, "INSERT INTO t(b) VALUES ('three')");
    one.query(first, "INSERT INTO t(b) VALUES ('four')");
    one.try_query(first, "COMMIT").expect_err("a conflict");
    assert_eq!(one.query(first, "SELECT group_concat(b) FROM t"), "one,two,three", "it was rolled back");
    for session in [one, two] {
        session.end();
    }
}

#[test]
fn a_commit_is_put_and_listed_and_nothing_more() {
    let server = S3Server::start();
    let destination = Destination::s3(&server, "app");
    let mut session = Host::session(&destination);
    let conn =
        session.open(&destination.url, &[("write_enabled", "1"), ("poll_interval", "1h"), ("compaction", "off")]);
    session.query(conn, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    session.query(conn, "INSERT INTO t(b) VALUES ('one')");
    for rows in [1, 1000] {
        server.take_requests();
        session.query(conn, &format!("INSERT INTO t(b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT hex(randomblob(20)) FROM n"));
        session.query(conn, "SELECT count(*) FROM t");
        let operations: Vec<_> = server.take_requests().into_iter().map(|request| request.operation).collect();
        assert_eq!(operations, ["PutObject", "ListObjectsV2"], "{rows} rows");
    }
    session.query(conn, "BEGIN IMMEDIATE");
    session.query(conn, "ROLLBACK");
    session.query(conn, "DELETE FROM t WHERE a < 0");
    assert_eq!(server.take_requests().len(), 0, "a transaction that changes nothing makes no request");
    session.end();
}

#[test]
fn a_commit_whose_response_is_lost_is_committed_once() {
    let server = S3Server::start_with(Manner { loses_responses: true, ..Manner::default() });
    let destination = Destination::s3(&server, "app");
    let mut session = Host::session(&destination);
    let conn = session.open(&destination.url, WRITE);
    session.query(conn, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    for number in 1..=3 {
        session.query(conn, &format!("INSERT INTO t(b) VALUES ({number})"));
    }
    assert_eq!(session.query(conn, "SELECT group_concat(b), litestream_txid() FROM t"), "1,2,3|0000000000000004");
    session.end();
    assert_eq!(destination.txids(), [1, 2, 3, 4].map(Txid));
}

#[test]
fn a_server_that_ignores_conditions_is_not_written() {
    let server = S3Server::start_with(Manner { unconditional: true, ..Manner::default() });
    let destination = Destination::s3(&server, "app");
    let mut session = Host::session(&destination);
    let conn = session.open(&destination.url, WRITE);
    session.try_query(conn, "CREATE TABLE t(a)").expect_err("two writers could overwrite each other");
    let why = session.query(conn, "SELECT litestream_last_error()");
    assert!(why.contains("replaces objects although it is told not to"), "{why}");
    session.end();
    assert_eq!(destination.txids(), []);
}

#[test]
fn a_replica_of_litestream_is_taken_over_and_given_back() {
    let (dir, destination) = replica();
    let database = dir.path().join("app.db");
    let local = Connection::open(&database).expect("a local database");
    local
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t(b) VALUES ('local')",
        )
        .expect("written");
    let primary = Primary::start(&database, &destination, Schedule::QUIET);
    primary.sync();
    let conn = open(&destination, &[]);
    let (code, why) = refusal(&conn, "INSERT INTO t(b) VALUES ('ours')");
    assert_eq!(code, 8);
    assert!(
        why.contains("was written by Litestream; stop `litestream replicate` for good")
            && why.contains("write_takeover=1"),
        "{why}"
    );
    primary.stop();
    drop(conn);
    let before = destination.txids().len();
    let conn = open(&destination, &[("write_takeover", "1")]);
    assert_eq!(destination.txids().len(), before + 1, "a transaction that changes nothing");
    conn.execute_batch("INSERT INTO t(b) VALUES ('ours')").expect("it is ours now");
    // Nothing is to be done any more, and a past state cannot be written.
    let past = open(&destination, &[("write_takeover", "1"), ("txid", "0000000000000001")]);
    assert_eq!((txid(&past), destination.txids().len()), (Txid(1), before + 2));
    // Once taken over, it needs no setting.
    open(&destination, &[]).execute_batch("INSERT INTO t(b) VALUES ('more')").expect("it is ours");
    assert_restored_alike(&destination, dir.path());
    // Litestream goes on with a restored copy.
    let restored = dir.path().join("back.db");
    assert!(destination.restore(*destination.txids().last().expect("files"), &restored));
    let local = Connection::open(&restored).expect("a restored copy");
    local.execute_batch("PRAGMA journal_mode = WAL; INSERT INTO t(b) VALUES ('back')").expect("written");
    let primary = Primary::start(&restored, &destination, Schedule::QUIET);
    let newest = primary.sync();
    let reader = extension::connect(&destination.url, &[]);
    assert_eq!(number(&reader, &format!("SELECT litestream_wait({}, 60)", newest.0)), 1);
    assert_eq!(text(&reader, "SELECT group_concat(b) FROM t"), "local,ours,more,back");
    primary.stop();
    // Data never follows a transaction of Litestream directly, also on a connection that has taken the replica over before.
    assert_eq!(number(&conn, &format!("SELECT litestream_wait({}, 60)", newest.0)), 1);
    let before = destination.txids().len();
    let late = "BEGIN; SELECT count(*) FROM t; INSERT INTO t(b) VALUES ('late')";
    assert_eq!(refusal(&conn, late).0, rusqlite::ffi::SQLITE_BUSY_SNAPSHOT);
    conn.execute_batch("ROLLBACK").expect("nothing was written");
    assert_eq!(destination.txids().len(), before + 1, "a transaction that changes nothing");
    conn.execute_batch("INSERT INTO t(b) VALUES ('again')").expect("it is ours again");
    assert_eq!(text(&conn, "SELECT group_concat(b) FROM t"), "local,ours,more,back,again");
}

/// SQLite does not write the pages back that were free before.
#[test]
fn a_rollback_that_has_used_free_pages_publishes_nothing() {
    let (_dir, destination) = replica();
    let conn = open(&destination, &[("compaction", "off")]);
    conn.execute_batch(
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE TABLE u(b);
         INSERT INTO t(b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
            SELECT randomblob(6000) FROM n;
         INSERT INTO u SELECT b FROM t; DELETE FROM u;
         PRAGMA cache_size = 10; PRAGMA locking_mode = EXCLUSIVE; UPDATE t SET b = zeroblob(6000) WHERE a = 1",
    )
    .expect("free pages");
    let written = || (txid(&conn), destination.txids().len(), number(&conn, "SELECT sum(length(b)) FROM t"));
    let before = written();
    for rows in [20, 50, 80, 110, 140, 170, 200] {
        let insert = format!("INSERT INTO u SELECT randomblob(6000) FROM t LIMIT {rows}");
        conn.execute_batch(&format!("BEGIN; UPDATE t SET b = randomblob(6001) WHERE a > 36; {insert}; ROLLBACK"))
            .expect("a rollback");
        assert_eq!(written(), before, "{rows} rows");
    }
    // A commit that uses them is one.
    conn.execute_batch("INSERT INTO u SELECT randomblob(6000) FROM t").expect("a commit");
    assert_eq!((txid(&conn).0, text(&conn, "PRAGMA integrity_check").as_str()), (before.0.0 + 1, "ok"));
}

#[test]
fn a_file_that_another_program_replaced_stops_the_writer() {
    let (dir, destination) = replica();
    let conn = open(&destination, &[("poll_interval", "1h")]);
    conn.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (1)").expect("written");
    let level = dir.path().join("replica/ltx/0");
    let (first, second) =
        (level.join("0000000000000001-0000000000000001.ltx"), level.join("0000000000000002-0000000000000002.ltx"));
    let (elsewhere, another) = replica();
    open(&another, &[]).execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (7)").expect("written");
    let name = second.file_name().expect("a name");
    std::fs::copy(elsewhere.path().join("replica/ltx/0").join(name), level.join("other")).expect("a file");
    std::fs::rename(level.join("other"), &second).expect("it replaces the newest file");
    let (code, why) = refusal(&conn, "INSERT INTO t VALUES (2)");
    assert_eq!(code, 8, "{why}");
    assert!(
        why.contains("the file of TXID 0000000000000002") && why.contains("was replaced by another program"),
        "{why}"
    );
    assert_eq!(destination.txids().last(), Some(&Txid(2)), "nothing was written after it");
    assert!(first.exists());
    drop(conn);
    let conn = open(&destination, &[("max_staleness", "1ms")]);
    conn.execute_batch("INSERT INTO t VALUES (3)").expect("the replica was opened again");
    let sum: i64 = conn.query_row("SELECT sum(a) FROM t", [], |row| row.get(0)).expect("a row");
    assert_eq!(sum, 7 + 3);
}

#[test]
fn past_states_and_switched_off_writing_are_read_only() {
    let (_dir, destination) = replica();
    let conn = open(&destination, &[]);
    conn.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (1)").expect("written");
    conn.execute_batch("PRAGMA litestream_txid = '0000000000000001'").expect("a past state");
    let (code, why) = refusal(&conn, "INSERT INTO t VALUES (2)");
    assert_eq!(code, 8);
    assert!(why.contains("a fixed state, which cannot be written; return to the newest state"), "{why}");
    conn.execute_batch("PRAGMA litestream_time = 'LATEST'; PRAGMA litestream_write_enabled = 0").expect("pragmas");
    assert_eq!(refusal(&conn, "INSERT INTO t VALUES (2)").0, 8);
    conn.execute_batch("PRAGMA litestream_write_enabled = 1; INSERT INTO t VALUES (2)").expect("written");
    assert_eq!(number(&conn, "SELECT count(*) FROM t"), 2);
    let error = extension::connect(&destination.url, &[])
        .execute_batch("PRAGMA litestream_write_enabled = 1")
        .expect_err("it was opened for reading");
    assert!(error.to_string().contains("open it with write_enabled=1"), "{error}");
}

#[test]
fn locks_savepoints_and_modes_behave_as_in_a_file() {
    let (dir, destination) = replica();
    let [one, two] = [(); 2].map(|()| open(&destination, &[]));
    one.execute_batch("CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE VIRTUAL TABLE f USING fts5(x)")
        .expect("written");
    one.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let busy = two.execute_batch("INSERT INTO t(b) VALUES (1)").expect_err("the other connection is writing");
    assert_eq!(busy.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    assert_eq!(number(&two, "SELECT count(*) FROM t"), 0, "readers are not blocked");
    one.execute_batch("SAVEPOINT a; INSERT INTO t(b) VALUES (2); SAVEPOINT b; DELETE FROM t; ROLLBACK TO b; INSERT INTO f VALUES ('some words'); COMMIT").expect("written");
    assert_eq!((number(&two, "SELECT b FROM t"), number(&two, "SELECT count(*) FROM f('words')")), (2, 1));
    for mode in ["TRUNCATE", "PERSIST", "MEMORY", "OFF", "DELETE"] {
        assert_eq!(text(&one, &format!("PRAGMA journal_mode = {mode}")), mode.to_lowercase());
        one.execute_batch("PRAGMA synchronous = OFF; INSERT INTO t(b) VALUES (3)").expect(mode);
        if mode != "OFF" {
            one.execute_batch("BEGIN; UPDATE t SET b = 4; ROLLBACK").expect(mode);
        }
    }
    assert_eq!(text(&one, "PRAGMA journal_mode = WAL"), "delete", "as for databases in memory, the mode stays");
    assert_eq!(text(&one, "SELECT group_concat(b) FROM t"), "2,3,3,3,3,3");
    // The lock stays, so SQLite counts the first transaction only.
    one.execute_batch("PRAGMA locking_mode = EXCLUSIVE; INSERT INTO t(b) VALUES (5); INSERT INTO t(b) VALUES (6)")
        .expect("written");
    one.execute_batch("PRAGMA cache_size = 5; BEGIN; INSERT INTO t(b) SELECT zeroblob(3000) FROM sqlite_schema, sqlite_schema; ROLLBACK; INSERT INTO t(b) VALUES (7)").expect("written");
    assert!(two.execute_batch("INSERT INTO t(b) VALUES (8)").is_err());
    assert_eq!(text(&two, "SELECT group_concat(b) FROM t WHERE a > 6"), "5,6,7");
    one.execute_batch("PRAGMA locking_mode = NORMAL; SELECT 1 FROM t").expect("the lock is given back");
    two.execute_batch("INSERT INTO t(b) VALUES (9)").expect("written");
    assert_eq!(text(&one, "PRAGMA integrity_check"), "ok");
    assert_restored_alike(&destination, dir.path());
}

/// Without a journal SQLite does not write the old pages back, and under `locking_mode=EXCLUSIVE` it keeps the lock.
#[test]
fn a_refused_commit_is_no_part_of_the_next_one_without_a_journal() {
    let (dir, destination) = replica();
    let conn = open(&destination, &[]);
    conn.execute_batch("CREATE TABLE t(a); PRAGMA journal_mode = OFF; PRAGMA locking_mode = EXCLUSIVE")
        .expect("written");
    conn.execute_batch("INSERT INTO t VALUES (1)").expect("written");
    let level = dir.path().join("replica/ltx/0");
    let away = level.with_file_name("away");
    fs::rename(&level, &away).expect("the level");
    fs::write(&level, "").expect("a file instead of the directory");
    for refused in ["INSERT INTO t SELECT randomblob(3000) FROM (VALUES (1), (2), (3))", "UPDATE t SET a = 7"] {
        conn.execute_batch(refused).expect_err("nothing can be created");
    }
    fs::remove_file(&level).and_then(|()| fs::rename(&away, &level)).expect("the level");
    conn.execute_batch("INSERT INTO t VALUES (2)").expect("written");
    assert_eq!(text(&conn, "SELECT group_concat(a) FROM t"), "1,2");
    assert_eq!(text(&conn, "PRAGMA integrity_check"), "ok");
    drop(conn);
    assert_restored_alike(&destination, dir.path());
}

#[test]
fn a_transaction_that_has_read_wrong_bytes_is_not_committed() {
    let (dir, destination) = replica();
    let conn = open(&destination, &[("compaction", "off")]);
    // The first file is larger than those that are read whole. The second one has all pages that are written below.
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                INSERT INTO t SELECT i, CASE i WHEN 1500 THEN 'the-right-value' ELSE randomblob(900) END FROM n";
    conn.execute_batch(&format!("BEGIN; CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE TABLE u(a); {rows}; COMMIT"))
        .expect("written");
    conn.execute_batch("INSERT INTO u VALUES (1)").expect("written");
    drop(conn);
    let copy = Destination::directory(&dir.path().join("copy"));
    let level = dir.path().join("copy/ltx/0");
    fs::create_dir_all(&level).expect("a directory");
    for name in ["0000000000000001-0000000000000001.ltx", "0000000000000002-0000000000000002.ltx"] {
        let mut bytes = fs::read(dir.path().join("replica/ltx/0").join(name)).expect("a file");
        if let Some(at) = bytes.windows(9).position(|bytes| bytes == b"the-right") {
            bytes[at..at + 9].copy_from_slice(b"the-wrong");
        }
        fs::write(level.join(name), bytes).expect("a file");
    }
    let conn = open(&copy, &[("compaction", "off")]);
    conn.execute_batch("BEGIN").expect("begun");
    assert_eq!(text(&conn, "SELECT b FROM t WHERE a = 1500"), "the-wrong-value", "nobody knows yet");
    conn.execute_batch("INSERT INTO u VALUES (2)").expect("written");
    // Another connection finds it. The last pages can arrive a moment later.
    let other = extension::connect(&copy.url, &[]);
    wait_until("the damage is found", || other.query_row("SELECT sum(length(b)) FROM t", [], |_| Ok(())).is_err());
    let (code, reason) = refusal(&conn, "COMMIT");
    assert!(code == ffi::SQLITE_CORRUPT && reason.contains("wrong bytes"), "{code}: {reason}");
    let _ = conn.execute_batch("ROLLBACK");
    // A transaction that reads none of them is committed.
    conn.execute_batch("INSERT INTO u VALUES (3)").expect("written");
    assert_eq!(text(&conn, "SELECT group_concat(a) FROM u"), "1,3");
    refusal(&conn, "SELECT b FROM t WHERE a = 1500");
}

#[test]
fn two_replicas_and_a_local_database_are_written_together() {
    let (dir, first) = replica();
    let second = Destination::directory(&dir.path().join("second"));
    let conn = open(&first, &[]);
    conn.execute_batch("CREATE TABLE t(a)").expect("written");
    let attach = format!(
        "ATTACH '{}' AS other; ATTACH '{}' AS local",
        extension::uri(&second.url, WRITE),
        dir.path().join("local.db").display()
    );
    conn.execute_batch(&attach).expect("attached");
    conn.execute_batch("CREATE TABLE other.t(a); CREATE TABLE local.t(a); BEGIN; INSERT INTO main.t VALUES (1); INSERT INTO other.t VALUES (2); INSERT INTO local.t VALUES (3); COMMIT").expect("written");
    conn.execute_batch("BEGIN; DELETE FROM main.t; DELETE FROM other.t; DELETE FROM local.t; ROLLBACK")
        .expect("rolled back");
    assert_eq!(
        text(
            &conn,
            "SELECT group_concat(a) FROM (SELECT * FROM main.t UNION SELECT * FROM other.t UNION SELECT * FROM local.t)"
        ),
        "1,2,3"
    );
    for (destination, row) in [(&first, 1), (&second, 2)] {
        let restored = dir.path().join("restored.db");
        assert!(destination.restore(*destination.txids().last().expect("files"), &restored));
        assert_eq!(number(&Connection::open(&restored).expect("a database"), "SELECT a FROM t"), row);
    }
}

#[test]
fn a_backup_into_a_replica_replaces_it() {
    let (dir, destination) = replica();
    let file = dir.path().join("source.db");
    let mut conn = open(&destination, &[]);
    for (path, mode) in [(Path::new(":memory:"), "memory"), (&file, "wal")] {
        let source = Connection::open(path).expect("a database");
        source.execute_batch("PRAGMA page_size = 1024").expect("a new database");
        assert_eq!(text(&source, &format!("PRAGMA journal_mode = {mode}")), mode);
        source.execute_batch("CREATE TABLE t(a, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT i, hex(randomblob(50)) FROM n").expect("written");
        for rows in [2000, 1000] {
            let backup = rusqlite::backup::Backup::new(&source, &mut conn).expect("a backup");
            backup.run_to_completion(100, std::time::Duration::ZERO, None).expect("it is copied");
            drop(backup);
            source.execute_batch("DELETE FROM t WHERE a % 2; VACUUM").expect("written");
            assert_eq!(number(&conn, "SELECT count(*) FROM t"), rows, "{mode}");
            conn.execute_batch("INSERT INTO t VALUES (0, 'more')").expect(mode);
            assert_eq!(number(&conn, "SELECT count(*) FROM t"), rows + 1, "{mode}");
        }
    }
    assert_eq!(number(&conn, "PRAGMA page_size"), 1024);
    assert_restored_alike(&destination, dir.path());
}

#[test]
fn a_wal_is_not_used_with_exclusive_locks() {
    let (dir, first) = replica();
    let second = Destination::directory(&dir.path().join("second"));
    let attach = format!("ATTACH '{}' AS other", extension::uri(&second.url, WRITE));
    let pragmas = [("locking_mode = EXCLUSIVE", "exclusive"), ("journal_mode = WAL", "delete")];
    for order in [[0, 1], [1, 0]] {
        let conn = open(&first, &[]);
        conn.execute_batch(&attach).expect("attached");
        for schema in ["main", "other"] {
            conn.execute_batch(&format!("CREATE TABLE IF NOT EXISTS {schema}.t(a)")).expect("written");
            let before = number(&conn, &format!("SELECT count(*) FROM {schema}.t"));
            for (pragma, answer) in order.map(|at| pragmas[at]) {
                assert_eq!(text(&conn, &format!("PRAGMA {schema}.{pragma}")), answer, "{schema}");
            }
            conn.execute_batch(&format!("INSERT INTO {schema}.t VALUES (1)")).expect(schema);
            assert_eq!(number(&conn, &format!("SELECT count(*) FROM {schema}.t")), before + 1, "{schema}");
        }
    }
    // SQLite asks only the main database about a pragma that names no schema.
    let conn = extension::open(":memory:").expect("memory");
    conn.execute_batch(&attach).expect("attached");
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE").expect("a mode");
    let mut switch = conn.prepare("PRAGMA journal_mode = WAL").expect("it compiles");
    let switched: Result<Vec<()>, Error> = switch.query_map([], |_| Ok(())).and_then(Iterator::collect);
    assert_eq!(switched.expect_err("a replica has no WAL").sqlite_error().map(|error| error.extended_code), Some(8));
    let why = text(&conn, "SELECT litestream_last_error()");
    assert!(why.contains("a replica has no WAL, which SQLite uses with locking_mode=EXCLUSIVE"), "{why}");
    conn.execute_batch("INSERT INTO other.t VALUES (1)").expect("written");
    assert_eq!(number(&conn, "SELECT count(*) FROM other.t"), 3);
    assert_restored_alike(&second, dir.path());
}

#[test]
fn a_writer_without_locks_is_not_opened() {
    let (_dir, destination) = replica();
    let writer = open(&destination, &[]);
    writer.execute_batch("CREATE TABLE t(a)").expect("written");
    for parameter in ["nolock", "immutable"] {
        let unlocked = [WRITE, &[(parameter, "1")]].concat();
        extension::open(&extension::uri(&destination.url, &unlocked)).expect_err(parameter);
        let why = text(&writer, "SELECT litestream_last_error()");
        assert!(why.contains(&format!("write_enabled needs locks, which {parameter}=1 switches off")), "{why}");
        assert!(why.contains(&format!("remove {parameter}")), "{why}");
        for readable in [&[(parameter, "1")][..], &[&unlocked[..], &[("mode", "ro")]].concat()] {
            assert_eq!(number(&extension::connect(&destination.url, readable), "SELECT count(*) FROM t"), 0);
        }
    }
}
