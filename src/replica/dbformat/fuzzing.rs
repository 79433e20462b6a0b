//! Parsers that only the fuzz targets call directly.

use crate::replica::dbformat::record::TextEncoding;
use crate::replica::dbformat::{btree, cells, header, is_plausible, record};

/// Parses a page of a database of `commit` pages, each with `reserved` bytes at its end that SQLite does not use.
pub fn page(page: &[u8], pgno: u32, reserved: usize, commit: u32) {
    is_plausible(page, pgno, commit);
    for child in btree::children(page, pgno, commit).unwrap_or_default() {
        assert!((2..=commit).contains(&child), "page {child} of {commit}");
    }
    btree::rowid_bounds(page, pgno);
    btree::trunk(page, commit).1.for_each(|free| assert!((2..=commit).contains(&free), "page {free} of {commit}"));
    let Some(usable) = page.len().checked_sub(reserved).filter(|usable| *usable >= header::MIN_USABLE) else { return };
    let mut left = page.len();
    for cell in cells::each(page, pgno, usable, commit).flatten() {
        left = left.checked_sub(cell.local.len()).expect("cells do not overlap");
        record(cell.local);
    }
}

/// Parses a record, as that of a table and as that of the schema.
pub fn record(payload: &[u8]) {
    for encoding in [TextEncoding::Utf8, TextEncoding::Utf16le, TextEncoding::Utf16be] {
        if let Some(values) = record::values(payload, encoding) {
            // NaN, which differs from itself, is read as NULL.
            assert_eq!(record::first_values(payload, encoding), values);
        }
        record::entry(payload, encoding);
    }
}
