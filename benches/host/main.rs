//! A program with SQLite that runs one workload of the benchmark and prints its costs as a line of JSON.
//!
//!     bench-host <extension, or -> <URI> <workload> [argument...]
//!
//! | workload | what is measured |
//! |---|---|
//! | `open` | opening and reading the schema |
//! | `lookups <count> <passes> <threads>` | random lookups by key, each in a transaction: one time per pass, that of the slowest thread |
//! | `scan <table>` | reading every row of a table |
//! | `queries <file> <passes>` | the statements of a file: one time per pass |
//! | `commits <count> <rows>` | transactions that insert so many rows, in a new database: one time, to the end of the close |
//! | `idle <connections> <seconds>` | nothing: connections that stay open and run no statement after the first |
//!
//! `seconds` are those times; `open` is the time of the first open; `first` the time from the end of that open to the
//! first row; `rows` a hash of the rows that does not depend on their order; `memory` the peak memory of the process in
//! bytes; `commits` the seconds of each `COMMIT`. With LITESTREAM_HYDRATION_ENABLED, the second pass begins when the Go extension has downloaded the database.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Result, Row, Statement};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [extension, uri, workload @ ..] = &arguments[..] else {
        panic!("usage: bench-host <extension> <URI> <workload>")
    };
    if *extension != "-" {
        load(extension).unwrap_or_else(|error| panic!("cannot load {extension}: {error}"));
    }
    let measured = run(uri, workload).unwrap_or_else(|error| panic!("{workload:?}: {error}"));
    let Measured { open, first, seconds, commits, rows } = measured;
    let (open, first, memory) = (open.as_secs_f64(), first.as_secs_f64(), peak_memory());
    let [seconds, commits] =
        [seconds, commits].map(|times| times.iter().map(Duration::as_secs_f64).collect::<Vec<f64>>());
    println!(
        r#"{{"open": {open}, "first": {first}, "seconds": {seconds:?}, "commits": {commits:?}, "rows": {rows}, "memory": {memory}}}"#
    );
    // What an extension does at the end of a process is not part of the workload.
    std::process::exit(0);
}

/// Loads an extension into SQLite, so that every connection can use its VFS.
fn load(extension: &str) -> Result<()> {
    let connection = Connection::open_in_memory()?;
    // SAFETY: the extension is a library that the benchmark built or installed.
    let loaded = unsafe {
        connection.load_extension_enable()?;
        connection.load_extension(extension, None::<&str>)
    };
    // Some VFSes are unregistered with the connection that loaded them.
    std::mem::forget(connection);
    loaded
}

fn open(uri: &str) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(connection)
}

struct Measured {
    open: Duration,
    first: Duration,
    seconds: Vec<Duration>,
    commits: Vec<Duration>,
    rows: u64,
}

fn run(uri: &str, workload: &[&str]) -> Result<Measured> {
    let number = |text: &str| text.parse::<usize>().expect("a number");
    if let ["commits", count, rows] = workload {
        return commits(uri, number(count), number(rows));
    }
    let start = Instant::now();
    let connection = open(uri)?;
    let open = start.elapsed();
    let mut rows = Rows::default();
    let seconds = match workload {
        ["open"] => vec![open],
        ["scan", table] => vec![rows.read(&mut connection.prepare(&format!("SELECT * FROM {table}"))?)?],
        ["lookups", count, passes, threads] => {
            let (times, found) = lookups(uri, number(count), number(passes), number(threads))?;
            rows.sum = found;
            times
        }
        ["queries", file, passes] => {
            let queries = std::fs::read_to_string(file).expect("a file of SQL");
            let mut pass = |pass| {
                finish_hydration(&connection, pass)?;
                rows.run(&connection, &queries)
            };
            (0..number(passes)).map(&mut pass).collect::<Result<_>>()?
        }
        ["idle", connections, seconds] => {
            let others: Vec<Connection> = (1..number(connections)).map(|_| self::open(uri)).collect::<Result<_>>()?;
            std::thread::sleep(Duration::from_secs(number(seconds) as u64));
            others.into_iter().for_each(std::mem::forget);
            Vec::new()
        }
        _ => panic!("unknown workload: {workload:?}"),
    };
    Ok(Measured { open, first: rows.first.unwrap_or_default(), seconds, commits: Vec::new(), rows: rows.sum })
}

