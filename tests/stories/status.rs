//! `litestream_status`: the state of a replica and its readers, also while the replica cannot be read.

use crate::support::bank::{self, Bank, read_state};
use crate::support::extension::connect;
use crate::support::litestream::Schedule;
use crate::support::programs::wait_until;
use crate::support::reader::Reader;
use crate::support::session::Session;
use rusqlite::Connection;
use serde_json::Value;
use std::fs;

fn open(bank: &Bank, parameters: &[(&str, &str)]) -> Connection {
    connect(&bank.destination.url, &[&[("poll_interval", "50ms")], parameters].concat())
}

fn status(conn: &Connection) -> Value {
    let text: String =
        conn.query_row("SELECT litestream_status()", [], |row| row.get(0)).expect("the status never fails");
    serde_json::from_str(&text).expect("it is JSON")
}

fn text(conn: &Connection, sql: &str) -> String {
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn number(status: &Value, name: &str) -> u64 {
    status[name].as_u64().unwrap_or_else(|| panic!("{name} is not a whole number: {status}"))
}

fn wait_for_head(conn: &Connection, bank: &Bank) {
    let head = bank.head().to_string();
    wait_until("the replica has the newest TXID", || status(conn)["head_txid"] == head.as_str());
}

#[test]
fn the_status_describes_reader_and_replica_by_function_and_pragma() {
    let mut bank = Bank::start(Schedule::QUIET);
    let conn = open(&bank, &[]);
    read_state(&conn).expect("it can be read");
    wait_for_head(&conn, &bank);
    let report = status(&conn);
    assert_eq!(report["schema"], "main");
    assert_eq!(report["txid"], bank.head().to_string().as_str());
    assert_eq!(report["time"], text(&conn, "PRAGMA litestream_time").as_str());
    assert_eq!((&report["head_txid"], &report["head_time"]), (&report["txid"], &report["time"]));
    assert_eq!(report["state"], "following");
    assert_eq!(
        (&report["held_by"], &report["last_error"], &report["last_error_time"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert!(report["lag"].as_f64() >= Some(0.0) && report["age"].as_f64() >= Some(0.0), "{report}");
    assert_eq!(report["replica"], bank.destination.url.as_str());
    assert_eq!((report["poll_interval"].as_f64(), number(&report, "connections")), (Some(0.05), 1));
    assert!(number(&report, "reads") > 0 && number(&report, "lists") > 0 && number(&report, "bytes") > 0, "{report}");

    let by_pragma: Value = serde_json::from_str(&text(&conn, "PRAGMA main.litestream_status")).expect("it is JSON");
    let names = |report: &Value| report.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&by_pragma), names(&report));
    assert_eq!(by_pragma["txid"], report["txid"]);

    // An attached schema is another reader.
    let other = Bank::start(Schedule::QUIET);
    let uri = crate::support::extension::uri(&other.destination.url, &[]);
    conn.execute("ATTACH ? AS other", [uri]).expect("it is attached");
    for sql in ["SELECT litestream_status('other')", "PRAGMA other.litestream_status"] {
        let report: Value = serde_json::from_str(&text(&conn, sql)).expect("it is JSON");
        assert_eq!(
            (&report["schema"], &report["replica"]),
            (&"other".into(), &other.destination.url.as_str().into()),
            "{sql}"
        );
    }
    bank.transfer(1);
    wait_for_head(&conn, &bank);
}

#[test]
fn the_status_names_what_holds_a_reader_at_an_old_state() {
    let mut bank = Bank::start(Schedule::QUIET);
    let (conn, unlocked) = (open(&bank, &[]), open(&bank, &[("nolock", "1")]));
    let first = bank.head().to_string();
    conn.execute_batch("BEGIN").expect("a transaction begins");
    read_state(&conn).expect("it can be read");
    bank.transfer(2);
    wait_for_head(&conn, &bank);
    let report = status(&conn);
    assert_eq!((&report["txid"], &report["held_by"]), (&first.as_str().into(), &"transaction".into()), "{report}");
    assert_eq!(status(&unlocked)["held_by"], "opened without locks");
    conn.execute_batch("COMMIT").expect("a transaction ends");
    let report = status(&conn);
    assert_eq!((&report["txid"], &report["held_by"]), (&report["head_txid"], &Value::Null), "{report}");

    let parked = open(&bank, &[("txid", &first)]);
    let report = status(&parked);
    assert_eq!((&report["txid"], &report["held_by"]), (&first.as_str().into(), &"moment".into()), "{report}");
    text(&parked, "SELECT litestream_set_time('LATEST')");
    assert_eq!(status(&parked)["held_by"], Value::Null);
}

#[test]
fn the_status_takes_no_lock() {
    let mut bank = Bank::start(Schedule::QUIET);
    let conn = open(&bank, &[]);
    conn.execute_batch("BEGIN").expect("a transaction begins");
    status(&conn);
    text(&conn, "PRAGMA litestream_status");
    bank.transfer(1);
    wait_for_head(&conn, &bank);
    assert_eq!(read_state(&conn), Ok(bank.state()));
}

#[test]
fn the_status_counts_connections_and_cache_hits() {
    let bank = Bank::start(Schedule::QUIET);
    let conn = open(&bank, &[]);
    conn.execute_batch("PRAGMA cache_size = 0").expect("pragmas run");
    read_state(&conn).expect("it can be read");
    let cold = status(&conn);
    for _ in 0..3 {
        read_state(&conn).expect("it can be read");
    }
    let warm = status(&conn);
    assert_eq!(number(&warm, "cache_misses"), number(&cold, "cache_misses"), "the whole state was cached");
    assert!(number(&warm, "cache_hits") > number(&cold, "cache_hits") + 100, "{warm}");
    let held = number(&warm, "cache_bytes");
    assert!(held > 0 && held <= number(&warm, "cache_size"), "{warm}");

    let others: Vec<Connection> = (0..4).map(|_| open(&bank, &[])).collect();
    assert_eq!(number(&status(&conn), "connections"), 5);
    assert_eq!(number(&status(&others[3]), "connections"), 5);
    drop(others);
    assert_eq!(number(&status(&conn), "connections"), 1);
    assert!(number(&status(&conn), "cache_hits") >= number(&warm, "cache_hits"), "the counts never decrease");
}

/// A file replaces the replica's directory for a while.
#[test]
fn the_status_reports_why_the_replica_cannot_be_read() {
    let mut bank = Bank::start(Schedule::QUIET);
    let conn = open(&bank, &[]);
    let bound = [("max_staleness", "1ms")];
    let (strict, untouched) = (open(&bank, &bound), open(&bank, &bound));
    let (seen, away) = (read_state(&conn), bank.dir.path().join("away"));
    assert_eq!(read_state(&strict), seen);
    let stopped = bank.stop();
    fs::rename(bank.replica(), &away).expect("the replica goes");
    fs::write(bank.replica(), "no replica").expect("a file is written");
    wait_until("the status has an error", || status(&conn)["last_error"].is_string());
    let report = status(&conn);
    assert_eq!(report["state"], "the replica cannot be read; the last state is kept");
    assert!(report["last_error"].as_str().is_some_and(|text| text.contains(&bank.destination.url)), "{report}");
    assert!(report["last_error_time"].is_string() && report["txid"] == report["head_txid"], "{report}");
    assert_eq!(read_state(&conn), seen, "the cached state can still be read");
    wait_until("lag grows while polls fail", || {
        status(&conn)["lag"].as_f64() > report["lag"].as_f64().map(|lag| lag + 0.2)
    });

    let refused = read_state(&strict).expect_err("the newest state is unknown");
    assert!(refused.contains("disk I/O error"), "{refused}");
    assert_eq!(status(&strict)["txid"], report["txid"], "max_staleness does not apply to the status");
    // SQLite reads the schema before the first SELECT of a connection.
    read_state(&untouched).expect_err("the newest state is unknown");
    assert!(text(&untouched, "PRAGMA litestream_status").contains("the last state is kept"));

    fs::remove_file(bank.replica()).expect("the file goes");
    fs::rename(&away, bank.replica()).expect("the replica comes back");
    bank.primary = Some(stopped.start());
    bank.transfer(1);
    wait_for_head(&conn, &bank);
    // The poll that has published the state ends after that.
    wait_until("the replica is followed", || status(&conn)["state"] == "following");
    let report = status(&conn);
    assert!(report["last_error"].is_string(), "the last error is still shown: {report}");
    assert_eq!(read_state(&strict), read_state(&conn));
}

#[test]
fn the_status_reports_a_replica_without_a_base() {
    let mut bank = Bank::start(Schedule::QUIET);
    let conn = open(&bank, &[]);
    read_state(&conn).expect("it can be read");
    bank.wipe();
    wait_until("the status reports it", || status(&conn)["state"] != "following");
    let report = status(&conn);
    let state = report["state"].as_str().expect("text");
    assert!(state.contains("the last state is kept"), "{state}");
    bank.transfer(2);
    let stopped = bank.stop();
    stopped.force_snapshot();
    wait_for_head(&conn, &bank);
    wait_until("it follows again", || status(&conn)["state"] == "following");
}

/// The store loses a file while a reader is suspended. Another reader opens the replica later.
#[test]
fn the_status_names_missing_transactions_until_a_snapshot_covers_them() {
    let mut bank = Bank::start(Schedule::QUIET);
    // Litestream writes a snapshot soon after it starts. It must not contain the lost transaction.
    wait_until("the last snapshot for a day is written", || {
        bank::names(&bank.replica()).iter().any(|(level, _)| *level == 9)
    });
    let (before, state) = (bank.head(), bank.state());
    let mut reader = Reader::open(&bank, &[]);
    reader.session.freeze();
    bank.transfer(2);
    let (lost, level_0) = (before.next(), bank.replica().join("ltx/0"));
    fs::remove_file(level_0.join(format!("{lost}-{lost}.ltx"))).expect("the store loses a file");
    bank.transfer(2);
    reader.session.thaw();
    let late = reader.session.open(&bank.destination.url, &[("poll_interval", "100ms"), ("max_staleness", "1s")]);

    let missing = format!("TXID {lost} is missing, and later ones are there");
    let report = |session: &mut Session| -> Value {
        serde_json::from_str(&session.query(0, "PRAGMA litestream_status")).expect("it is JSON")
    };
    let names_missing = |report: &Value| report["state"].as_str().is_some_and(|state| state.contains(&missing));
    wait_until("the status names the missing transaction", || names_missing(&report(&mut reader.session)));
    let then = report(&mut reader.session);
    wait_until("lag grows", || report(&mut reader.session)["lag"].as_f64() > then["lag"].as_f64().map(|lag| lag + 1.5));
    assert_eq!(reader.read_state(&bank.states), Ok(state), "the state before the hole is read");
    let refused = reader.session.try_query(late, bank::STATE_SQL).expect_err("the newest state is unknown");
    assert!(refused.contains("disk I/O error"), "{refused}");

    let stopped = bank.stop();
    stopped.force_snapshot();
    bank.primary = Some(stopped.start());
    reader.wait_for_newest_state(&bank);
    wait_until("it follows again", || report(&mut reader.session)["state"] == "following");
    assert_eq!(reader.session.try_query(late, bank::STATE_SQL), Ok(bank.state()));
    let ended = reader.session.end();
    let warnings = ended.stderr.lines().filter(|line| line.contains(&missing) && line.contains("WARN")).count();
    assert_eq!(warnings, 1, "{}", ended.stderr);
}

/// The lag of a deleted replica grows.
#[test]
fn lag_grows_while_a_replica_is_missing_and_stays_below_a_second_otherwise() {
    let mut bank = Bank::start(Schedule::QUIET);
    let conn = open(&bank, &[]);
    // A running primary would write a snapshot.
    bank.stop();
    let lag = || conn.query_row("SELECT litestream_lag()", [], |row| row.get::<_, f64>(0)).expect("a number");
    wait_until("it is polled", || lag() > 0.0 && lag() < 1.0);
    let shown: f64 = text(&conn, "PRAGMA litestream_lag").parse().expect("a number");
    assert!(shown > 0.0, "{shown}");
    let away = bank.dir.path().join("away");
    fs::rename(bank.replica(), &away).expect("the replica goes");
    wait_until("lag grows", || lag() > 2.0);
    fs::rename(&away, bank.replica()).expect("the replica comes back");
    wait_until("it is confirmed again", || lag() < 1.0);
}
