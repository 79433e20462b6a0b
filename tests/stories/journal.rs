//! Commits to a local journal that is uploaded later.

use crate::support::hosts::Host;
use crate::support::litestream::Destination;
use crate::support::pages::assert_whole;
use crate::support::s3::S3Server;
use crate::support::session::Session;
use litestream_vfs::ltx::Txid;
use std::path::Path;

/// Opens a replica for writing with a journal in `dir`, which is uploaded when a test wants it.
fn open(session: &mut Session, destination: &Destination, dir: &Path) -> usize {
    let path = dir.join("journals");
    let text = path.to_str().expect("the paths of tests are text");
    let settings = [
        ("write_enabled", "1"),
        ("sync_interval", "1h"),
        ("buffer_path", text),
        ("poll_interval", "1h"),
        ("compaction", "off"),
    ];
    session.open(&destination.url, &settings)
}

/// Compares the rows of the table, as a new process reads them, with those that Litestream restores.
fn assert_restored_alike(destination: &Destination, dir: &Path) {
    const ROWS: &str =
        "SELECT group_concat(line, ';') FROM (SELECT quote(a) || ':' || quote(b) AS line FROM t ORDER BY line)";
    let restored = dir.join("restored.db");
    let last = *destination.txids().last().expect("a transaction");
    assert!(destination.restore(last, &restored), "{last} can be restored");
    let local = rusqlite::Connection::open(&restored).expect("a database");
    let expected: String = local.query_row(ROWS, [], |row| row.get(0)).expect("rows");
    assert_whole(&local);
    let mut reader = Host::session(destination);
    let conn = reader.open(&destination.url, &[]);
    assert_eq!(reader.query(conn, ROWS), expected);
    reader.end();
}

const PENDING: &str =
    "SELECT pending_transactions, pending_bytes > 0, journal IS NOT NULL, journal_error IS NULL FROM litestream_status";

