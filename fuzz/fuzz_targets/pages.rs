//! Reads a database of which parts of some pages were replaced by arbitrary bytes, in files whose checksums are right, and compares two states.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::ltx::{Encoder, FileName, Form, Header, PageSize, Txid};
use litestream_vfs_fuzz::{Scratch, open, run};
use rusqlite::Connection;
use std::sync::OnceLock;

const PAGE_SIZE: usize = 512;

const SCHEMA: &str = "PRAGMA page_size = 512;
    CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT (upper('x')), b BLOB);
    CREATE UNIQUE INDEX t_a ON t (lower(a));
    CREATE TABLE w (k TEXT COLLATE NOCASE PRIMARY KEY DESC, v REAL) WITHOUT ROWID;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
        INSERT INTO t SELECT i, 'row ' || i, zeroblob(CASE i % 20 WHEN 0 THEN 2000 ELSE 9 END) FROM n;
    INSERT INTO w SELECT a, id FROM t;
    CREATE TABLE gone (x); INSERT INTO gone SELECT b FROM t; DROP TABLE gone;";

const STATEMENTS: [&str; 13] = [
    "SELECT * FROM sqlite_schema",
    "SELECT count(*), total(length(b)) FROM t",
    "SELECT * FROM t WHERE lower(a) > 'row 3'",
    "SELECT * FROM w WHERE k > 'row 3' ORDER BY k DESC",
    "PRAGMA integrity_check(1)",
    "SELECT * FROM litestream_changes(1)",
    "SELECT * FROM litestream_diff('sqlite_schema', 1)",
    "SELECT * FROM litestream_diff('t', 1)",
    "SELECT * FROM litestream_diff('w', 1)",
    "SELECT * FROM litestream_undo('t', 1)",
    "SELECT * FROM litestream_undo('w', 1)",
    "SELECT * FROM litestream_history_of('t', 20)",
    "SELECT * FROM litestream_history_of('w', 'row 4')",
];

fn pages() -> &'static [Vec<u8>] {
    static PAGES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    PAGES.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("db");
        Connection::open(&path).and_then(|db| db.execute_batch(SCHEMA)).expect("a database");
        std::fs::read(&path).expect("a database").chunks(PAGE_SIZE).map(<[u8]>::to_vec).collect()
    })
}

/// Replaces parts of pages: the page, the offset in it, and the bytes. Returns the numbers of the pages.
fn patch(pages: &mut [Vec<u8>], patches: &[(u8, u16, &[u8])]) -> Vec<usize> {
    let mut patched = Vec::new();
    for (page, offset, bytes) in patches {
        let number = usize::from(*page) % pages.len();
        let room = &mut pages[number][usize::from(*offset) % PAGE_SIZE..];
        let length = room.len().min(bytes.len());
        room[..length].copy_from_slice(&bytes[..length]);
        patched.push(number);
    }
    patched.sort_unstable();
    patched.dedup();
    patched
}

fn encode(pages: &[Vec<u8>], numbers: impl Iterator<Item = usize>, min: u64, max: u64) -> Vec<u8> {
    let header = Header::plain(
        PageSize::new(PAGE_SIZE as u32).expect("a page size"),
        pages.len() as u32,
        FileName { min: Txid(min), max: Txid(max) },
    );
    let mut encoder = Encoder::new(header, Form::Block);
    numbers.for_each(|number| encoder.page(number as u32 + 1, &pages[number]));
    encoder.finish()
}

type Patches<'a> = Vec<(u8, u16, &'a [u8])>;

fuzz_target!(|input: (Patches<'_>, Patches<'_>)| {
    let (before, after) = input;
    let (mut pages, scratch) = (pages().to_vec(), Scratch::new());
    patch(&mut pages, &before);
    scratch.write(9, "0000000000000001-0000000000000001.ltx", &encode(&pages, 0..pages.len(), 1, 1));
    let changed = patch(&mut pages, &after);
    scratch.write(0, "0000000000000002-0000000000000002.ltx", &encode(&pages, changed.into_iter(), 2, 2));
    let Ok(db) = open(scratch.uri()) else { return };
    STATEMENTS.iter().for_each(|sql| run(&db, sql, &[]));
});
