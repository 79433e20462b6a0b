//! Compares what is read from pages with what SQLite itself says about databases that it wrote.

use super::btree::*;
use super::cells::{self, overflows};
use super::plausible::is_plausible;
use super::record::{self, StoredValue, TextEncoding};
use proptest::prelude::*;
use rusqlite::Connection;
use std::collections::{BTreeMap, HashSet};

/// Returns the pages of a database that SQLite wrote, from page 1 on.
fn pages(page_size: usize, sql: &str) -> (Vec<Vec<u8>>, Connection) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("db");
    let conn = Connection::open(&path).expect("a database");
    conn.execute_batch(&format!("PRAGMA page_size = {page_size}; {sql}")).expect("the statements run");
    let bytes = std::fs::read(&path).expect("a file");
    (bytes.chunks(page_size).map(<[u8]>::to_vec).collect(), conn)
}

/// Returns the page at each path of each b-tree, from the `dbstat` table.
fn dbstat(conn: &Connection) -> BTreeMap<(String, String), u32> {
    let mut statement = conn.prepare("SELECT name, path, pageno FROM dbstat").expect("a statement");
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?))).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

/// Returns the pages whose path starts with the path of `at`, is `longer` characters longer, and ends with `end`.
fn below(stat: &BTreeMap<(String, String), u32>, at: &(String, String), longer: usize, end: &str) -> Vec<u32> {
    let all = stat.range(at.clone()..).take_while(|((name, path), _)| *name == at.0 && path.starts_with(&at.1));
    let these = all.filter(|((_, path), _)| path.len() == at.1.len() + longer && path.ends_with(end));
    these.map(|(_, pgno)| *pgno).collect()
}

const ROWS: &str = "
    CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT, value BLOB);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
    INSERT INTO t SELECT i, hex(i * 7919 % 9001), zeroblob(CASE i % 50 WHEN 0 THEN 70000 ELSE 5 END) FROM n;
    CREATE INDEX by_word ON t (word, value);";

#[test]
fn pages_written_by_sqlite_are_plausible_and_corrupted_ones_are_not() {
    for (bits, setting) in (9..=16).flat_map(|bits| ["", "PRAGMA auto_vacuum = FULL;"].map(|setting| (bits, setting))) {
        let gone = "CREATE TABLE gone AS SELECT * FROM t; DROP TABLE gone;";
        let (pages, conn) = pages(1 << bits, &[setting, ROWS, gone].concat());
        let (live, commit) = (dbstat(&conn).into_values(), pages.len() as u32);
        for pgno in live {
            let page = &pages[pgno as usize - 1];
            assert!(is_plausible(page, pgno, commit), "page {pgno} of {}", 1 << bits);
            if kind(page, pgno) != PageKind::Other {
                let header = header_offset(pgno);
                for (at, flip) in [(header, 0x40), (header + 3, 0x80), (header + 5, 0x80)] {
                    let mut corrupted = page.clone();
                    corrupted[at] ^= flip;
                    let is_unchanged = bits == 16 && at == header + 5;
                    assert!(
                        is_unchanged || !is_plausible(&corrupted, pgno, commit),
                        "page {pgno}, byte {at}, {}",
                        1 << bits
                    );
                }
            }
        }
    }
}

#[test]
fn children_and_overflow_pages_match_dbstat() {
    for bits in 9..=16 {
        let (pages, conn) = pages(1 << bits, ROWS);
        let (stat, commit) = (dbstat(&conn), pages.len() as u32);
        let (mut interior, mut long) = (0, 0);
        for (at, pgno) in stat.iter().filter(|((_, path), _)| path.ends_with('/')) {
            let page = &pages[*pgno as usize - 1];
            let expected = below(&stat, at, 4, "/");
            assert_eq!(children(page, *pgno, commit).unwrap_or_default(), expected, "page {pgno} of {}", 1 << bits);
            interior += usize::from(!expected.is_empty());
            if kind(page, *pgno) == PageKind::Leaf {
                let expected = below(&stat, at, 10, "+000000");
                assert_eq!(overflows(page, *pgno, &pages[0], commit), expected, "page {pgno} of {}", 1 << bits);
                long += expected.len();
            }
        }
        assert!(long > 100 && (interior > 1 || bits == 16), "{interior}, {long}");
    }
}

#[test]
fn an_overflow_chain_and_the_freelist_are_followed_to_their_ends() {
    let sql = format!("{ROWS} DELETE FROM t WHERE id > 100;");
    let (pages, conn) = pages(1024, &sql);
    let (stat, commit) = (dbstat(&conn), pages.len() as u32);
    let page = |pgno: u32| &pages[pgno as usize - 1];
    let ((name, path), head) = stat.iter().find(|((_, path), _)| path.ends_with("+000000")).expect("a long value");
    let chain: Vec<u32> = std::iter::successors(Some(*head), |pgno| next_overflow(page(*pgno), commit)).collect();
    let value = (name.clone(), path.trim_end_matches('0').to_owned());
    assert_eq!(chain, below(&stat, &value, 6, ""));
    let mut free = Vec::new();
    let mut next = first_trunk(page(1), commit);
    while let Some(pgno) = next {
        let (after, listed) = trunk(page(pgno), commit);
        free.extend(listed.chain([pgno]));
        next = after;
    }
    free.sort_unstable();
    let live: HashSet<u32> = stat.into_values().collect();
    let expected: Vec<u32> = (1..=commit).filter(|pgno| !live.contains(pgno)).collect();
    assert_eq!(free, expected);
}

