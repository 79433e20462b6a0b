//! The entries of an index that are known.

use crate::ltx::{IndexMark, IndexPart, SnapshotIndex};
use std::collections::{BTreeMap, BTreeSet};

/// What has been read of an index.
#[derive(Default, Debug)]
pub(super) struct KnownBlocks {
    pub blocks: BTreeSet<u64>,
    /// The entries of the known blocks that own any, by the rank of the first.
    pub parts: BTreeMap<u32, IndexPart>,
    /// Entries whose positions are known, by rank: the first and the end of each part, and samples.
    pub marks: BTreeMap<u32, IndexMark>,
}

impl KnownBlocks {
    /// What is known of an index from its shape.
    pub(super) fn of(shape: &SnapshotIndex) -> KnownBlocks {
        let marks = shape.ends().into_iter().map(|mark| (mark.rank, mark)).collect();
        KnownBlocks { marks, ..KnownBlocks::default() }
    }

    /// Returns the known part that contains a rank.
    pub(super) fn part_of(&self, rank: u32) -> Option<&IndexPart> {
        let (_, part) = self.parts.range(..=rank).next_back()?;
        (rank < part.end.rank).then_some(part)
    }

    /// Returns the known entries around a rank: the last one up to it, and the first one after it.
    pub(super) fn around(&self, rank: u32) -> Option<(IndexMark, IndexMark)> {
        let (_, before) = self.marks.range(..=rank).next_back()?;
        let (_, after) = self.marks.range(rank + 1..).next()?;
        Some((*before, *after))
    }

    /// Returns whether an entry is in order with the known ones.
    pub(super) fn agrees_with(&self, mark: &IndexMark) -> bool {
        let before = self.marks.range(..=mark.rank).next_back().map(|(_, mark)| mark);
        let after = self.marks.range(mark.rank + 1..).next().map(|(_, mark)| mark);
        before.is_none_or(|before| {
            *before == *mark || before.rank < mark.rank && before.at < mark.at && before.offset < mark.offset
        }) && after.is_none_or(|after| mark.at < after.at && mark.offset < after.offset)
    }

    pub(super) fn insert(&mut self, part: IndexPart) {
        self.marks.insert(part.first.rank, part.first);
        self.marks.insert(part.end.rank, part.end);
        if part.first.rank < part.end.rank {
            self.parts.insert(part.first.rank, part);
        }
    }
}
