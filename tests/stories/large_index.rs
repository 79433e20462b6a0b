//! Databases with so many pages that the index of a snapshot is read in parts.

use crate::support::extension::connect;
#[cfg(target_os = "linux")]
use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::pages::{assert_same_bytes, assert_whole};
use crate::support::programs::wait_until;
#[cfg(target_os = "linux")]
use crate::support::snapshot;
use crate::support::workload;
use rusqlite::Connection;

/// The number of rows. Each fills nearly a page of 512 bytes, so that the index of a snapshot has about 1.2 MB.
const ROWS: u32 = 130_000;

/// Returns the lengths and the first bytes of some rows, and of rows that another index finds.
fn rows(conn: &Connection) -> Vec<(u32, String)> {
    let mut rows = Vec::new();
    for id in (1..ROWS).step_by(6007) {
        let sql = "SELECT length(body), hex(substr(body, 1, 8)) FROM big WHERE id IN (?1, ?2 - ?1)
                   UNION ALL SELECT count(*), max(id) FROM big WHERE key BETWEEN ?1 * 10 AND ?1 * 10 + 40";
        let mut statement = conn.prepare_cached(sql).expect("a statement");
        let found =
            statement.query_map((id, ROWS), |row| Ok((row.get(0)?, row.get_ref(1).map(|value| format!("{value:?}"))?)));
        rows.extend(found.expect("rows").map(|row| row.expect("a row")));
    }
    rows
}

/// Nothing that an open costs grows with the database.
#[cfg(target_os = "linux")]
#[test]
fn a_database_of_100_gb_opens_with_a_megabyte_and_little_memory() {
    const PAGES: u32 = 24_414_062;
    let dir = tempfile::tempdir().expect("a directory");
    let level = dir.path().join("replica/ltx/9");
    std::fs::create_dir_all(&level).expect("a level");
    snapshot::write_sparse(&level, PAGES).expect("a snapshot");
    let destination = Destination::directory(&dir.path().join("replica"));
    let ended = Host::python("open_large.py").arg(&destination.url).run();
    let numbers: Vec<u64> = ended.stdout.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [pages, requests, bytes, memory] = numbers[..] else { panic!("{ended:?}") };
    assert_eq!(pages, u64::from(PAGES));
    assert!(requests <= 74 && bytes < 1_000_000 && memory < 40_000_000, "{requests} {bytes} {memory}");
}

fn bytes_read(conn: &Connection) -> i64 {
    conn.query_row("SELECT bytes FROM litestream_status", [], |row| row.get(0)).expect("a status")
}

#[test]
fn a_snapshot_with_a_large_index_reads_as_restored() {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let database = dir.path().join("app.db");
    let primarys = workload::create(&database, "PRAGMA page_size = 512");
    workload::run(
        &primarys,
        &format!(
            "CREATE TABLE big (id INTEGER PRIMARY KEY, key INTEGER, body BLOB);
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
             INSERT INTO big SELECT i, i * 7919 % 1000003, randomblob(300 + i % 100) FROM n;
             CREATE INDEX big_by_key ON big (key);"
        ),
    );
    let primary = Primary::start(&database, &destination, Schedule::QUIET);
    let first = primary.sync();

    let reader = connect(&destination.url, &[("poll_interval", "50ms")]);
    let opened = bytes_read(&reader);
    assert!(opened < 700_000, "{opened} bytes were read to open it");
    assert_eq!(rows(&reader), rows(&primarys));

    // Later files lie over the snapshot: changed pages all over it, more pages, and fewer.
    let mut states = vec![first];
    for change in [
        "UPDATE big SET body = randomblob(200) WHERE id % 500 = 7",
        "INSERT INTO big SELECT id + 1000000, key, body FROM big WHERE id % 40 = 0",
        "DELETE FROM big WHERE id > 100000; VACUUM;",
        "UPDATE big SET key = -key WHERE id % 900 = 0",
    ] {
        workload::run(&primarys, change);
        let txid = primary.sync();
        states.push(txid);
        let shown = || reader.query_row("PRAGMA litestream_txid", [], |row| row.get::<_, String>(0)).expect("a TXID");
        wait_until("the reader follows", || shown() == txid.to_string());
        assert_eq!(rows(&reader), rows(&primarys));
    }
    primary.stop();
    let restored = dir.path().join("restored.db");
    for txid in states {
        assert!(destination.restore(txid, &restored), "{txid}");
        let reader = connect(&destination.url, &[("txid", &txid.to_string())]);
        assert_same_bytes(&reader, &restored);
        assert_whole(&reader);
    }
}
