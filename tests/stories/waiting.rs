//! Reading one's own writes with `litestream_wait` and `max_staleness`.

use crate::support::bank::{Bank, read_state};
use crate::support::extension::connect;
use crate::support::litestream::Schedule;
use litestream_vfs::ltx::Txid;
use rusqlite::{Connection, ToSql, params};
use std::thread;
use std::time::{Duration, Instant};

/// Opens a reader that does not poll by itself during the test.
fn open(bank: &Bank, parameters: &[(&str, &str)]) -> Connection {
    connect(&bank.destination.url, &[&[("poll_interval", "1h")], parameters].concat())
}

fn wait(conn: &Connection, arguments: &[&dyn ToSql]) -> Result<i64, String> {
    let places = vec!["?"; arguments.len()].join(", ");
    let sql = format!("SELECT litestream_wait({places})");
    conn.query_row(&sql, arguments, |row| row.get(0)).map_err(|error| error.to_string())
}

fn seen(conn: &Connection) -> String {
    read_state(conn).expect("it can be read")
}

#[test]
fn a_writer_reads_its_own_writes() {
    let mut bank = Bank::start(Schedule::QUIET);
    let conn = open(&bank, &[]);
    for _ in 0..3 {
        let before = seen(&conn);
        bank.transfer(1);
        assert_eq!(seen(&conn), before, "the reader does not poll by itself");
        assert_eq!(wait(&conn, params![bank.head().to_string()]), Ok(1));
        assert_eq!(seen(&conn), bank.state());
    }
    bank.transfer(1);
    assert_eq!(wait(&conn, params![bank.head().0 as i64, 60]), Ok(1), "a TXID as a number");
    assert_eq!(seen(&conn), bank.state());
    assert_eq!(wait(&conn, params![1, 0]), Ok(1), "the transaction is already applied");

    let other = Bank::start(Schedule::QUIET);
    let uri = crate::support::extension::uri(&other.destination.url, &[("poll_interval", "1h")]);
    conn.execute("ATTACH ? AS other", [uri]).expect("it is attached");
    let beyond = other.head().next().to_string();
    assert_eq!(wait(&conn, params![beyond, 0, "other"]), Ok(0), "another schema's replica");
}

#[test]
fn wait_returns_at_the_transaction_or_at_the_timeout() {
    let mut bank = Bank::start(Schedule::QUIET);
    let conn = open(&bank, &[]);
    let next = bank.head().next();
    assert_eq!(wait(&conn, params![next.to_string(), 0.3]), Ok(0));
    assert_eq!(wait(&conn, params![next.to_string(), 0]), Ok(0));
    let waiting = thread::spawn(move || (wait(&conn, params![next.to_string(), 60]), seen(&conn)));
    thread::sleep(Duration::from_millis(300));
    bank.transfer(1);
    let (answer, state) = waiting.join().expect("it ends");
    assert_eq!(answer, Ok(1));
    assert!(bank.states.contains(&state), "{state}");
}

/// Returns the number of requests for the replica so far.
fn requests(conn: &Connection) -> u64 {
    let sql = "SELECT lists + reads FROM litestream_status";
    conn.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a status") as u64
}

#[test]
fn a_hundred_waits_return_together_and_cost_as_much_as_one() {
    let mut bank = Bank::start(Schedule::QUIET);
    let next = bank.head().next().to_string();
    let conns: Vec<Connection> = (0..100).map(|_| open(&bank, &[])).collect();
    let before = requests(&conns[0]);
    let started = Instant::now();
    let wait_and_tell = |conn: Connection| {
        let next = next.clone();
        thread::spawn(move || (wait(&conn, params![next, 60]), Instant::now(), requests(&conn)))
    };
    let waiting: Vec<_> = conns.into_iter().map(wait_and_tell).collect();
    thread::sleep(Duration::from_secs(2));
    bank.transfer(1);
    let woken: Vec<_> = waiting.into_iter().map(|thread| thread.join().expect("it ends")).collect();
    assert!(woken.iter().all(|(answer, ..)| *answer == Ok(1)), "{woken:?}");
    let [first, last] = [woken.iter().map(|woken| woken.1).min(), woken.iter().map(|woken| woken.1).max()];
    let apart = last.zip(first).map(|(last, first)| last - first);
    assert!(apart < Some(Duration::from_secs(2)), "from the first to the last it took {apart:?}");
    // Five polls while the pause grows, then four per second, each with one or two requests.
    let cost = woken.iter().map(|woken| woken.2).max().expect("a status") - before;
    let most = 2 * (8 + 4 * (started.elapsed().as_secs() + 1)) + 10;
    assert!(cost <= most, "{cost} requests in {:?}", started.elapsed());
}

#[test]
fn wait_reports_why_it_cannot_wait() {
    let bank = Bank::start(Schedule::QUIET);
    let conn = open(&bank, &[]);
    let head = bank.head().to_string();
    let refused = |conn: &Connection, arguments: &[&dyn ToSql], why: &str| {
        let error = wait(conn, arguments).expect_err(why);
        assert!(error.contains(why), "{error:?} does not say {why:?}");
    };
    for no_txid in ["", "1f", "000000000000000g", "00000000000000001"] {
        refused(&conn, params![no_txid], "16 hexadecimal digits");
    }
    refused(&conn, params![-1], "litestream_wait needs a TXID");
    refused(&conn, params![rusqlite::types::Null], "litestream_wait needs a TXID");
    refused(&conn, params![head, -1], "number of seconds");
    refused(&conn, params![head, "soon"], "number of seconds");
    refused(&conn, params![head, 1, "nowhere"], "'nowhere'");

    conn.execute_batch("BEGIN").expect("a transaction begins");
    seen(&conn);
    refused(&conn, params![head], "inside a read transaction");
    conn.execute_batch("COMMIT").expect("a transaction ends");
    assert_eq!(wait(&conn, params![head]), Ok(1));

    refused(&open(&bank, &[("txid", &head)]), params![head], "a fixed state");
}

#[test]
fn max_staleness_makes_each_transaction_check_for_newer_files() {
    let mut bank = Bank::start(Schedule::QUIET);
    let (fresh, other) = (open(&bank, &[("max_staleness", "1ms")]), open(&bank, &[]));
    for _ in 0..3 {
        bank.transfer(1);
        thread::sleep(Duration::from_millis(2));
        assert_eq!(seen(&fresh), bank.state());
        assert_eq!(seen(&other), bank.state(), "all connections share the newest state");
    }
    let state = bank.state();
    fresh.execute_batch("BEGIN").expect("a transaction begins");
    assert_eq!(seen(&fresh), state);
    bank.transfer(1);
    thread::sleep(Duration::from_millis(2));
    assert_eq!(seen(&fresh), state, "an open transaction keeps its state");
    fresh.execute_batch("COMMIT").expect("a transaction ends");
    assert_eq!(seen(&fresh), bank.state());
    // An idle primary is not stale.
    thread::sleep(Duration::from_millis(50));
    assert_eq!(seen(&fresh), bank.state());
    assert_ne!(bank.head(), Txid(0));
}
