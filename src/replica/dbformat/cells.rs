//! The payloads in the cells of b-tree pages.

use crate::replica::dbformat::btree::{
    self, INDEX_INTERIOR, INDEX_LEAF, INTERIOR_HEADER, LEAF_HEADER, PageKind, TABLE_LEAF, header_offset, local_size,
    pgno_at, u16_at, varint,
};
use crate::replica::dbformat::header;

/// The maximum length of a row or a value in bytes (`SQLITE_MAX_LENGTH`).
const MAX_LENGTH: u64 = 0x7fff_ffff;

/// A cell of a table or an index, as far as it is stored in its page.
pub(in crate::replica) struct BtreeCell<'a> {
    /// The rowid, if the cell is that of a table.
    pub rowid: Option<i64>,
    /// The part of the payload that is stored in the page.
    pub local: &'a [u8],
    /// Length of the whole payload in bytes.
    pub length: u64,
    /// The first overflow page, which contains the rest of the payload.
    pub overflow: Option<u32>,
}

/// Returns the cells of a page that contain payloads, and None in place of a damaged cell. `usable` is the size in
/// bytes of the part of each page that SQLite uses.
pub(in crate::replica) fn each(
    page: &[u8],
    pgno: u32,
    usable: usize,
    commit: u32,
) -> impl Iterator<Item = Option<BtreeCell<'_>>> {
    let header = header_offset(pgno);
    let page_type = page.get(header).copied().unwrap_or_default();
    let has_payloads = [INDEX_INTERIOR, INDEX_LEAF, TABLE_LEAF].contains(&page_type);
    // On an interior page, each cell begins with the number of a child, which takes 4 bytes.
    let is_interior = btree::kind(page, pgno) == PageKind::Interior;
    let (header_size, child_size) = if is_interior { (INTERIOR_HEADER, 4) } else { (LEAF_HEADER, 0) };
    let count = u16_at(page, header + 3).filter(|_| has_payloads).unwrap_or_default();
    // Cells that overlap are damaged. They could have far more bytes together than the page.
    let mut left = page.len();
    let cell = move |number: usize| {
        let cell = page.get(u16_at(page, header + header_size + 2 * number)? + child_size..)?;
        let (length, mut at) = varint(cell)?;
        let mut rowid = None;
        if page_type == TABLE_LEAF {
            let (number, size) = varint(cell.get(at..)?)?;
            rowid = Some(number.cast_signed());
            at += size;
        }
        let (local, overflow) = match local_size(length, usable, page_type == TABLE_LEAF) {
            Some(local) => (cell.get(at..at + local)?, pgno_at(cell, at + local, commit)),
            None => (cell.get(at..at.checked_add(usize::try_from(length).ok()?)?)?, None),
        };
        left = left.checked_sub(local.len())?;
        Some(BtreeCell { rowid, local, length, overflow }).filter(|cell| cell.length <= MAX_LENGTH)
    };
    (0..count).map(cell)
}

/// Returns the first overflow page of each cell of a leaf that has one, in key order. `page_1` contains the number of
/// bytes that are reserved in each page.
pub(in crate::replica) fn overflows(page: &[u8], pgno: u32, page_1: &[u8], commit: u32) -> Vec<u32> {
    match header::usable(page_1) {
        Some(usable) if btree::kind(page, pgno) == PageKind::Leaf => {
            each(page, pgno, usable, commit).filter_map(|cell| cell?.overflow).collect()
        }
        _ => Vec::new(),
    }
}
