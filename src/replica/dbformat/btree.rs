//! The references between pages: the children of an interior page, the next page of an overflow chain, the free pages.
//!
//! A b-tree page begins with its type (on page 1 after the 100 bytes of the database header). Overflow and trunk pages
//! begin with the number of another page, whose first byte is 0 in every database of less than 2^24 pages.

use crate::replica::dbformat::header;

/// Types of b-tree pages, in the first byte of their header.
pub(super) const INDEX_INTERIOR: u8 = 2;
pub(super) const TABLE_INTERIOR: u8 = 5;
pub(super) const INDEX_LEAF: u8 = 10;
pub(super) const TABLE_LEAF: u8 = 13;

/// Size in bytes of the header of an interior page. The header of a leaf has no rightmost child.
pub(super) const INTERIOR_HEADER: usize = 12;
pub(super) const LEAF_HEADER: usize = 8;

/// The kind of a page, as far as its content alone shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) enum PageKind {
    /// An interior page of a table or an index.
    Interior,
    /// A leaf of a table or an index.
    Leaf,
    /// Not a b-tree page; usually an overflow page.
    Other,
}

/// Returns the kind of a page.
#[inline]
pub(in crate::replica) fn kind(page: &[u8], pgno: u32) -> PageKind {
    match page.get(header_offset(pgno)) {
        Some(&(INDEX_INTERIOR | TABLE_INTERIOR)) => PageKind::Interior,
        Some(&(INDEX_LEAF | TABLE_LEAF)) => PageKind::Leaf,
        _ => PageKind::Other,
    }
}

/// Returns the offset of the b-tree header in a page.
#[inline]
pub(super) fn header_offset(pgno: u32) -> usize {
    if pgno == 1 { header::SIZE } else { 0 }
}

/// Reads a big-endian number at an offset.
pub(super) fn u16_at(page: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_be_bytes(*page.get(at..)?.first_chunk()?).into())
}

/// Reads a big-endian number at an offset.
pub(in crate::replica) fn u32_at(page: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*page.get(at..)?.first_chunk()?))
}

/// Reads a page number at an offset. Returns None if a database of `commit` pages cannot have it there: no page refers
/// to page 1.
pub(super) fn pgno_at(page: &[u8], at: usize, commit: u32) -> Option<u32> {
    u32_at(page, at).filter(|pgno| (2..=commit).contains(pgno))
}

/// Returns the children of an interior page in key order. None if the page is not an interior page.
pub(in crate::replica) fn children(page: &[u8], pgno: u32, commit: u32) -> Option<Vec<u32>> {
    if kind(page, pgno) != PageKind::Interior {
        return None;
    }
    let header = header_offset(pgno);
    let cells = u16_at(page, header + 3)?;
    let child = |cell: usize| pgno_at(page, u16_at(page, header + INTERIOR_HEADER + 2 * cell)?, commit);
    let rightmost = pgno_at(page, header + 8, commit)?;
    (0..cells).map(child).chain([Some(rightmost)]).collect()
}

/// Whether a page is that of a table whose key is the rowid.
pub(in crate::replica) fn is_of_table(page: &[u8], pgno: u32) -> bool {
    matches!(page.get(header_offset(pgno)), Some(&(TABLE_INTERIOR | TABLE_LEAF)))
}

/// Returns the largest rowid below each child of an interior page of a table, except for the last child.
pub(in crate::replica) fn rowid_bounds(page: &[u8], pgno: u32) -> Option<Vec<i64>> {
    let header = header_offset(pgno);
    let bound = |cell: usize| {
        let at = u16_at(page, header + INTERIOR_HEADER + 2 * cell)?;
        Some(varint(page.get(at + 4..)?)?.0.cast_signed())
    };
    (0..u16_at(page, header + 3)?).map(bound).collect()
}

/// Returns the page that follows `page` in an overflow chain, or None at its end.
pub(in crate::replica) fn next_overflow(page: &[u8], commit: u32) -> Option<u32> {
    pgno_at(page, 0, commit)
}

/// Returns how many bytes of a payload are stored in its b-tree page if the payload has overflow pages. None if it has
/// none.
pub(super) fn local_size(payload: u64, usable: usize, is_table: bool) -> Option<usize> {
    let most = if is_table { usable - 35 } else { (usable - 12) * 64 / 255 - 23 };
    let least = (usable - 12) * 32 / 255 - 23;
    let payload = usize::try_from(payload).ok().filter(|payload| *payload > most)?;
    let kept = least + (payload - least) % (usable - 4);
    Some(if kept <= most { kept } else { least })
}

/// Reads a variable-length integer of SQLite: seven bits per byte, most significant first, and eight in the ninth byte.
/// Returns the number and its length in bytes.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        if index == 8 {
            return Some((number << 8 | u64::from(*byte), 9));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, index + 1));
        }
    }
    None
}

/// Returns the first trunk page of the freelist, or None if the freelist is empty.
pub(in crate::replica) fn first_trunk(page_1: &[u8], commit: u32) -> Option<u32> {
    pgno_at(page_1, header::FIRST_TRUNK, commit)
}

/// Returns the next trunk page of the freelist after a trunk page, and the free pages that this one lists.
pub(in crate::replica) fn trunk(page: &[u8], commit: u32) -> (Option<u32>, impl Iterator<Item = u32>) {
    let listed = u32_at(page, 4).unwrap_or_default() as usize;
    let listed = listed.min(page.len() / 4 - 2);
    (pgno_at(page, 0, commit), (0..listed).filter_map(move |entry| pgno_at(page, 8 + 4 * entry, commit)))
}
