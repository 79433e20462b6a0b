//! Parts of the index of a file that contains every page, each parsed without the others.
//!
//! In such an index, page numbers go up by one (but for the lock page), and each frame begins where the previous one ends. Therefore a part
//! proves its own alignment: read from another position, the numbers cannot be in such an order.
//!
//! Pages are counted by their *rank*: their position in the sequence of pages, from 0.

use super::varint::{put_number, take_number};
use crate::ltx::page_header::{END_OF_PAGES, PAGE_HEADER};
use crate::ltx::{Header, LtxError};
use std::ops::Range;

/// How many bytes must follow a part to prove it: an entry has at most 14 bytes in the shortest form of its numbers.
const LOOKAHEAD: u64 = 64;

/// What is known of an index before any of its entries are read.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotIndex {
    lock_page: u32,
    pub(super) max_frame: u32,
    /// The number of pages.
    count: u32,
    /// The length of the index with its terminating 0.
    length: u64,
    /// The offset of the end mark in the file.
    end: u64,
}

/// The beginning of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexMark {
    /// The rank of its page. At the end of the index: the number of pages.
    pub rank: u32,
    /// Its position in the index.
    pub at: u64,
    /// The offset of the page's frame in the file. At the end of the index: the offset of the end mark.
    pub offset: u64,
}

/// Some entries that follow each other.
#[derive(Debug)]
pub struct IndexPart {
    /// The first of them.
    pub first: IndexMark,
    /// The entry after the last of them.
    pub end: IndexMark,
    /// The end of each frame, relative to the beginning of the first.
    ends: Vec<u32>,
}

impl SnapshotIndex {
    /// Returns the index at the bytes `range` of a file. Returns None if the file need not contain every page.
    pub fn new(header: &Header, range: &Range<u64>) -> Option<SnapshotIndex> {
        let lock_page = header.page_size.lock_page();
        let count = header.commit - u32::from(lock_page <= header.commit);
        let is_usable = header.is_snapshot() && count > 0 && header.commit < u32::MAX;
        is_usable.then(|| SnapshotIndex {
            lock_page,
            max_frame: header.page_size.max_frame(),
            count,
            length: range.end - range.start,
            end: range.start.saturating_sub(END_OF_PAGES.len() as u64),
        })
    }

    /// Returns the number of pages.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns the length of the index with its terminating 0.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the page that the index does not contain although its number is in between.
    pub(in crate::ltx) fn lock_page(&self) -> u32 {
        self.lock_page
    }

    /// Returns the rank of a page. None if the file does not contain it.
    pub fn rank(&self, pgno: u32) -> Option<u32> {
        let rank = pgno.checked_sub(1 + u32::from(pgno > self.lock_page))?;
        (rank < self.count && pgno != self.lock_page).then_some(rank)
    }

    /// Returns the page of a rank.
    pub fn pgno(&self, rank: u32) -> u32 {
        rank + 1 + u32::from(rank + 1 >= self.lock_page)
    }

    /// Returns the beginning and the end of the index.
    pub fn ends(&self) -> [IndexMark; 2] {
        let (first, last) = (Header::SIZE as u64, self.length.saturating_sub(1));
        [IndexMark { rank: 0, at: 0, offset: first }, IndexMark { rank: self.count, at: last, offset: self.end }]
    }

    /// Returns which bytes of the index must be read to parse the entries that begin in `owned`.
    pub fn needed(&self, owned: &Range<u64>) -> Range<u64> {
        owned.start.saturating_sub(1)..owned.end.saturating_add(LOOKAHEAD).min(self.length)
    }

    /// Parses the entries that begin in `owned`. `bytes` are the bytes of the index from position `at` on, and contain those that
    /// [`SnapshotIndex::needed`] returns.
    ///
    /// Returns an error if the bytes are not such entries in any alignment.
    pub fn part(&self, bytes: &[u8], at: u64, owned: &Range<u64>) -> Result<IndexPart, LtxError> {
        let unproven = LtxError::IndexPart(owned.start);
        if owned.start == 0 && at == 0 {
            return self.chain(bytes, 0, owned.end).ok_or(unproven);
        }
        let before = owned.start.checked_sub(at + 1).and_then(|before| usize::try_from(before).ok());
        let Some(before) = before.filter(|before| *before <= bytes.len()) else { return Err(unproven) };
        // The part may begin within a number. After its end there are three possible alignments.
        let mut starts = number_ends(bytes, before).take(3);
        let aligned = |start: usize| {
            let part = self.chain(&bytes[start..], at + start as u64, owned.end)?;
            self.precedes(&bytes[before..start], part.first).then_some(part)
        };
        starts.find_map(aligned).ok_or(unproven)
    }

