//! Where the entry of a page can be in the index of a file that contains every page.
//!
//! The length of the whole index and the known entries around another one limit its position, because all but the lengths of the frames is
//! known.

use super::snapshot::{IndexMark, SnapshotIndex};
use super::varint::number_length;
use std::ops::Range;

/// Where the entry of a page can begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryBounds {
    /// The first possible position.
    pub low: u64,
    /// The position if the lengths of frames and numbers are spread evenly.
    pub likely: u64,
    /// The last possible position.
    pub high: u64,
}

impl SnapshotIndex {
    /// Returns where the entry of a rank can begin, between two known entries around it. Returns None if these contradict each other.
    pub fn bounds(&self, before: &IndexMark, after: &IndexMark, rank: u32) -> Option<EntryBounds> {
        if !(before.rank..after.rank).contains(&rank) || before.offset > after.offset {
            return None;
        }
        let counts = (u64::from(rank - before.rank), u64::from(after.rank - rank));
        let numbers = self.page_number_bytes(before.rank..rank);
        let others = after.at.checked_sub(before.at)?.checked_sub(self.page_number_bytes(before.rank..after.rank))?;
        // The offset and the length of a frame together have between so many bytes.
        let least = number_length(before.offset) + 1;
        let most = number_length(after.offset) + number_length(self.max_frame.into());
        let low = (counts.0 * least).max(others.saturating_sub(counts.1 * most));
        let high = (counts.0 * most).min(others.checked_sub(counts.1 * least)?);
        let offsets = |first: u64| offset_bytes(before.offset..after.offset, counts.0 + counts.1, first);
        let lengths = others.saturating_sub(offsets(counts.0 + counts.1));
        let likely = offsets(counts.0) + share(lengths, counts.0, counts.0 + counts.1);
        let position = |others: u64| before.at + numbers + others;
        let likely = likely.max(low).min(high);
        (low <= high).then(|| EntryBounds { low: position(low), likely: position(likely), high: position(high) })
    }

    /// Returns how many bytes the page numbers of some ranks have in the index.
    fn page_number_bytes(&self, ranks: Range<u32>) -> u64 {
        let longer_than = |bytes: u32| {
            let first = 1 << (7 * bytes);
            let first = first - 1 - u32::from(first > self.lock_page());
            u64::from(ranks.end.saturating_sub(ranks.start.max(first)))
        };
        (0..5).map(longer_than).sum()
    }
}

/// Returns how many bytes the first `first` of `count` offsets have in the index, if they are spread evenly over a range.
fn offset_bytes(range: Range<u64>, count: u64, first: u64) -> u64 {
    let longer_than = |bytes: u32| {
        let shorter = (1u64 << (7 * bytes)).saturating_sub(range.start);
        first.saturating_sub(share(count, shorter, (range.end - range.start).max(1)))
    };
    (0..number_length(range.end) as u32).map(longer_than).sum()
}

/// Returns `part` of `of` parts of a number.
fn share(number: u64, part: u64, of: u64) -> u64 {
    (u128::from(number) * u128::from(part) / u128::from(of)) as u64
}
