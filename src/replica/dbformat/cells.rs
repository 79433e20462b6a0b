//! Cells of b-tree pages. Facts from SQLite's file format.

use crate::replica::dbformat::btree;
use crate::replica::dbformat::btree::{PageKind, local, start, u16_at, u32_at, varint};

/// Kinds of b-tree pages whose cells hold payloads.
const INDEX_INTERIOR: u8 = 2;
const INDEX_LEAF: u8 = 10;
const TABLE_LEAF: u8 = 13;

/// What a cell of a table or an index holds, as far as its page has it.
pub(in crate::replica) struct BtreeCell<'a> {
    /// The first bytes of the payload.
    pub local: &'a [u8],
    /// Length of all of it.
    pub length: u64,
    /// Where it goes on.
    pub overflow: Option<u32>,
}

/// The cells of a page that hold payloads; None in the place of one that is damaged. `usable` is the size of the part of
/// pages that SQLite uses.
pub(in crate::replica) fn each(
    page: &[u8],
    pgno: u32,
    usable: usize,
    commit: u32,
) -> impl Iterator<Item = Option<BtreeCell<'_>>> {
    let start = start(pgno);
    let kind = page.get(start).copied().unwrap_or_default();
    let holds_payloads = [INDEX_INTERIOR, INDEX_LEAF, TABLE_LEAF].contains(&kind);
    // An interior page has a pointer more in its header, and one in front of each cell.
    let (header, left) = if btree::kind(page, pgno) == PageKind::Interior { (12, 4) } else { (8, 0) };
    let count = u16_at(page, start + 3).filter(|_| holds_payloads).unwrap_or_default();
    let cell = move |number: usize| {
        let cell = page.get(u16_at(page, start + header + 2 * number)? + left..)?;
        let (length, mut at) = varint(cell)?;
        if kind == TABLE_LEAF {
            at += varint(cell.get(at..)?)?.1;
        }
        match local(length, usable, kind == TABLE_LEAF) {
            Some(kept) => {
                let overflow = u32_at(cell, at + kept).filter(|pgno| (2..=commit).contains(pgno));
                Some(BtreeCell { local: cell.get(at..at + kept)?, length, overflow })
            }
            None => {
                let end = at.checked_add(usize::try_from(length).ok()?)?;
                Some(BtreeCell { local: cell.get(at..end)?, length, overflow: None })
            }
        }
    };
    (0..count).map(cell)
}
