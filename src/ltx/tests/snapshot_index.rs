//! Parts of the index of a file with every page.

use super::*;
use crate::ltx::index::encode_index;
use proptest::prelude::*;
use std::ops::Range;

/// An index, and what it contains.
struct Index {
    shape: SnapshotIndex,
    bytes: Vec<u8>,
    /// Each entry, and the end of the index.
    marks: Vec<IndexMark>,
    entries: Vec<IndexEntry>,
}

impl Index {
    /// Encodes the index of a database with pages of 64 KiB whose frames have these sizes.
    fn of(sizes: impl Iterator<Item = u32>) -> Index {
        Index::with_page_size(65536, sizes)
    }

    fn with_page_size(page_size: u32, sizes: impl Iterator<Item = u32>) -> Index {
        let (mut pgno, mut offset, mut entries) = (0, Header::SIZE as u64, Vec::new());
        let lock_page = PageSize::new(page_size).expect("a page size").lock_page();
        for size in sizes {
            pgno += if pgno + 1 == lock_page { 2 } else { 1 };
            entries.push(IndexEntry { pgno, offset, size });
            offset += u64::from(size);
        }
        let mut bytes = Vec::new();
        encode_index(&entries, &mut bytes);
        let start = offset + END_OF_PAGES.len() as u64;
        let range = start..start + bytes.len() as u64;
        let shape = SnapshotIndex::new(&header(page_size, pgno, 1, 9), &range).expect("a file with every page");
        let mut marks = Vec::new();
        let mut at = 0;
        for (rank, entry) in entries.iter().enumerate() {
            marks.push(IndexMark { rank: rank as u32, at, offset: entry.offset });
            let mut one = Vec::new();
            encode_index(&[*entry], &mut one);
            at += one.len() as u64 - 1;
        }
        marks.push(shape.ends()[1]);
        assert_eq!(marks[0], shape.ends()[0]);
        assert_eq!(marks.last(), Some(&IndexMark { rank: entries.len() as u32, at, offset }));
        Index { shape, bytes, marks, entries }
    }

    /// Parses the entries that begin in `owned`, from no more bytes than are needed.
    fn part(&self, owned: Range<u64>) -> Result<IndexPart, LtxError> {
        let needed = self.shape.needed(&owned);
        self.shape.part(&self.bytes[needed.start as usize..needed.end as usize], needed.start, &owned)
    }

    fn first_from(&self, at: u64) -> IndexMark {
        *self.marks.iter().find(|mark| mark.at >= at).unwrap_or(&self.shape.ends()[1])
    }
}

/// Sizes with one to three bytes, in stretches of similar ones.
fn sizes() -> impl Strategy<Value = Vec<u32>> {
    let stretch = (prop_oneof![7u32..120, 100u32..140, 1000u32..9000, 16000u32..65000], 1usize..60);
    prop::collection::vec(stretch, 1..12).prop_map(|stretches| {
        let sizes = stretches.into_iter().flat_map(|(size, count)| (0..count).map(move |n| size + n as u32 % 3));
        sizes.collect()
    })
}

proptest! {
    #[test]
    fn every_part_proves_its_entries(sizes in sizes(), block in 1u64..200) {
        let index = Index::of(sizes.into_iter());
        let mut found = Vec::new();
        for start in (0..index.bytes.len() as u64).step_by(block as usize) {
            let part = index.part(start..start + block);
            let part = part.expect("a part");
            prop_assert_eq!(part.first, index.first_from(start));
            prop_assert_eq!(part.end, index.first_from(start + block));
            for rank in part.first.rank..part.end.rank {
                let (offset, size) = part.frame(rank).expect("an entry of the part");
                found.push(IndexEntry { pgno: index.shape.pgno(rank), offset, size });
            }
            prop_assert_eq!(part.frame(part.end.rank), None);
            prop_assert_eq!(part.first.rank.checked_sub(1).and_then(|rank| part.frame(rank)), None);
        }
        prop_assert_eq!(found, index.entries);
    }

    #[test]
    fn a_mark_is_found_at_any_position(sizes in sizes(), at: prop::sample::Index) {
        let index = Index::of(sizes.into_iter());
        let at = at.index(index.bytes.len());
        let bytes = &index.bytes[at..index.bytes.len().min(at + 128)];
        let end = index.shape.ends()[1];
        match index.shape.mark(bytes, at as u64) {
            Ok(mark) => prop_assert_eq!(mark, index.first_from(at as u64 + 1)),
            // Only the terminating 0 is left.
            Err(_) => prop_assert_eq!(at as u64, end.at),
        }
    }

    /// A part with a flipped bit is rejected, or the bit is in bytes that do not matter.
    #[test]
    fn a_flipped_bit_is_noticed(sizes in sizes(), at: prop::sample::Index, bit in 0u32..8, start: prop::sample::Index, length in 0u64..80) {
        let mut index = Index::of(sizes.into_iter());
        let start = start.index(index.bytes.len()) as u64;
        let right = index.part(start..start + length).expect("a part");
        let at = at.index(index.bytes.len());
        index.bytes[at] ^= 1 << bit;
        if let Ok(part) = index.part(start..start + length) {
            prop_assert_eq!((part.first, part.end), (right.first, right.end));
            for rank in part.first.rank..part.end.rank {
                prop_assert_eq!(part.frame(rank), right.frame(rank));
            }
        }
    }

    #[test]
    fn bounds_contain_the_entry(sizes in sizes(), picks in prop::array::uniform3(any::<prop::sample::Index>())) {
        let index = Index::of(sizes.into_iter());
        let mut ranks = picks.map(|pick| pick.index(index.marks.len()));
        ranks.sort_unstable();
        let [before, rank, after] = ranks.map(|rank| index.marks[rank]);
        if rank.rank < after.rank {
            let bounds = index.shape.bounds(&before, &after, rank.rank).expect("no contradiction");
            prop_assert!(bounds.low <= rank.at && rank.at <= bounds.high, "{:?} for {:?}", bounds, rank);
            prop_assert!(bounds.low <= bounds.likely && bounds.likely <= bounds.high);
        }
    }
}

