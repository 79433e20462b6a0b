//! What the pages of a database say about each other: the children of an interior page, the next page of an overflow
//! chain, the pages that hold nothing.
//!
//! Facts from SQLite's file format. A b-tree page begins with its kind (on page 1 behind the 100 bytes of the database
//! header); the other kinds of pages begin with the number of another page, whose first byte is 0 in every
//! database below 2^24 pages. Pages are read here to guess what comes next, so what makes no sense is passed over.

/// Kinds of b-tree pages: the first byte.
const INDEX_INTERIOR: u8 = 2;
const TABLE_INTERIOR: u8 = 5;
const INDEX_LEAF: u8 = 10;
const TABLE_LEAF: u8 = 13;

/// Length in bytes of the header of an interior page; that of a leaf lacks the rightmost child.
const INTERIOR_HEADER: usize = 12;
const LEAF_HEADER: usize = 8;

/// Offsets in page 1.
const FIRST_TRUNK: usize = 32;
const RESERVED: usize = 20;

/// Length in bytes of the header of the database.
pub(in crate::replica) const DATABASE_HEADER: usize = 100;

/// What a page is, as far as one can tell from it alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) enum PageKind {
    /// An inner page of a table or an index.
    Interior,
    /// A leaf of a table or an index.
    Leaf,
    /// No page of a b-tree: overflow, most often.
    Other,
}

/// What a page is.
#[inline]
pub(in crate::replica) fn kind(page: &[u8], pgno: u32) -> PageKind {
    match page.get(start(pgno)) {
        Some(&(INDEX_INTERIOR | TABLE_INTERIOR)) => PageKind::Interior,
        Some(&(INDEX_LEAF | TABLE_LEAF)) => PageKind::Leaf,
        _ => PageKind::Other,
    }
}

#[inline]
pub(in crate::replica) fn start(pgno: u32) -> usize {
    if pgno == 1 { DATABASE_HEADER } else { 0 }
}

pub(in crate::replica) fn u16_at(page: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_be_bytes(*page.get(at..)?.first_chunk()?).into())
}

pub(in crate::replica) fn u32_at(page: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*page.get(at..)?.first_chunk()?))
}

/// A page number, if a database of `commit` pages can have it there: page 1 is nobody's child.
fn pgno_at(page: &[u8], at: usize, commit: u32) -> Option<u32> {
    u32_at(page, at).filter(|pgno| (2..=commit).contains(pgno))
}

/// The children of an interior page in the order of their keys. None if it is none.
pub(in crate::replica) fn children(page: &[u8], pgno: u32, commit: u32) -> Option<Vec<u32>> {
    if kind(page, pgno) != PageKind::Interior {
        return None;
    }
    let start = start(pgno);
    let cells = u16_at(page, start + 3)?;
    let child = |cell: usize| pgno_at(page, u16_at(page, start + INTERIOR_HEADER + 2 * cell)?, commit);
    let rightmost = pgno_at(page, start + 8, commit)?;
    (0..cells).map(child).chain([Some(rightmost)]).collect()
}

/// The page after `page` in an overflow chain. None at its end.
pub(in crate::replica) fn next_overflow(page: &[u8], commit: u32) -> Option<u32> {
    pgno_at(page, 0, commit)
}

/// The first overflow pages of a leaf's cells, in the order of their keys. `page_1` tells what every page keeps free.
pub(in crate::replica) fn overflows(page: &[u8], pgno: u32, page_1: &[u8], commit: u32) -> Vec<u32> {
    let reserved = page_1.get(RESERVED).map_or(0, |reserved| usize::from(*reserved));
    let Some(usable) = page.len().checked_sub(reserved).filter(|usable| *usable >= 480) else { return Vec::new() };
    let start = start(pgno);
    let is_table = match page.get(start) {
        Some(&TABLE_LEAF) => true,
        Some(&INDEX_LEAF) => false,
        _ => return Vec::new(),
    };
    let cells = u16_at(page, start + 3).unwrap_or_default();
    let overflow = |cell: usize| {
        let cell = page.get(u16_at(page, start + LEAF_HEADER + 2 * cell)?..)?;
        let (payload, mut at) = varint(cell)?;
        if is_table {
            at += varint(cell.get(at..)?)?.1;
        }
        pgno_at(cell, at + local(payload, usable, is_table)?, commit)
    };
    (0..cells).filter_map(overflow).collect()
}

