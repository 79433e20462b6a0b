//! The number of requests for reads with real SQLite, Litestream and S3. Unit tests check the exact numbers with a store of
//! known speed; here the speed depends on the machine.

use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::programs::wait_until;
use crate::support::s3::{Request, S3Server};
use crate::support::session::Session;
use rusqlite::Connection;
use tempfile::TempDir;

/// A replica of 13 MB on a server: a table of 10 MB and an index.
struct Words {
    server: S3Server,
    destination: Destination,
    _dir: TempDir,
}

const ROWS: u64 = 40_000;

impl Words {
    fn start() -> Words {
        let (dir, server) = (tempfile::tempdir().expect("a directory"), S3Server::start());
        let destination = Destination::s3(&server, "words");
        let database = dir.path().join("app.db");
        let conn = Connection::open(&database).expect("a database");
        conn.execute_batch(&format!(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT, rest BLOB);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
             INSERT INTO words SELECT i, printf('%08x', i * 2654435761 % 4294967296), randomblob(230) FROM n;
             CREATE INDEX words_by_word ON words (word);"
        ))
        .expect("a table of words");
        let primary = Primary::start(&database, &destination, Schedule::QUIET);
        primary.sync();
        primary.stop();
        server.take_requests();
        Words { server, destination, _dir: dir }
    }

    /// Starts a process that has opened the replica with a cache of this size, and has read the schema.
    fn open(&self, cache: &str) -> (Session, usize) {
        let mut session = Host::session(&self.destination);
        let connection = session.open(&self.destination.url, &[("cache_size", cache), ("poll_interval", "1h")]);
        session.query(connection, "SELECT count(*) FROM sqlite_schema");
        self.server.take_requests();
        (session, connection)
    }

    /// Runs a statement. Returns the number of its ranged reads, and its result.
    fn ask(&self, session: &mut Session, connection: usize, sql: &str) -> (usize, String) {
        let answer = session.query(connection, sql);
        let is_read = |request: &Request| request.operation == "GetObject";
        (self.server.take_requests().iter().filter(|request| is_read(request)).count(), answer)
    }
}

#[test]
fn a_statement_costs_few_requests_and_none_from_a_warm_cache() {
    let words = Words::start();
    let sums = [
        ("SELECT count(*) FROM words", ROWS.to_string()),
        ("SELECT sum(id) FROM words NOT INDEXED WHERE length(rest) = 230", (ROWS * (ROWS + 1) / 2).to_string()),
        ("SELECT count(*) FROM (SELECT id FROM words WHERE length(rest) > 0 ORDER BY id DESC)", ROWS.to_string()),
        ("SELECT count(*) FROM words INDEXED BY words_by_word WHERE word >= '4' AND word < '5'", "2500".to_owned()),
    ];
    for (sql, expected) in sums {
        let (mut session, connection) = words.open("64MB");
        let (requests, answer) = words.ask(&mut session, connection, sql);
        assert_eq!(answer, expected, "{sql}");
        assert!(requests <= 120, "{requests} requests for the 2,700 pages of {sql}");
        // Prefetches of the first run may still be in progress.
        wait_until("the statement needs no requests", || {
            let (requests, answer) = words.ask(&mut session, connection, sql);
            assert_eq!(answer, expected, "{sql}, again");
            requests == 0
        });
    }
}

#[test]
fn a_lookup_costs_few_requests_and_counts_prefetched_bytes() {
    let words = Words::start();
    let (mut session, connection) = words.open("4MB");
    let (requests, answer) = words.ask(&mut session, connection, "SELECT word FROM words WHERE id = 20000");
    assert_eq!(answer, format!("{:08x}", 20_000u64 * 2_654_435_761 % (1 << 32)));
    assert!(requests <= 4, "{requests} requests for three pages");
    let field = |session: &mut Session, name: &str| -> u64 {
        let sql = format!("SELECT json_extract(litestream_status(), '$.{name}')");
        session.query(connection, &sql).parse().expect("a number")
    };
    let fetched = field(&mut session, "prefetched_bytes");
    assert!(fetched < field(&mut session, "bytes"), "{fetched}");
    assert!(field(&mut session, "prefetched_bytes_used") <= fetched);
}