/// Commits transactions in a new database. A local file is in WAL mode, and every commit is durable.
fn commits(uri: &str, count: usize, rows: usize) -> Result<Measured> {
    let start = Instant::now();
    let connection = Connection::open_with_flags(uri, OpenFlags::default())?;
    if !uri.contains("vfs=") {
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")?;
    }
    connection.execute_batch("CREATE TABLE written(id INTEGER PRIMARY KEY, text TEXT)")?;
    let open = start.elapsed();
    let mut commits = Vec::new();
    let start = Instant::now();
    {
        let mut insert = connection.prepare("INSERT INTO written(text) VALUES (printf('%0100d', ?))")?;
        for transaction in 0..count {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            for row in 0..rows {
                insert.execute([(transaction * rows + row) as i64])?;
            }
            let start = Instant::now();
            connection.execute_batch("COMMIT")?;
            commits.push(start.elapsed());
        }
    }
    let rows = connection.query_row("SELECT count(*) FROM written", [], |row| row.get::<_, i64>(0))? as u64;
    connection.close().map_err(|(_, error)| error)?;
    Ok(Measured { open, first: Duration::ZERO, seconds: vec![start.elapsed()], commits, rows })
}

/// The rows of the last pass, as a sum of hashes that does not depend on their order.
#[derive(Default)]
struct Rows {
    sum: u64,
    first: Option<Duration>,
}

impl Rows {
    fn read(&mut self, statement: &mut Statement) -> Result<Duration> {
        let columns = statement.column_count();
        let start = Instant::now();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.first.get_or_insert_with(|| start.elapsed());
            self.sum = self.sum.wrapping_add(hash(row, columns)?);
        }
        Ok(start.elapsed())
    }

    fn run(&mut self, connection: &Connection, queries: &str) -> Result<Duration> {
        let start = Instant::now();
        self.sum = 0;
        for query in queries.split(';').filter(|query| !query.trim().is_empty()) {
            self.read(&mut connection.prepare(query)?)?;
        }
        Ok(start.elapsed())
    }
}

fn hash(row: &Row, columns: usize) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for column in 0..columns {
        match row.get_ref(column)? {
            ValueRef::Null => 0.hash(&mut hasher),
            ValueRef::Integer(number) => number.hash(&mut hasher),
            ValueRef::Real(number) => number.to_bits().hash(&mut hasher),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.hash(&mut hasher),
        }
    }
    Ok(hasher.finish())
}

/// Waits before each pass but the first until the Go extension has downloaded the database to a local file.
fn finish_hydration(connection: &Connection, pass: usize) -> Result<()> {
    if pass == 0 || std::env::var_os("LITESTREAM_HYDRATION_ENABLED").is_none() {
        return Ok(());
    }
    let deadline = Instant::now() + Duration::from_secs(120);
    let progress = |row: &Row| row.get::<_, String>(0);
    while connection.query_row("PRAGMA litestream_hydration_progress", [], progress)? != "100.0" {
        assert!(Instant::now() < deadline, "hydration did not end within two minutes");
        std::thread::sleep(Duration::from_millis(50));
    }
    // The last pages are written after the progress is complete.
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}

/// Looks up random keys in several threads, each with its own connection and keys. A pass begins when all threads are ready.
fn lookups(uri: &str, count: usize, passes: usize, threads: usize) -> Result<(Vec<Duration>, u64)> {
    let barrier = std::sync::Barrier::new(threads);
    let one = |thread: usize| -> Result<(Vec<Duration>, u64)> {
        let connection = open(uri)?;
        let last: i64 = connection.query_row("SELECT max(o_orderkey) FROM orders", [], |row| row.get(0))?;
        let mut statement = connection.prepare("SELECT * FROM orders WHERE o_orderkey = ?")?;
        let columns = statement.column_count();
        let mut sum = 0u64;
        let mut pass = |pass| {
            // A failure is reported after the barrier, where the other threads wait.
            let hydrated = finish_hydration(&connection, pass);
            barrier.wait();
            hydrated?;
            let start = Instant::now();
            let mut keys = Keys(thread as u64);
            sum = 0;
            for _ in 0..count {
                let key = 1 + (keys.next() >> 1) as i64 % last;
                sum = sum.wrapping_add(statement.query_row([key], |row| hash(row, columns))?);
            }
            Ok(start.elapsed())
        };
        let times = (0..passes).map(&mut pass).collect::<Result<_>>()?;
        Ok((times, sum))
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("a thread that does not panic")).collect::<Result<_>>()
    })?;
    let slowest = |pass: usize| results.iter().map(|(times, _)| times[pass]).max().unwrap_or_default();
    let sum = results.iter().fold(0u64, |sum, (_, rows)| sum.wrapping_add(*rows));
    Ok(((0..passes).map(slowest).collect(), sum))
}

/// SplitMix64.
struct Keys(u64);

impl Keys {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// Returns the peak memory of this process in bytes on Linux, and 0 on other systems.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).map_or(0, |kilobytes: u64| kilobytes * 1024)
}