#[test]
fn transactions_are_read_at_once_and_uploaded_as_one_file() {
    let (server, dir) = (S3Server::start(), tempfile::tempdir().expect("a directory"));
    let destination = Destination::s3(&server, "app");
    let mut session = Host::session(&destination);
    let conn = open(&mut session, &destination, dir.path());
    session.query(conn, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    server.take_requests();
    for number in 1..=5 {
        session.query(conn, &format!("INSERT INTO t(b) VALUES ({number})"));
        assert_eq!(
            session.query(conn, "SELECT count(*), sum(b) FROM t"),
            format!("{number}|{}", number * (number + 1) / 2)
        );
    }
    session.query(conn, "UPDATE t SET b = b * 10 WHERE a < 3");
    session.query(conn, "CREATE INDEX i ON t(b)");
    session.query(conn, "INSERT INTO t SELECT value, zeroblob(20000) FROM json_each('[100, 101, 102, 103]')");
    session.query(conn, "DELETE FROM t WHERE a > 101");
    session.query(conn, "VACUUM");
    assert_eq!(session.query(conn, PENDING), "11|1|1|1");
    assert_eq!(session.query(conn, "SELECT litestream_txid()"), "0000000000000001", "the TXID of the upload");
    assert_eq!(server.take_requests().len(), 0, "commits and reads make no request");
    let other = open(&mut session, &destination, dir.path());
    assert_eq!(session.query(other, "SELECT sum(b) FROM t WHERE a < 100"), "42", "every connection of the process");
    server.take_requests();
    assert_eq!(destination.txids(), [], "nothing is uploaded yet");
    // A transaction that began before the upload can write after it.
    session.query(other, "BEGIN");
    session.query(other, "SELECT count(*) FROM t");
    assert_eq!(session.query(conn, "SELECT litestream_flush()"), "0000000000000001");
    let operations: Vec<_> = server.take_requests().into_iter().map(|request| request.operation).collect();
    assert_eq!(operations.iter().filter(|operation| *operation == "PutObject").count(), 1, "{operations:?}");
    session.query(other, "INSERT INTO t(b) VALUES (6)");
    session.query(other, "COMMIT");
    assert_eq!(session.query(conn, PENDING), "1|1|1|1");
    let compared = session
        .try_query(conn, "SELECT * FROM litestream_changes('0000000000000001')")
        .expect_err("not in the replica");
    assert!(compared.contains("call litestream_flush() first"), "{compared}");
    assert_eq!(session.query(conn, "SELECT litestream_flush()"), "0000000000000002");
    assert_eq!(session.query(conn, "SELECT litestream_flush()"), "0000000000000002", "nothing is pending");
    session.query(conn, "INSERT INTO t(b) VALUES (7)");
    session.close();
    assert_eq!(destination.txids(), [1, 2, 3].map(Txid), "closing uploads the rest");
    assert_restored_alike(&destination, dir.path());
    assert!(session.end().status.success());
}

#[test]
fn commits_go_on_while_the_store_does_not_respond() {
    let (server, dir) = (S3Server::start(), tempfile::tempdir().expect("a directory"));
    let destination = Destination::s3(&server, "app");
    let mut session = Host::session(&destination);
    let conn = open(&mut session, &destination, dir.path());
    session.query(conn, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    session.query(conn, "SELECT litestream_flush()");
    std::fs::write(server.stall_file(), "").expect("it stalls");
    for number in 1..=20 {
        session.query(conn, &format!("INSERT INTO t(b) VALUES ({number})"));
    }
    assert_eq!(session.query(conn, "SELECT count(*) FROM t"), "20");
    std::fs::remove_file(server.stall_file()).expect("it responds again");
    assert_eq!(session.query(conn, "SELECT litestream_flush()"), "0000000000000002");
    // The process ends without closing: the next one continues with the journal.
    session.query(conn, "INSERT INTO t(b) VALUES (21)");
    drop(session);
    assert_eq!(destination.txids(), [1, 2].map(Txid));
    let mut session = Host::session(&destination);
    let conn = open(&mut session, &destination, dir.path());
    assert_eq!(session.query(conn, "SELECT count(*) FROM t"), "21");
    session.query(conn, "INSERT INTO t(b) VALUES (22)");
    session.close();
    assert_eq!(destination.txids(), [1, 2, 3].map(Txid), "both as one file");
    assert_restored_alike(&destination, dir.path());
    assert!(session.end().status.success());
}

#[test]
fn a_journal_belongs_to_one_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let [mut one, mut two] = [(); 2].map(|()| Host::session(&destination));
    let first = open(&mut one, &destination, dir.path());
    one.query(first, "CREATE TABLE t(a)");
    one.query(first, "SELECT litestream_flush()");
    let second = open(&mut two, &destination, dir.path());
    assert_eq!(two.query(second, "SELECT count(*) FROM t"), "0", "the other process reads");
    two.query(second, "PRAGMA busy_timeout = 0");
    let locked = two.try_query(second, "INSERT INTO t VALUES (1)").expect_err("the journal is locked");
    assert!(locked.contains("database is locked"), "{locked}");
    let why = two.query(second, "SELECT journal_error FROM litestream_status");
    assert!(why.contains("is that of another process; write with one process"), "{why}");
    let settings = [("write_enabled", "1"), ("poll_interval", "1h")];
    let mixed = one.try_open(&destination.url, &settings).expect_err("the process writes with a journal");
    assert!(mixed.contains("unable to open"), "{mixed}");
    let why = one.query(first, "SELECT litestream_last_error()");
    assert!(why.contains("another sync_interval or buffer_path; use the same settings"), "{why}");
    one.query(first, "INSERT INTO t VALUES (1)");
    one.close();
    two.query(second, "SELECT litestream_wait(2)");
    two.query(second, "INSERT INTO t VALUES (2)");
    assert_eq!(two.query(second, "SELECT litestream_flush(), group_concat(a) FROM t"), "0000000000000003|1,2");
    for session in [one, two] {
        session.end();
    }
}

#[test]
fn a_journal_that_lost_is_frozen_kept_and_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let [mut one, mut two] = [(); 2].map(|()| Host::session(&destination));
    let first = open(&mut one, &destination, dir.path());
    one.query(first, "CREATE TABLE t(a)");
    one.query(first, "SELECT litestream_flush()");
    one.query(first, "INSERT INTO t VALUES ('ours')");
    one.query(first, "INSERT INTO t VALUES ('ours too')");
    let second = two.open(&destination.url, &[("write_enabled", "1")]);
    two.query(second, "INSERT INTO t VALUES ('theirs')");
    let frozen = one.try_query(first, "SELECT litestream_flush()").expect_err("another writer was first");
    assert!(
        frozen.contains("has committed TXID 0000000000000002 first: 2 transactions are only in the journal")
            && frozen.contains("litestream_discard_journal()"),
        "{frozen}"
    );
    assert_eq!(one.query(first, "SELECT group_concat(a) FROM t"), "theirs", "the state of the replica");
    let status = "SELECT pending_transactions, conflicts, write_error = journal_error FROM litestream_status";
    assert_eq!(one.query(first, status), "2|1|1");
    let refused = one.try_query(first, "INSERT INTO t VALUES ('more')").expect_err("it is frozen");
    assert!(refused.contains("readonly"), "{refused}");
    // Also for the next process.
    drop(one);
    let mut one = Host::session(&destination);
    let first = open(&mut one, &destination, dir.path());
    one.try_query(first, "INSERT INTO t VALUES ('more')").expect_err("it is frozen");
    let renamed = one.query(first, "SELECT litestream_discard_journal()");
    assert!(renamed.ends_with(".ltx") && Path::new(&renamed).exists(), "{renamed}");
    one.query(first, "INSERT INTO t VALUES ('again')");
    one.close();
    two.query(second, "SELECT litestream_wait(3)");
    assert_eq!(two.query(second, "SELECT group_concat(a) FROM t"), "theirs,again");
    for session in [one, two] {
        session.end();
    }
}

