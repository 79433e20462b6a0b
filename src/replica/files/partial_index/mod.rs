//! The index of a large file that contains every page, as far as it has been read.
//!
//! The index is divided into *blocks* of equal length. A block owns the entries that begin in it. It is read with a few
//! bytes before and after it, and proves its own alignment ([`SnapshotIndex::part`]). The entries that are known limit in
//! which blocks the entry of another page can be, so usually the first block that is read is the right one. It cannot be
//! a wrong one without this being noticed, because entries contain their page numbers.
//!
//! | module | contents |
//! |---|---|
//! | `known_blocks` | the entries of the blocks that have been read, and of samples |

mod known_blocks;

use crate::lock::RwLock;
use crate::ltx::{IndexEntry, IndexPart, LtxError, SnapshotIndex};
use crate::process::PerProcess;
use known_blocks::KnownBlocks;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// The known part of an index. All views that refer to the file share it.
#[derive(Debug)]
pub(in crate::replica) struct PartialIndex {
    shape: SnapshotIndex,
    /// Offset of the index in the file.
    start: u64,
    block_size: u64,
    /// The child of a fork reads them again, because another thread of its parent may hold the lock.
    known: PerProcess<RwLock<KnownBlocks>>,
    /// Set if a part of the index did not prove its alignment: the whole index must be read.
    is_distrusted: AtomicBool,
}

/// Bytes of the index that have become known, for its checksum.
pub(in crate::replica) struct KnownBytes {
    /// Their position in the index.
    pub at: u64,
    pub range: Range<usize>,
}

/// How many bytes a sample has. It contains several entries.
const SAMPLE: u64 = 128;

/// How many blocks are read at least before an uncertain position is approached in several steps.
const CERTAIN_BLOCKS: u64 = 6;

impl PartialIndex {
    /// Creates an index that begins at `start` in its file and of which nothing is known but its shape.
    pub(in crate::replica) fn new(shape: SnapshotIndex, start: u64, block_size: u64) -> PartialIndex {
        let known = PerProcess::with(RwLock::new(KnownBlocks::of(&shape)));
        PartialIndex { shape, start, block_size, known, is_distrusted: AtomicBool::new(false) }
    }

    fn known(&self) -> &RwLock<KnownBlocks> {
        self.known.get_or_init(|| RwLock::new(KnownBlocks::of(&self.shape)))
    }

    pub(in crate::replica) fn shape(&self) -> &SnapshotIndex {
        &self.shape
    }

    /// Returns whether the index can be read in parts.
    pub(in crate::replica) fn is_trusted(&self) -> bool {
        !self.is_distrusted.load(Ordering::Relaxed)
    }

    /// Records that the index cannot be read in parts.
    pub(in crate::replica) fn distrust(&self) {
        self.is_distrusted.store(true, Ordering::Relaxed);
    }

    /// Returns the offset and the length of a page's frame. None if its entry has not been read.
    pub(in crate::replica) fn frame(&self, pgno: u32) -> Option<(u64, u32)> {
        let rank = self.shape.rank(pgno)?;
        self.known().read().part_of(rank)?.frame(rank)
    }

    /// Returns the length of a page's frame, or the mean length of the frames around it if its entry has not been read.
    pub(in crate::replica) fn frame_size(&self, pgno: u32) -> Option<u32> {
        let rank = self.shape.rank(pgno)?;
        let known = self.known().read();
        if let Some((_, size)) = known.part_of(rank).and_then(|part| part.frame(rank)) {
            return Some(size);
        }
        let (before, after) = known.around(rank)?;
        let bytes = after.offset.saturating_sub(before.offset);
        Some((bytes / u64::from(after.rank - before.rank)).clamp(1, u32::MAX.into()) as u32)
    }

    /// Returns the known entries whose frames are within some bytes of the file.
    pub(in crate::replica) fn entries_in(&self, bytes: &Range<u64>) -> Vec<IndexEntry> {
        let known = self.known().read();
        let overlaps = |part: &&IndexPart| part.first.offset < bytes.end && bytes.start < part.end.offset;
        let parts = known.parts.values().filter(overlaps);
        let entries = parts.flat_map(|part| {
            let entry =
                |rank| part.frame(rank).map(|(offset, size)| IndexEntry { pgno: self.shape.pgno(rank), offset, size });
            (part.first.rank..part.end.rank).filter_map(entry)
        });
        entries.filter(|entry| bytes.start <= entry.offset && entry.range().end <= bytes.end).collect()
    }

    /// Returns the unknown blocks in which the entry of a page is looked for, most likely all in which it can be. Empty if
    /// the entry is known. With each `attempt` there are more of them.
    ///
    /// Returns None if what is known of the index is contradictory.
    pub(in crate::replica) fn wanted(&self, pgno: u32, attempt: u32) -> Option<Vec<u64>> {
        let rank = self.shape.rank(pgno)?;
        let known = self.known().read();
        if known.part_of(rank).is_some() {
            return Some(Vec::new());
        }
        let (before, after) = known.around(rank)?;
        let bounds = self.shape.bounds(&before, &after, rank)?;
        let (first, last) = (self.block_at(bounds.low), self.block_at(bounds.high));
        let more = 1 << attempt.min(10);
        let (from, to) = if last - first < CERTAIN_BLOCKS * more {
            (first, last)
        } else {
            let likely = self.block_at(bounds.likely);
            (likely.saturating_sub(more).max(first), likely.saturating_add(more).min(last))
        };
        let unknown = |range: Range<u64>| range.filter(|block| !known.blocks.contains(block)).collect::<Vec<_>>();
        let wanted = unknown(from..to + 1);
        Some(if wanted.is_empty() { unknown(first..last + 1) } else { wanted })
    }

