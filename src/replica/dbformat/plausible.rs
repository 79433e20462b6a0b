//! Whether a page can belong to a database.

use crate::replica::dbformat::btree::{
    INDEX_INTERIOR, INDEX_LEAF, INTERIOR_HEADER, LEAF_HEADER, TABLE_INTERIOR, TABLE_LEAF, header_offset, pgno_at,
    u16_at, u32_at,
};

/// Databases of at least this many pages have page numbers whose first byte is not 0.
const LARGE: u32 = 1 << 24;

/// Returns whether a page can belong to a database of `commit` pages. A page for which this is false is probably
/// corrupted and should be fetched once more, but it may be right.
pub(in crate::replica) fn is_plausible(page: &[u8], pgno: u32, commit: u32) -> bool {
    const POINTER_MAP: [u8; 3] = [1, 3, 4];
    match page.get(header_offset(pgno)) {
        Some(&(INDEX_INTERIOR | TABLE_INTERIOR)) => is_sound_node(page, pgno, Some(commit)).unwrap_or(false),
        Some(&(INDEX_LEAF | TABLE_LEAF)) => is_sound_node(page, pgno, None).unwrap_or(false),
        _ if pgno == 1 => false,
        Some(0) => u32_at(page, 0).is_some_and(|next| next == 0 || (2..=commit).contains(&next)),
        Some(first) => POINTER_MAP.contains(first) || commit >= LARGE,
        None => false,
    }
}

/// Returns whether the cells of a b-tree page are inside the page, after the cell pointers, and the children of an
/// interior page are inside the database. A pointer map page can look like an interior page.
fn is_sound_node(page: &[u8], pgno: u32, interior: Option<u32>) -> Option<bool> {
    let header = header_offset(pgno);
    let pointers = header + if interior.is_some() { INTERIOR_HEADER } else { LEAF_HEADER };
    let cells = u16_at(page, header + 3)?;
    let content = match u16_at(page, header + 5)? {
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
    Some(is_page(header + 8) && (0..cells).all(|cell| is_sound(cell).unwrap_or(false)))
}