/// A damaged journal is never read past the damage, and an incomplete last transaction is none.
#[test]
fn a_damaged_journal_is_reported_and_an_incomplete_one_is_continued() {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let mut session = Host::session(&destination);
    let conn = open(&mut session, &destination, dir.path());
    session.query(conn, "CREATE TABLE t(a)");
    let journal = session.query(conn, "SELECT journal FROM litestream_status");
    let journal = Path::new(&journal).join("journal");
    for number in 1..=2 {
        session.query(conn, &format!("INSERT INTO t VALUES ({number})"));
    }
    drop(session);
    let whole = std::fs::read(&journal).expect("a journal");
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    std::fs::write(&journal, &damaged).expect("written");
    let mut session = Host::session(&destination);
    let conn = open(&mut session, &destination, dir.path());
    session.try_query(conn, "CREATE TABLE u(a)").expect_err("it is damaged");
    let why = session.query(conn, "SELECT journal_error FROM litestream_status");
    assert!(why.contains("its transaction 1 is damaged, and later ones are there"), "{why}");
    assert_eq!(std::fs::read(&journal).expect("a journal"), damaged, "it is kept");
    drop(session);
    std::fs::write(&journal, &whole[..whole.len() - 1]).expect("written");
    let mut session = Host::session(&destination);
    let conn = open(&mut session, &destination, dir.path());
    assert_eq!(session.query(conn, "SELECT litestream_flush(), group_concat(a) FROM t"), "0000000000000001|1");
    session.end();
}

fn killed(step: &str, destination: &Destination, dir: &Path) {
    let host = Host::python("journal.py").arg(step).arg(&destination.url).arg(dir);
    let host = if step == "random" { host.arg("1") } else { host };
    let ended = host.credentials(destination).run();
    eprintln!("{}", ended.stderr);
    assert_eq!(ended.stdout, "ok\n", "{}", ended.stderr);
    assert_restored_alike(destination, dir);
}

#[test]
fn a_process_that_is_killed_at_random_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    killed("random", &Destination::directory(&dir.path().join("replica")), dir.path());
}

#[test]
fn a_process_that_is_killed_at_any_request_loses_nothing() {
    let (server, dir) = (S3Server::start(), tempfile::tempdir().expect("a directory"));
    killed("requests", &Destination::s3(&server, "app"), dir.path());
}

fn with_failing_disk(step: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let records = tempfile::tempdir().expect("a directory");
    let ended = Host::python("failing_journal.py").arg(step).arg(&destination.url).arg(records.path()).run();
    assert_eq!(ended.stdout, "ok\n", "{}", ended.stderr);
}

#[test]
fn a_journal_whose_disk_fails_acknowledges_nothing_that_is_not_durable() {
    with_failing_disk("calls");
}

#[test]
fn a_journal_on_a_full_disk_goes_on_when_there_is_space() {
    with_failing_disk("full");
}

/// The journal holds 256 MiB.
#[test]
fn a_full_journal_refuses_transactions_until_the_store_accepts_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let (replica, away) = (dir.path().join("replica"), dir.path().join("away"));
    let destination = Destination::directory(&replica);
    let mut session = Host::session(&destination);
    let conn = open(&mut session, &destination, dir.path());
    session.query(conn, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    session.query(conn, "INSERT INTO t VALUES (1, NULL)");
    session.query(conn, "SELECT litestream_flush()");
    // A directory that is a file refuses everything.
    std::fs::rename(&replica, &away).expect("renamed");
    std::fs::write(&replica, "").expect("a file");
    let fill = "UPDATE t SET b = randomblob(30000000) RETURNING hex(substr(b, 1, 20))";
    let (mut last, mut commits) = (String::new(), 0);
    let full = loop {
        match session.try_query(conn, fill) {
            Ok(start) => (last, commits) = (start, commits + 1),
            Err(error) => break error,
        }
    };
    assert_eq!(full, "database or disk is full");
    let why = session.query(conn, "SELECT litestream_last_error()");
    let held = session.query(conn, "SELECT pending_bytes FROM litestream_status");
    let parts = [
        "has no room for a transaction of 30".to_owned(),
        format!(
            "at most 65536 transactions with 268435456 bytes, and {commits} transactions with {held} bytes are not"
        ),
        "because the last upload failed: ".to_owned(),
        "a part of the path is a file".to_owned(),
        "upload them with litestream_flush()".to_owned(),
    ];
    assert!(parts.iter().all(|part| why.contains(part)), "{why}");
    let held: u64 = held.parse().expect("a number");
    assert!(held > 7 * 30_000_000 && held <= 256 << 20, "{held} bytes");
    assert_eq!(session.query(conn, "SELECT hex(substr(b, 1, 20)) FROM t"), last);
    std::fs::remove_file(&replica).expect("removed");
    std::fs::rename(&away, &replica).expect("renamed");
    session.query(conn, "SELECT litestream_flush()");
    assert_eq!(session.query(conn, "SELECT hex(substr(b, 1, 20)) FROM t"), last);
    last = session.query(conn, "UPDATE t SET b = randomblob(1000) RETURNING hex(substr(b, 1, 20))");
    session.close();
    assert!(session.end().status.success());
    assert_restored_alike(&destination, dir.path());
    let mut reader = Host::session(&destination);
    let conn = reader.open(&destination.url, &[]);
    assert_eq!(reader.query(conn, "SELECT hex(substr(b, 1, 20)) FROM t"), last);
    reader.end();
}