/// How much of a payload stands in its leaf, if it does not stand there whole.
pub(in crate::replica) fn local(payload: u64, usable: usize, is_table: bool) -> Option<usize> {
    let most = if is_table { usable - 35 } else { (usable - 12) * 64 / 255 - 23 };
    let least = (usable - 12) * 32 / 255 - 23;
    let payload = usize::try_from(payload).ok().filter(|payload| *payload > most)?;
    let kept = least + (payload - least) % (usable - 4);
    Some(if kept <= most { kept } else { least })
}

/// A number of SQLite's, seven bits a byte from the highest on, eight in the ninth; and its length in bytes.
pub(in crate::replica) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (place, byte) in bytes.iter().take(9).enumerate() {
        if place == 8 {
            return Some((number << 8 | u64::from(*byte), 9));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, place + 1));
        }
    }
    None
}

/// The first page of the list of free pages. None if no page is free.
pub(in crate::replica) fn first_trunk(page_1: &[u8], commit: u32) -> Option<u32> {
    pgno_at(page_1, FIRST_TRUNK, commit)
}

/// What a page of the list of free pages says: the next page of the list, and the free pages that it lists.
pub(in crate::replica) fn trunk(page: &[u8], commit: u32) -> (Option<u32>, impl Iterator<Item = u32>) {
    let listed = u32_at(page, 4).unwrap_or_default() as usize;
    let listed = listed.min(page.len() / 4 - 2);
    (pgno_at(page, 0, commit), (0..listed).filter_map(move |entry| pgno_at(page, 8 + 4 * entry, commit)))
}

/// Databases of so many pages have page numbers that do not begin with 0.
const LARGE: u32 = 1 << 24;

/// Whether a page looks like one of a database of `commit` pages. One that does not may be right all the same, and is worth being
/// fetched once more: a flipped bit can make such pages.
pub(in crate::replica) fn is_plausible(page: &[u8], pgno: u32, commit: u32) -> bool {
    const POINTER_MAP: [u8; 3] = [1, 3, 4];
    match page.get(start(pgno)) {
        Some(&(INDEX_INTERIOR | TABLE_INTERIOR)) => is_sound_node(page, pgno, Some(commit)).unwrap_or(false),
        Some(&(INDEX_LEAF | TABLE_LEAF)) => is_sound_node(page, pgno, None).unwrap_or(false),
        _ if pgno == 1 => false,
        Some(0) => u32_at(page, 0).is_some_and(|next| next == 0 || (2..=commit).contains(&next)),
        Some(first) => POINTER_MAP.contains(first) || commit >= LARGE,
        None => false,
    }
}