proptest! {
    /// Arbitrary bytes give pages of the database or nothing.
    #[test]
    fn arbitrary_bytes_give_only_pages_of_the_database(mut page in prop::collection::vec(any::<u8>(), 512), first in 0u8..16, pgno in 1u32..3) {
        page[header_offset(pgno)] = first;
        let found = children(&page, pgno, 1000).unwrap_or_default().into_iter()
            .chain(overflows(&page, pgno, &page, 1000))
            .chain(next_overflow(&page, 1000))
            .chain(trunk(&page, 1000).1);
        is_plausible(&page, pgno, 1000);
        for pgno in found {
            prop_assert!((2..=1000).contains(&pgno));
        }
    }
}

#[test]
fn rows_are_decoded_as_sqlite_reads_them() {
    let values = "NULL, 0, 1, -1, 127, -128, 128, 32767, -32768, 8388607, -8388608, 2147483647, -2147483648, 140737488355327,
        -140737488355328, 9223372036854775807, -9223372036854775808, 0.5, -1e300, 9e999, '', 'text', '\u{e9}\u{1f600}', X'', X'00FF'";
    let rows: Vec<String> = values.split(',').map(|value| format!("({}, 'x')", value.trim())).collect();
    for (name, encoding) in
        [("UTF-8", TextEncoding::Utf8), ("UTF-16le", TextEncoding::Utf16le), ("UTF-16be", TextEncoding::Utf16be)]
    {
        let sql =
            format!("PRAGMA encoding = '{name}'; CREATE TABLE t (a, b); INSERT INTO t VALUES {}", rows.join(", "));
        let (pages, conn) = pages(4096, &sql);
        assert_eq!(TextEncoding::of(&pages[0]), encoding);
        let found: Vec<(i64, StoredValue)> = cells::each(&pages[1], 2, 4096, 2)
            .map(|cell| {
                let cell = cell.expect("a cell");
                let mut values = record::values(cell.local, encoding).expect("a record");
                assert_eq!(values.pop(), Some(StoredValue::Text(b"x".to_vec())));
                assert_eq!(
                    record::values(&cell.local[..cell.local.len() - 1], encoding),
                    None,
                    "a record without its end"
                );
                (cell.rowid.expect("a rowid"), values.remove(0))
            })
            .collect();
        let mut statement = conn.prepare("SELECT rowid, a FROM t ORDER BY rowid").expect("a statement");
        let row = |row: &rusqlite::Row<'_>| {
            use rusqlite::types::Value;
            let value = match row.get(1)? {
                Value::Null => StoredValue::Null,
                Value::Integer(number) => StoredValue::Integer(number),
                Value::Real(number) => StoredValue::Real(number),
                Value::Text(text) => StoredValue::Text(text.into_bytes()),
                Value::Blob(blob) => StoredValue::Blob(blob),
            };
            Ok((row.get(0)?, value))
        };
        let expected: Vec<(i64, StoredValue)> = statement.query_map([], row).and_then(Iterator::collect).expect("rows");
        assert_eq!(found, expected, "{name}");
    }
}

/// Cells that overlap would give far more bytes than the page has.
#[test]
fn cells_that_overlap_are_damaged() {
    let mut page = vec![0; 65536];
    page[0] = 0x0d;
    page[3..5].copy_from_slice(&16000u16.to_be_bytes());
    for cell in page[8..8 + 2 * 16000].as_chunks_mut().0 {
        *cell = 0x8000u16.to_be_bytes();
    }
    // A payload of 32,000 bytes and a rowid.
    page[0x8000..0x8004].copy_from_slice(&[0x81, 0xfa, 0x00, 1]);
    let found: Vec<usize> =
        cells::each(&page, 2, 65536, 2).map(|cell| cell.map_or(0, |cell| cell.local.len())).collect();
    assert_eq!((found.len(), &found[..3], found.iter().sum()), (16000, &[32000, 32000, 0][..], 64000));
}

#[test]
fn a_record_has_no_more_values_than_a_table_columns() {
    let mut payload = vec![0x82, 0x80, 0x04];
    payload.resize(32772, 0);
    assert_eq!(record::first_values(&payload, TextEncoding::Utf8).len(), 32767);
}

proptest! {
    /// The result is other values or none.
    #[test]
    fn decoding_any_bytes_ends_without_a_panic(payload in prop::collection::vec(any::<u8>(), 0..80)) {
        for encoding in [TextEncoding::Utf8, TextEncoding::Utf16le] {
            let all = record::values(&payload, encoding);
            let first = record::first_values(&payload, encoding);
            // NaN differs from itself.
            let is_same = |all: Vec<StoredValue>| format!("{all:?}") == format!("{first:?}");
            prop_assert!(all.is_none_or(is_same));
        }
    }
}