    /// Returns the unknown blocks between the entry of a page, which must be known, and that of another page.
    pub(in crate::replica) fn unknown_between(&self, pgno: u32, other: u32) -> Vec<u64> {
        let block_of = |rank: u32, known: &KnownBlocks| {
            if let Some(part) = known.part_of(rank) {
                return Some(self.block_at(part.first.at));
            }
            let (before, after) = known.around(rank)?;
            Some(self.block_at(self.shape.bounds(&before, &after, rank)?.likely))
        };
        let known = self.known().read();
        let blocks = [pgno, other].map(|pgno| block_of(self.shape.rank(pgno)?, &known));
        let [Some(one), Some(other)] = blocks else { return Vec::new() };
        let between = one.min(other)..one.max(other) + 1;
        between.filter(|block| !known.blocks.contains(block)).collect()
    }

    fn block_at(&self, position: u64) -> u64 {
        position / self.block_size
    }

    fn owned(&self, blocks: Range<u64>) -> Range<u64> {
        blocks.start * self.block_size..blocks.end.saturating_mul(self.block_size)
    }

    /// Returns the bytes of the file that must be read to know some blocks.
    pub(in crate::replica) fn bytes_of(&self, blocks: Range<u64>) -> Range<u64> {
        let needed = self.shape.needed(&self.owned(blocks));
        self.start + needed.start..self.start + needed.end
    }

    /// Returns the first and the last block, if they are unknown.
    pub(in crate::replica) fn unknown_ends(&self) -> Vec<u64> {
        let known = self.known().read();
        let mut ends = vec![0, self.block_at(self.shape.length() - 1)];
        ends.dedup();
        ends.retain(|block| !known.blocks.contains(block));
        ends
    }

    /// Returns the blocks that can be parsed from the bytes `range` of the file.
    pub(in crate::replica) fn blocks_in(&self, range: Range<u64>) -> Range<u64> {
        let end = self.shape.length().div_ceil(self.block_size);
        let blocks = (0..end).rev().take_while(|block| self.bytes_of(*block..*block + 1).start >= range.start);
        let first = blocks.last().unwrap_or(end);
        if self.start + self.shape.length() <= range.end { first..end } else { end..end }
    }

    /// Adds blocks. `bytes` are those of the file from `offset` on, and contain the bytes that
    /// [`PartialIndex::bytes_of`] returns. Returns which bytes of the index were not known before.
    ///
    /// Returns an error if the bytes do not prove to be those entries.
    pub(in crate::replica) fn add(
        &self,
        blocks: Range<u64>,
        bytes: &[u8],
        offset: u64,
    ) -> Result<Vec<KnownBytes>, LtxError> {
        let mut added = Vec::new();
        for block in blocks {
            let owned = self.owned(block..block + 1);
            let (needed, last) = (self.shape.needed(&owned), self.shape.length() - 1);
            let in_bytes = |position: u64| (self.start + position).saturating_sub(offset) as usize;
            let unproven = LtxError::IndexPart(owned.start);
            let bytes = bytes.get(in_bytes(needed.start)..in_bytes(needed.end)).ok_or(unproven.clone())?;
            let part = self.shape.part(bytes, needed.start, &owned)?;
            // The terminating 0 belongs to the block that contains it.
            let end = if owned.contains(&last) { last + 1 } else { part.end.at };
            let known = KnownBytes { at: part.first.at, range: in_bytes(part.first.at)..in_bytes(end) };
            let mut state = self.known().write();
            if !state.agrees_with(&part.first) || !state.agrees_with(&part.end) {
                return Err(unproven);
            }
            if state.blocks.insert(block) {
                state.insert(part);
                added.push(known);
            }
        }
        Ok(added)
    }

    /// Returns the bytes of the file to read for samples, one for each `distance` bytes of the index.
    pub(in crate::replica) fn samples(&self, distance: u64) -> Vec<Range<u64>> {
        let count = self.shape.length() / distance.max(1);
        let positions = (1..=count).map(|sample| self.shape.length() * sample / (count + 1));
        positions.map(|at| self.start + at..self.start + (at + SAMPLE).min(self.shape.length())).collect()
    }

    /// Adds a sample that was read from `offset` on.
    pub(in crate::replica) fn add_sample(&self, bytes: &[u8], offset: u64) -> Result<(), LtxError> {
        let at = offset.saturating_sub(self.start);
        let mark = self.shape.mark(bytes, at)?;
        let mut known = self.known().write();
        if !known.agrees_with(&mark) {
            return Err(LtxError::IndexPart(at));
        }
        known.marks.insert(mark.rank, mark);
        Ok(())
    }
}