/// Pages of 4 KiB usually have frames of 128 bytes or more, whose lengths take two bytes each. Then positions are known exactly
/// wherever all offsets have the same length too.
#[test]
fn the_position_of_an_entry_is_exact_if_all_numbers_around_it_have_one_length() {
    let index = Index::with_page_size(4096, (0..40_000).map(|n| 128 + n % 7));
    let [first, second] = [5000, 15000].map(|rank| index.marks[rank]);
    for mark in index.marks[5000..15000].iter().step_by(97) {
        let bounds = index.shape.bounds(&first, &second, mark.rank).expect("no contradiction");
        assert_eq!([bounds.low, bounds.likely, bounds.high], [mark.at; 3]);
    }
    let [first, last] = index.shape.ends();
    for mark in index.marks[..40_000].iter().step_by(997) {
        let bounds = index.shape.bounds(&first, &last, mark.rank).expect("no contradiction");
        assert!(bounds.likely.abs_diff(mark.at) < 100, "{bounds:?} for {mark:?}");
    }
}

#[test]
fn contradictions_are_noticed() {
    let index = Index::of((0..1000).map(|n| 128 + n % 7));
    let (first, later) = (index.marks[0], index.marks[500]);
    for wrong in [
        IndexMark { at: later.at + 2000, ..later },
        IndexMark { at: later.at / 2, ..later },
        IndexMark { at: 0, ..later },
    ] {
        assert_eq!(index.shape.bounds(&first, &wrong, 250), None);
    }
    assert_eq!(index.shape.bounds(&later, &first, 250), None);
}

#[test]
fn only_a_file_with_every_page_has_such_an_index() {
    let range = 1000..2000;
    assert!(SnapshotIndex::new(&header(4096, 9, 1, 1), &range).is_some());
    assert!(SnapshotIndex::new(&header(4096, 9, 2, 2), &range).is_none());
    assert!(SnapshotIndex::new(&header(4096, 0, 1, 1), &range).is_none());
    assert!(SnapshotIndex::new(&header(4096, u32::MAX, 1, 1), &range).is_none());
    let shape = SnapshotIndex::new(&header(65536, 16386, 1, 1), &range).expect("a file with every page");
    assert_eq!(shape.count(), 16385);
    assert_eq!(
        [0, 1, 16384, 16385, 16386, 16387].map(|pgno| shape.rank(pgno)),
        [None, Some(0), Some(16383), None, Some(16384), None]
    );
    assert_eq!([0, 16383, 16384].map(|rank| shape.pgno(rank)), [1, 16384, 16386]);
}

/// An index whose pages are not in order, or whose frames do not follow each other, cannot be read in parts.
#[test]
fn other_indexes_are_rejected() {
    let mut index = Index::of((0..100).map(|n| 128 + n % 7));
    let mut entries = index.entries.clone();
    entries[50].size -= 1;
    index.bytes.clear();
    encode_index(&entries, &mut index.bytes);
    let broken = index.marks[50].at;
    assert_eq!(index.part(broken - 20..broken + 20).err(), Some(LtxError::IndexPart(broken - 20)));
    assert!(index.part(0..broken + 20).is_err());
    assert!(index.part(broken - 100..broken - 80).is_ok());
    let mut entries = index.entries.clone();
    entries.remove(50);
    index.bytes.clear();
    encode_index(&entries, &mut index.bytes);
    assert!(index.part(broken - 20..broken + 20).is_err());
}