/// Whether the cells of a b-tree page lie within it, behind their pointers, and the children of an interior page within the
/// database. A page of the pointer map can look like an interior page.
fn is_sound_node(page: &[u8], pgno: u32, interior: Option<u32>) -> Option<bool> {
    let start = start(pgno);
    let pointers = start + if interior.is_some() { INTERIOR_HEADER } else { LEAF_HEADER };
    let cells = u16_at(page, start + 3)?;
    let content = match u16_at(page, start + 5)? {
        0 => 1 << 16,
        content => content,
    };
    let end = pointers + 2 * cells;
    if end > content || content > page.len() {
        return Some(false);
    }
    let is_page = |at: usize| interior.is_none_or(|commit| pgno_at(page, at, commit).is_some());
    let is_sound = |cell: usize| {
        let at = u16_at(page, pointers + 2 * cell)?;
        Some(at >= content && at + 4 <= page.len() && is_page(at))
    };
    Some(is_page(start + 8) && (0..cells).all(|cell| is_sound(cell).unwrap_or(false)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::Connection;
    use std::collections::{BTreeMap, HashSet};

    /// The pages of a database that SQLite made, from page 1 on.
    fn pages(page_size: usize, sql: &str) -> (Vec<Vec<u8>>, Connection) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("db");
        let conn = Connection::open(&path).expect("a database");
        conn.execute_batch(&format!("PRAGMA page_size = {page_size}; {sql}")).expect("statements");
        let bytes = std::fs::read(&path).expect("a file");
        (bytes.chunks(page_size).map(<[u8]>::to_vec).collect(), conn)
    }

    /// What SQLite itself says: the page at each path of each b-tree.
    fn dbstat(conn: &Connection) -> BTreeMap<(String, String), u32> {
        let mut statement = conn.prepare("SELECT name, path, pageno FROM dbstat").expect("a statement");
        let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?))).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    }

    /// The pages below a path whose own begins with it and has so many characters more, of which the last are those.
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
    fn every_page_that_sqlite_writes_is_plausible_and_a_broken_one_is_not() {
        for (bits, setting) in
            (9..=16).flat_map(|bits| ["", "PRAGMA auto_vacuum = FULL;"].map(|setting| (bits, setting)))
        {
            let gone = "CREATE TABLE gone AS SELECT * FROM t; DROP TABLE gone;";
            let (pages, conn) = pages(1 << bits, &[setting, ROWS, gone].concat());
            let (live, commit) = (dbstat(&conn).into_values(), pages.len() as u32);
            for pgno in live {
                let page = &pages[pgno as usize - 1];
                assert!(is_plausible(page, pgno, commit), "page {pgno} of {}", 1 << bits);
                if kind(page, pgno) != PageKind::Other {
                    let start = start(pgno);
                    for (at, flip) in [(start, 0x40), (start + 3, 0x80), (start + 5, 0x80)] {
                        let mut broken = page.clone();
                        broken[at] ^= flip;
                        let is_the_same = bits == 16 && at == start + 5;
                        assert!(
                            is_the_same || !is_plausible(&broken, pgno, commit),
                            "page {pgno}, byte {at}, {}",
                            1 << bits
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn children_and_long_values_are_those_that_sqlite_finds() {
        for bits in 9..=16 {
            let (pages, conn) = pages(1 << bits, ROWS);
            let (stat, commit) = (dbstat(&conn), pages.len() as u32);
            let (mut inner, mut long) = (0, 0);
            for (at, pgno) in stat.iter().filter(|((_, path), _)| path.ends_with('/')) {
                let page = &pages[*pgno as usize - 1];
                let expected = below(&stat, at, 4, "/");
                assert_eq!(children(page, *pgno, commit).unwrap_or_default(), expected, "page {pgno} of {}", 1 << bits);
                inner += usize::from(!expected.is_empty());
                if kind(page, *pgno) == PageKind::Leaf {
                    let expected = below(&stat, at, 10, "+000000");
                    assert_eq!(overflows(page, *pgno, &pages[0], commit), expected, "page {pgno} of {}", 1 << bits);
                    long += expected.len();
                }
            }
            assert!(long > 100 && (inner > 1 || bits == 16), "{inner}, {long}");
        }
    }

    #[test]
    fn a_chain_and_the_free_pages_are_followed_to_their_ends() {
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
        /// Bytes that are no b-tree give pages of the database or nothing.
        #[test]
        fn anything_is_read_without_harm(mut page in prop::collection::vec(any::<u8>(), 512), first in 0u8..16, pgno in 1u32..3) {
            page[start(pgno)] = first;
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
}