    /// Parses the first entry after position `at`. `bytes` are the bytes of the index from there on.
    pub fn mark(&self, bytes: &[u8], at: u64) -> Result<IndexMark, LtxError> {
        self.part(bytes, at, &(at + 1..at + 1)).map(|part| part.end)
    }

    /// Parses entries from position `at` on, as long as they begin before `end`. Returns None if the bytes do not prove that an entry
    /// begins there: neither by two entries in order, nor by the end of the index.
    fn chain(&self, bytes: &[u8], at: u64, end: u64) -> Option<IndexPart> {
        let [start, last] = self.ends();
        let mut next = (at == 0).then_some(start);
        let (mut first, mut after, mut ends, mut proof) = (None, None, Vec::new(), 0);
        let mut rest = bytes;
        loop {
            let position = at + (bytes.len() - rest.len()) as u64;
            if position == last.at && rest.first() == Some(&0) {
                if next.is_some_and(|next| next != last) {
                    return None;
                }
                after = after.or(Some(last));
                proof = 2;
                break;
            }
            let Ok((pgno, offset, size)) = take_entry(&mut rest) else { break };
            let found = IndexMark { rank: self.rank(u32::try_from(pgno).ok()?)?, at: position, offset };
            if next.is_some_and(|next| next != found) {
                return None;
            }
            next = Some(self.after(found, size, at + (bytes.len() - rest.len()) as u64)?);
            proof += 1;
            if position < end {
                let first: &mut IndexMark = first.get_or_insert(found);
                ends.push(u32::try_from(found.offset + size - first.offset).ok()?);
            } else if after.replace(after.unwrap_or(found)).is_some() {
                break;
            }
        }
        let end = after.filter(|_| proof >= 2)?;
        Some(IndexPart { first: first.unwrap_or(end), end, ends })
    }

    /// Returns whether `bytes` can be the end of the entry before `first`. Their first number may be incomplete.
    ///
    /// Without this, a wrong byte in an entry could make it look like the end of the entry before, so that it would be passed over.
    fn precedes(&self, bytes: &[u8], first: IndexMark) -> bool {
        let Some(start) = number_ends(bytes, 0).next() else { return false };
        let (incomplete, mut rest) = bytes.split_at(start);
        let numbers: Vec<u64> = std::iter::from_fn(|| take_number(&mut rest).ok()).collect();
        let is_end_of = |number: u64| {
            let mut encoded = Vec::new();
            put_number(number, &mut encoded);
            encoded.ends_with(incomplete)
        };
        match numbers[..] {
            [frame, size] => {
                let pgno = first.rank.checked_sub(1).map(|rank| self.pgno(rank));
                frame.checked_add(size) == Some(first.offset) && pgno.is_some_and(|pgno| is_end_of(pgno.into()))
            }
            [size] => first.offset.checked_sub(size).is_some_and(is_end_of),
            _ => true,
        }
    }

    /// Returns the entry that must follow another. None if the frame of that one is impossible.
    fn after(&self, entry: IndexMark, size: u64, at: u64) -> Option<IndexMark> {
        let is_valid_length = size > PAGE_HEADER as u64 && size <= self.max_frame.into();
        let offset = entry.offset.checked_add(size).filter(|end| is_valid_length && *end <= self.end)?;
        (entry.offset >= Header::SIZE as u64).then_some(IndexMark { rank: entry.rank + 1, at, offset })
    }
}

impl IndexPart {
    /// Returns the offset and the length of the frame of a rank. None if the part does not contain it.
    pub fn frame(&self, rank: u32) -> Option<(u64, u32)> {
        let position = rank.checked_sub(self.first.rank)? as usize;
        let end = *self.ends.get(position)?;
        let start = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some((self.first.offset + u64::from(start), end - start))
    }
}

/// Returns the positions behind the last byte of each number from position `from` on.
fn number_ends(bytes: &[u8], from: usize) -> impl Iterator<Item = usize> {
    let numbers = bytes.iter().enumerate().skip(from).filter(|(_, byte)| **byte < 0x80);
    numbers.map(|(last, _)| last + 1)
}

fn take_entry(bytes: &mut &[u8]) -> Result<(u64, u64, u64), LtxError> {
    Ok((take_number(bytes)?, take_number(bytes)?, take_number(bytes)?))
}
