//! Continues with a journal of which a part was replaced by arbitrary bytes. Its error is reported, or it has its first transactions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs_fuzz::{Scratch, write};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::OnceLock;

/// What the transactions of the journal insert, one after another.
const STATES: [&str; 4] = ["no table", "", "1", "1,2"];

fn content(db: &Connection) -> rusqlite::Result<String> {
    match db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))? {
        0 => Ok(STATES[0].to_owned()),
        _ => db.query_row("SELECT coalesce(group_concat(a), '') FROM t", [], |row| row.get(0)),
    }
}

fn journal(db: &Connection) -> PathBuf {
    let directory: String = db.query_row("SELECT journal FROM litestream_status()", [], |row| row.get(0)).expect("one");
    PathBuf::from(directory).join("journal")
}

/// The bytes of a journal with three transactions of a new database.
fn whole() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let (replica, buffer) = (Scratch::new(), Scratch::new());
        let db = write(&replica, &buffer).expect("a new database");
        db.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
            .expect("it is written");
        std::fs::read(journal(&db)).expect("it has a journal")
    })
}

fuzz_target!(|input: (u8, u32, &[u8])| {
    let (file, offset, part) = input;
    let mut bytes = whole().to_vec();
    let start = offset as usize % (bytes.len() + 1);
    match part {
        [] => bytes.truncate(start),
        part => {
            bytes.resize(bytes.len().max(start + part.len()), 0);
            bytes[start..start + part.len()].copy_from_slice(part);
        }
    }
    let (replica, buffer) = (Scratch::new(), Scratch::new());
    let place = journal(&write(&replica, &buffer).expect("a new database"));
    std::fs::write(&place, &bytes).expect("it is written");
    if file % 4 == 0 {
        std::fs::write(place.with_file_name("upload"), part).expect("it is written");
    }
    let Ok(db) = write(&replica, &buffer) else { return };
    let Ok(before) = content(&db) else { return };
    assert!(STATES.contains(&before.as_str()), "{before}");
    if db.execute_batch("CREATE TABLE IF NOT EXISTS u(a); INSERT INTO u VALUES (1)").is_ok() && before != STATES[0] {
        assert_eq!(content(&db).expect("it was read before"), before);
    }
});
