//! Every page size, and a database that is larger than the position of the lock page.

use crate::support::extension::connect;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::pages::{assert_same_bytes, assert_whole};
use crate::support::workload;

#[test]
fn all_page_sizes_read_as_restored() {
    for page_size in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
        let dir = tempfile::tempdir().expect("a directory");
        let destination = Destination::directory(&dir.path().join("replica"));
        let database = dir.path().join("app.db");
        let conn = workload::create(&database, &format!("PRAGMA page_size = {page_size}"));
        let primary = Primary::start(&database, &destination, Schedule::QUIET);
        let states: Vec<_> = workload::STEPS[..8]
            .iter()
            .map(|step| {
                workload::run(&conn, step);
                primary.sync()
            })
            .collect();
        primary.stop();

        let restored = dir.path().join("restored.db");
        for txid in [states[0], states[4], states[7]] {
            assert!(destination.restore(txid, &restored), "{txid} of the database with pages of {page_size} bytes");
            let reader = connect(&destination.url, &[("txid", &txid.to_string())]);
            let shown: u32 = reader.query_row("PRAGMA page_size", [], |row| row.get(0)).expect("a page size");
            assert_eq!(shown, page_size);
            assert_same_bytes(&reader, &restored);
            assert_whole(&reader);
        }
    }
}

/// The page at byte 2^30 is SQLite's lock page: no file has it, it reads as zeros, and later pages must keep their position.
#[test]
fn a_database_over_one_gibibyte_reads_on_both_sides_of_the_lock_page() {
    const GIB: u64 = 1 << 30;
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let database = dir.path().join("app.db");
    let conn = workload::create(&database, "PRAGMA page_size = 65536; PRAGMA journal_mode = OFF");
    workload::run(
        &conn,
        "PRAGMA journal_mode = OFF;
         CREATE TABLE blobs (id INTEGER PRIMARY KEY, body BLOB);
         INSERT INTO blobs VALUES (1, zeroblob(800000000)), (2, zeroblob(273000000));
         INSERT INTO blobs SELECT value + 10, randomblob(60000) FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]');
         INSERT INTO blobs SELECT value + 30, randomblob(60000) FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]');
         INSERT INTO blobs VALUES (3, zeroblob(20000000));
         PRAGMA journal_mode = WAL;",
    );
    let primary = Primary::start(&database, &destination, Schedule::QUIET);
    primary.sync();
    workload::run(&conn, "UPDATE blobs SET body = randomblob(70000) WHERE id > 30");
    let txid = primary.sync();
    primary.stop();
    let restored = dir.path().join("restored.db");
    assert!(destination.restore(txid, &restored));
    assert!(restored.metadata().expect("the file exists").len() > GIB, "the database has pages after its lock page");

    let reader = connect(&destination.url, &[]);
    assert_same_bytes(&reader, &restored);
    let sum = |conn: &rusqlite::Connection| -> Vec<(i64, Vec<u8>)> {
        let mut rows = conn.prepare("SELECT id, substr(body, -60000) FROM blobs").expect("blobs can be read");
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).and_then(Iterator::collect).expect("blobs can be read")
    };
    assert!(sum(&reader) == sum(&conn), "the ends of all blobs");
}
