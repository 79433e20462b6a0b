//! Time travel: every way to set a time or TXID gives exactly that state, and nothing else changes it.

use crate::support::bank::{self, Bank, read_state};
use crate::support::extension::{connect, open, uri};
use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::pages::{assert_same_bytes, assert_whole, content};
use crate::support::programs::wait_until;
use crate::support::workload;
use litestream_vfs::ltx::{Header, Txid};
use litestream_vfs::time;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};
use tempfile::TempDir;

fn text(conn: &Connection, sql: &str) -> String {
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn number(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn failure(conn: &Connection, sql: &str) -> String {
    conn.query_row(sql, [], |_| Ok(())).expect_err(sql).to_string()
}

fn milliseconds(text: &str) -> i64 {
    match time::parse(text) {
        Ok(time::Moment::At(ms)) => ms,
        other => panic!("{text} is {other:?}"),
    }
}

fn txid(conn: &Connection) -> Txid {
    text(conn, "SELECT litestream_txid()").parse().expect("a TXID")
}

/// Sets the modification time of each file to the time in its header. Litestream does so after it renames a file, and may be
/// killed before. Then `restore -timestamp` would use a wrong time for the file.
fn date_files(levels: &Path) {
    for level in fs::read_dir(levels).expect("levels").flatten() {
        for file in fs::read_dir(level.path()).expect("files").flatten() {
            if let Ok(header) = Header::parse(&fs::read(file.path()).expect("a file")) {
                let time = UNIX_EPOCH + Duration::from_millis(header.timestamp_ms as u64);
                fs::File::open(file.path()).and_then(|file| file.set_modified(time)).expect("a time is set");
            }
        }
    }
}

/// A replica of many states, some of them compacted, and their restores, which are made on demand.
struct Archive {
    dir: TempDir,
    destination: Destination,
    restored: BTreeMap<Txid, PathBuf>,
}

impl Archive {
    fn new() -> Archive {
        let dir = tempfile::tempdir().expect("a directory");
        let destination = Destination::directory(&dir.path().join("replica"));
        let database = dir.path().join("app.db");
        let conn = workload::create(&database, "PRAGMA auto_vacuum = INCREMENTAL");
        let schedule = Schedule { l0_retention: Duration::from_secs(5), ..Schedule::BUSY };
        let primary = Primary::start(&database, &destination, schedule);
        for (number, step) in workload::STEPS.iter().cycle().take(80).enumerate() {
            // In the second round, some rows and tables already exist.
            let _ = conn.execute_batch(step);
            workload::run(&conn, &format!("PRAGMA user_version = {}", number + 1));
            primary.sync();
            std::thread::sleep(Duration::from_millis(60));
        }
        primary.wait_for_levels(&[0, 1, 2, 9]);
        primary.stop();
        date_files(&dir.path().join("replica/ltx"));
        Archive { dir, destination, restored: BTreeMap::new() }
    }

    /// Returns what `litestream restore` writes with these arguments, or None if it refuses.
    fn restore(&self, arguments: &[&str], output: &Path) -> Option<Vec<u8>> {
        self.destination.restore_with(arguments, output).then(|| fs::read(output).expect("a database"))
    }

    /// Returns the path of the restored database at a transaction.
    fn at(&mut self, txid: Txid) -> PathBuf {
        let (dir, destination) = (self.dir.path(), &self.destination);
        let restore = || {
            let path = dir.join(format!("{txid}.db"));
            assert!(destination.restore(txid, &path), "{txid} can be restored");
            path
        };
        self.restored.entry(txid).or_insert_with(restore).clone()
    }
}

/// A random number generator with a fixed seed: xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// `restore -timestamp` restores the state strictly before a time in milliseconds, and refuses a time after the newest state.
#[test]
fn random_times_and_txids_match_the_restores() {
    let mut archive = Archive::new();
    let url = archive.destination.url.clone();
    let conn = connect(&url, &[]);
    let mut history = conn.prepare("SELECT txid, time, pages FROM litestream_history").expect("a query");
    let history: Vec<(Txid, i64, i64)> = history
        .query_map([], |row| {
            let (txid, time): (String, String) = (row.get(0)?, row.get(1)?);
            let time = milliseconds(&time);
            Ok((txid.parse().expect("a TXID"), time, row.get(2)?))
        })
        .and_then(Iterator::collect)
        .expect("moments");
    assert!(history.len() > 20, "{} moments", history.len());
    assert!(history.is_sorted_by(|one, other| one.0 > other.0), "newest first");
    let (newest, oldest) = (history[0], history[history.len() - 1]);

    let scratch = archive.dir.path().join("by-time.db");
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let span = (newest.1 - oldest.1 + 400) as u64;
    // Random times, and times close to those of the transactions.
    let random = (0..150).map(|_| oldest.1 - 200 + numbers.below(span) as i64).collect::<Vec<_>>();
    let edges = history.iter().step_by(5).flat_map(|moment| [moment.1 - 1, moment.1, moment.1 + 1]);
    let mut compared = 0;
    for ms in random.into_iter().chain(edges) {
        let asked = time::format(ms);
        let moved = conn.query_row("SELECT litestream_set_time(?)", [&asked], |row| row.get::<_, String>(0));
        if ms < oldest.1 {
            let error = moved.expect_err("the time is before the first state").to_string();
            assert!(error.contains(&time::format(oldest.1)), "{error}");
            continue;
        }
        let moved = moved.unwrap_or_else(|error| panic!("{asked}: {error}"));
        assert!(milliseconds(&moved) <= ms, "{moved} is after {asked}");
        let at = txid(&conn);
        let before = time::format(ms + 1);
        let expected = if ms >= newest.1 {
            assert_eq!(at, newest.0, "{asked}");
            None
        } else {
            Some(archive.restore(&["-timestamp", &before], &scratch).unwrap_or_else(|| panic!("{before}")))
        };
        let restored = archive.at(at);
        if let Some(expected) = expected {
            assert!(fs::read(&restored).expect("a database") == expected, "{asked} is not {at}");
        }
        assert_same_bytes(&conn, &restored);
        compared += 1;
    }
    assert!(compared > 150, "{compared} times");
    assert_whole(&conn);

    // Every TXID of the history and random ones, by the pragma and by the URI.
    for (number, (at, time, pages)) in history.iter().enumerate() {
        assert_eq!(text(&conn, &format!("PRAGMA litestream_txid = '{at}'")), at.to_string());
        assert_eq!(text(&conn, "PRAGMA litestream_time"), time::format(*time));
        assert_eq!(number_of(&conn, "page_count"), *pages);
        assert_same_bytes(&conn, &archive.at(*at));
        if number % 4 == 0 {
            let born = connect(&url, &[("txid", &at.to_string())]);
            assert_same_bytes(&born, &archive.at(*at));
            let born = connect(&url, &[("time", &time::format(*time))]);
            assert_eq!(txid(&born), *at);
        }
    }
    let ends: Vec<Txid> = history.iter().map(|moment| moment.0).collect();
    let (mut refused, mut whole) = (0, 0);
    for asked in (0..100).map(|_| Txid(1 + numbers.below(newest.0.0 + 20))).filter(|asked| !ends.contains(asked)) {
        let moved = conn.query_row(&format!("PRAGMA litestream_txid = '{asked}'"), [], |_| Ok(()));
        let Err(error) = moved else {
            // A file of VACUUM with every page needs no other file. Litestream does not know that.
            whole += 1;
            continue;
        };
        let below = ends.iter().find(|end| **end < asked);
        let above = ends.iter().rev().find(|end| **end > asked);
        for near in below.into_iter().chain(above) {
            assert!(error.to_string().contains(&near.to_string()), "{error}");
        }
        assert!(!archive.destination.restore(asked, &scratch), "Litestream cannot restore {asked} either");
        refused += 1;
    }
    assert!(refused > 5 && whole < refused, "{refused} refused, {whole} of whole files");
}

fn number_of(conn: &Connection, pragma: &str) -> i64 {
    number(conn, &format!("PRAGMA {pragma}"))
}

/// Copying changes the modification times of the files, which must not matter.
#[test]
fn a_copied_replica_shows_the_same_history() {
    let archive = Archive::new();
    let copied = archive.dir.path().join("copied");
    for level in fs::read_dir(archive.dir.path().join("replica/ltx")).expect("levels").flatten() {
        let to = copied.join("ltx").join(level.file_name());
        fs::create_dir_all(&to).expect("a directory");
        for file in fs::read_dir(level.path()).expect("files").flatten() {
            fs::write(to.join(file.file_name()), fs::read(file.path()).expect("a file")).expect("a copy");
        }
    }
    let (conn, copy) = (connect(&archive.destination.url, &[]), connect(&Destination::directory(&copied).url, &[]));
    let all = "SELECT group_concat(txid || time || level || pages || bytes) FROM litestream_history";
    assert_eq!(text(&copy, all), text(&conn, all));
    let mut times = conn.prepare("SELECT time FROM litestream_history").expect("a query");
    let times: Vec<String> = times.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("times");
    for time in times {
        let moved = |conn| (text(conn, &format!("PRAGMA litestream_time = '{time}'")), txid(conn));
        assert_eq!(moved(&copy), moved(&conn));
        assert_eq!(content(&copy), content(&conn));
    }
}

#[test]
fn a_connection_keeps_the_transaction_that_was_set_despite_retention() {
    let bank = Bank::start(Schedule::SHORT_RETENTION);
    let url = &bank.destination.url;
    // Between two polls not all files may be replaced: then nothing shows that the history is the same, and states of the old one are not shared.
    let conn = connect(url, &[("cache_size", "65536"), ("poll_interval", "100ms")]);
    let primary = bank.primary.as_ref().expect("it runs");
    let there = |txid: Txid| bank::names(&bank.replica()).iter().any(|(_, name)| name.max == txid);
    let park = || {
        bank::transfer(&bank.conn);
        let synced = primary.sync();
        // A sync can end with a transaction of Litestream itself.
        let parked = if there(synced) { synced } else { Txid(synced.0 - 1) };
        text(&conn, &format!("PRAGMA litestream_txid = '{parked}'"));
        let time = text(&conn, "PRAGMA litestream_time");
        let (state, all) = (read_state(&conn).expect("a state"), content(&conn));
        let begun = Instant::now();
        while there(parked) {
            if begun.elapsed() > Duration::from_secs(20) {
                // A snapshot can end at this transaction, and is not deleted.
                text(&conn, "PRAGMA litestream_time = 'LATEST'");
                return None;
            }
            bank::transfer(&bank.conn);
            primary.sync();
        }
        Some((parked, time, state, all))
    };
    let (parked, time, state, all) = (0..3).find_map(|_| park()).expect("the files that end there are deleted");
    // Without SQLite's own cache.
    conn.execute_batch("PRAGMA cache_size = 1; PRAGMA shrink_memory").expect("pragmas run");
    assert_eq!((txid(&conn), text(&conn, "PRAGMA litestream_time")), (parked, time.clone()));
    assert_eq!((read_state(&conn), content(&conn)), (Ok(state.clone()), all));
    assert_whole(&conn);

    // While it is there, other connections can go there as well.
    let another = connect(url, &[("txid", &parked.to_string())]);
    assert_eq!((txid(&another), read_state(&another)), (parked, Ok(state)));
    text(&conn, "PRAGMA litestream_time = 'LATEST'");
    assert_ne!(txid(&conn), parked);
}

#[test]
fn one_statement_reads_past_and_present_of_one_replica() {
    let mut bank = Bank::start(Schedule::QUIET);
    let then = bank.head();
    bank.transfer(7);
    let conn = connect(&bank.destination.url, &[]);
    wait_until("the newest state is applied", || txid(&conn) == bank.head());
    let past = uri(&bank.destination.url, &[("txid", &then.to_string())]);
    conn.execute("ATTACH ? AS past", [past]).expect("a moment can be attached");
    assert_eq!(number(&conn, "SELECT main.bank.transfers - past.bank.transfers FROM main.bank, past.bank"), 7);
    let new = "SELECT count(*) FROM (SELECT number FROM main.ledger EXCEPT SELECT number FROM past.ledger)";
    assert_eq!(number(&conn, new), 7);
    let moved = "SELECT count(*) FROM main.accounts AS now JOIN past.accounts AS was USING (id)
        WHERE now.balance <> was.balance";
    assert!((1..=14).contains(&number(&conn, moved)));
    assert_eq!(number(&conn, "SELECT (SELECT sum(balance) FROM main.accounts) - sum(balance) FROM past.accounts"), 0);
    let shared = "SELECT count(DISTINCT replica) * 100 + max(connections) * 10 + (count(DISTINCT reads) = 1)
        FROM litestream_status";
    assert_eq!(number(&conn, shared), 121, "one replica with two readers");

    // Setting the time of a schema changes neither other schemas nor other connections.
    let other = connect(&bank.destination.url, &[]);
    let newest = txid(&conn);
    text(&conn, "SELECT litestream_set_time('LATEST', 'past')");
    assert_eq!(text(&conn, "SELECT litestream_txid('past')"), newest.to_string());
    text(&conn, &format!("PRAGMA main.litestream_txid = '{then}'"));
    assert_eq!((txid(&conn), text(&conn, "SELECT litestream_txid('past')")), (then, newest.to_string()));
    assert_eq!(txid(&other), newest);
    let before = number(&conn, "SELECT reads + lists FROM litestream_status('main')");
    // Only polls send requests. SQLite and the cache have the pages.
    for _ in 0..3 {
        text(&conn, "PRAGMA main.litestream_time = 'LATEST'");
        read_state(&conn).expect("a state");
        text(&conn, &format!("PRAGMA main.litestream_txid = '{then}'"));
        read_state(&conn).expect("a state");
    }
    let asked = number(&conn, "SELECT reads + lists FROM litestream_status('main')") - before;
    assert!(asked < 4, "{asked} requests for going back and forth");
}

#[test]
fn a_time_set_inside_a_transaction_applies_to_the_next() {
    let mut bank = Bank::start(Schedule::QUIET);
    let then = bank.head();
    bank.transfer(3);
    let conn = connect(&bank.destination.url, &[]);
    wait_until("the newest state is applied", || txid(&conn) == bank.head());
    let newest = read_state(&conn);
    conn.execute_batch("BEGIN").expect("it begins");
    assert_eq!(read_state(&conn), newest);
    text(&conn, &format!("PRAGMA litestream_txid = '{then}'"));
    assert_eq!((read_state(&conn), txid(&conn)), (newest.clone(), bank.head()));
    conn.execute_batch("COMMIT").expect("it ends");
    assert_ne!(read_state(&conn), newest);
    assert_eq!(txid(&conn), then);
    // SQLite runs such a pragma when it compiles the statement.
    conn.query_row("EXPLAIN PRAGMA litestream_time = 'LATEST'", [], |_| Ok(())).expect("a program");
    assert_eq!(read_state(&conn), newest);
}

#[test]
fn sql_cannot_set_a_time_if_time_travel_is_off() {
    let mut bank = Bank::start(Schedule::QUIET);
    workload::run(&bank.conn, "CREATE VIEW trap AS SELECT litestream_set_time('LATEST') AS moved");
    bank.transfer(1);
    let moment = bank.head().to_string();
    for born in [&[("time_travel", "off")][..], &[("time_travel", "off"), ("txid", &moment)]] {
        let conn = connect(&bank.destination.url, born);
        let stands = txid(&conn);
        for sql in [
            "PRAGMA litestream_time = 'LATEST'",
            "PRAGMA litestream_time = '2020-01-01'",
            "PRAGMA litestream_txid = '0000000000000001'",
            "SELECT litestream_set_time('LATEST')",
            "SELECT litestream_set_time('1 hour ago', 'main')",
            "SELECT count(*) FROM litestream_diff('accounts', 1)",
            "SELECT count(*) FROM litestream_history_of('accounts', 1)",
            "SELECT count(*) FROM litestream_undo('accounts', 1)",
            "SELECT count(*) FROM litestream_verify",
            "SELECT count(*) FROM litestream_verify JOIN (SELECT 1 AS ok) USING (ok)",
        ] {
            let error = failure(&conn, sql);
            assert!(error.contains("time_travel is off"), "{sql}: {error}");
        }
        assert_eq!(txid(&conn), stands);
        assert_eq!(number(&conn, "SELECT count(*) > 0 FROM litestream_history"), 1, "reading the history is allowed");
        assert_eq!(number(&conn, "SELECT count(*) > 0 FROM litestream_changes(1)"), 1, "and which tables changed");
    }
    let conn = connect(&bank.destination.url, &[]);
    let error = failure(&conn, "SELECT moved FROM trap");
    assert!(error.contains("unsafe use of litestream_set_time"), "{error}");
    conn.execute_batch("ATTACH ':memory:' AS own").expect("memory can be attached");
    for (sql, why) in [
        ("PRAGMA litestream_write_enabled = 1", "write to the primary"),
        ("PRAGMA litestream_time = 'some day'", "1 hour ago"),
        ("PRAGMA litestream_time = '2000-01-01'", "the earliest state is of"),
        ("PRAGMA litestream_txid = '7fffffffffffffff'", "the newest state is at TXID"),
        ("SELECT litestream_set_time('LATEST', 'own')", "'own' is not read through"),
        ("SELECT litestream_set_time('LATEST', 'nowhere')", "no schema 'nowhere'"),
        ("SELECT litestream_set_time(NULL)", "needs a moment"),
    ] {
        let error = failure(&conn, sql);
        assert!(error.contains(why), "{sql}: {error}");
    }
    let plain = open(":memory:").expect("memory");
    for table in ["litestream_history", "litestream_files", "litestream_changes('LATEST')"] {
        let error = failure(&plain, &format!("SELECT * FROM {table}"));
        assert!(error.contains("'main' is not read through"), "{table}: {error}");
    }
}

/// rusqlite, Django and Python read the names of columns. SQLite names the column of a VFS's pragma by its result.
#[test]
fn a_pragma_that_sets_a_time_returns_one_named_column() {
    let bank = Bank::start(Schedule::QUIET);
    let conn = connect(&bank.destination.url, &[]);
    for pragma in [
        "litestream_time = 'LATEST'".to_owned(),
        "litestream_time = 'now'".to_owned(),
        "main.litestream_time = '2100-01-01'".to_owned(),
        format!("litestream_txid = '{}'", bank.head()),
    ] {
        let mut statement = conn.prepare(&format!("PRAGMA {pragma}")).expect("it compiles");
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([]).expect("it runs");
        let value: String = rows.next().expect("a row").expect("one").get(0).expect("a text");
        assert_eq!((names, rows.next().expect("an end").is_none()), (vec![value], true), "{pragma}");
    }
}

#[test]
fn now_is_fixed_and_a_future_time_follows() {
    let mut bank = Bank::start(Schedule::QUIET);
    let fast = [("poll_interval", "50ms")];
    let (stays, follows) = (connect(&bank.destination.url, &fast), connect(&bank.destination.url, &fast));
    let first = bank.head();
    text(&stays, "PRAGMA litestream_time = 'now'");
    text(&follows, "PRAGMA litestream_time = '2100-01-01'");
    let born = connect(&bank.destination.url, &[("time", "2100-01-01"), fast[0]]);
    bank.transfer(2);
    wait_until("the following connections see the newest state", || {
        txid(&follows) == bank.head() && txid(&born) == bank.head()
    });
    assert_eq!(txid(&stays), first);
}

/// The clock of the reader is an hour slow: its process has another `clock_gettime`.
#[cfg(target_os = "linux")]
#[test]
fn times_are_those_of_the_primarys_clock() {
    let dir = tempfile::tempdir().expect("a directory");
    let (source, library) = (dir.path().join("late.c"), dir.path().join("late.so"));
    let late = "#define _GNU_SOURCE\n#include <time.h>\n#include <dlfcn.h>
        int clock_gettime(clockid_t clock, struct timespec *now) {
            int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, \"clock_gettime\");
            int code = real(clock, now);
            if (clock == CLOCK_REALTIME) now->tv_sec -= 3600;
            return code;
        }";
    fs::write(&source, late).expect("a file is written");
    let made = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    assert!(made.expect("the C compiler runs").success());
    let mut bank = Bank::start(Schedule::QUIET);
    bank.transfer(4);
    bank.stop();
    let real = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    let host = Host::python("late_clock.py").arg(&bank.destination.url).arg(real.to_string());
    assert_eq!(host.env("LD_PRELOAD", library.to_str().expect("text")).succeed(), "ok\n");
}

#[test]
fn python_travels_in_time() {
    let mut bank = Bank::start(Schedule::QUIET);
    let then = bank.head().to_string();
    bank.transfer(4);
    bank.stop();
    for script in ["time_travel.py", "django_time_travel.py"] {
        assert_eq!(Host::python(script).arg(&bank.destination.url).arg(&then).succeed(), "ok\n", "{script}");
    }
}

#[test]
fn tables_read_only_what_a_statement_uses() {
    let mut bank = Bank::start(Schedule::QUIET);
    bank.transfer(45);
    bank.stop();
    let conn = connect(&bank.destination.url, &[("poll_interval", "1h")]);
    let reads = || number(&conn, "SELECT reads FROM litestream_status('main')");
    let mut before = reads();
    let mut costs = Vec::new();
    for (sql, rows) in [
        ("SELECT count(*) FROM litestream_files WHERE level = 0", None),
        ("SELECT count(*) FROM (SELECT txid, time FROM litestream_history LIMIT 10)", Some(10)),
        ("SELECT count(*) FROM (SELECT time FROM litestream_history ORDER BY txid DESC LIMIT 10)", Some(10)),
        ("SELECT count(time) FROM litestream_files WHERE level = 0", None),
    ] {
        let found = number(&conn, sql);
        assert!(rows.map_or(found > 45, |rows| found == rows), "{sql}: {found}");
        let now = reads();
        costs.push(now - before);
        before = now;
    }
    let [none, first, again, all] = costs[..] else { panic!("{costs:?}") };
    // SQLite may read one or two pages itself.
    assert!(none < 5 && again < 5 && (10..25).contains(&first) && all > 25, "{costs:?}");
}
