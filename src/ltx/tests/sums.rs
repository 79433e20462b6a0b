//! Verification of files whose pages are read in any order.

use super::*;
use proptest::prelude::*;

/// Encodes a file with these pages.
fn file(pages: &[u32], form: Form) -> Vec<u8> {
    let mut encoder = Encoder::new(header(512, 4000, 2, 3), form);
    pages.iter().for_each(|pgno| encoder.page(*pgno, &[*pgno as u8; 512]));
    encoder.finish()
}

fn outline(file: &[u8]) -> (Outline, Vec<(u32, PageSum)>) {
    let index = index_range(file.len() as u64, file).expect("an index");
    let entries = verify(file).map(|file| file.entries).expect("a valid file");
    let mut reader = OutlineReader::new(file).expect("a header");
    let index = &file[index.start as usize..index.end as usize];
    // In two pieces, as the index of a large file is read.
    let (first, second) = index.split_at(index.len() / 2);
    reader.index(first, &entries);
    reader.index(second, &[]);
    let sum = |entry: &IndexEntry| {
        let frame = &file[entry.offset as usize..entry.range().end as usize];
        (entry.pgno, decode_and_sum(frame, entry.pgno, &mut [0; 512]).expect("a page"))
    };
    (reader.finish(file).expect("a trailer"), entries.iter().map(sum).collect())
}

fn numbers() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::btree_set(1u32..4000, 0..60).prop_map(|pages| pages.into_iter().collect())
}

proptest! {
    #[test]
    fn the_order_of_pages_does_not_matter(
        pages in numbers(),
        blocks: bool,
        keys in prop::collection::vec(any::<u32>(), 60),
        batch in 1usize..9,
        wrong in prop::option::of((any::<prop::sample::Index>(), 0u32..64)),
    ) {
        let file = file(&pages, if blocks { Form::Block } else { Form::Frame });
        let (outline, mut sums) = outline(&file);
        let wrong = wrong.filter(|_| !sums.is_empty());
        if let Some((at, bit)) = wrong {
            let at = at.index(sums.len());
            sums[at].1.crc ^= 1 << bit;
        }
        let mut in_order = PagesInOrder::default();
        sums.iter().for_each(|(_, sum)| in_order.add(*sum));
        prop_assert_eq!(in_order.check(&outline).is_err(), wrong.is_some());
        let mut order: Vec<usize> = (0..sums.len()).collect();
        order.sort_by_key(|at| keys[*at]);
        let shuffled: Vec<(u32, PageSum)> = order.iter().map(|at| sums[*at]).collect();
        let mut file = FileSums::new(outline);
        let mut result = Ok(());
        for (i, batch) in shuffled.chunks(batch).enumerate() {
            prop_assert_eq!(&result, &Ok(()), "before batch {}", i);
            prop_assert!(batch.iter().all(|(pgno, _)| !file.has(*pgno)));
            result = file.add(batch);
            prop_assert!(batch.iter().all(|(pgno, _)| file.has(*pgno)));
        }
        prop_assert_eq!(file.missing(), Some(0));
        prop_assert_eq!(result.is_err(), wrong.is_some());
    }
}

#[test]
fn a_page_that_is_read_again_must_be_the_same() {
    let (outline, sums) = outline(&file(&[1, 2, 3, 7], Form::Block));
    let mut file = FileSums::new(outline);
    assert_eq!(file.add(&sums[..2]), Ok(()));
    assert_eq!(file.add(&sums[1..3]), Ok(()));
    assert_eq!(file.missing(), Some(1));
    let other = PageSum { crc: sums[1].1.crc ^ 1, ..sums[1].1 };
    assert_eq!(file.add(&[(2, other)]), Err(LtxError::PageDiffers(2)));
    assert_eq!(file.add(&sums[3..]), Ok(()));
    // Reading pages again after all were read changes nothing.
    assert_eq!(file.add(&sums), Ok(()));
    assert_eq!(file.add(&[(2, other)]), Err(LtxError::PageDiffers(2)));
    assert!(!file.has(4) && !file.has(8) && !file.has(0));
}

/// No writer mixes both forms of frames. In such a file the number of pages before a page does not determine its offset in the checksum.
#[test]
fn pages_of_different_lengths_are_compared_but_not_summed() {
    let (outline, mut sums) = outline(&file(&[1, 2], Form::Block));
    sums[1].1.length -= 4;
    let mut file = FileSums::new(outline);
    assert_eq!(file.add(&sums), Ok(()));
    assert_eq!(file.missing(), None);
    sums[0].1.crc ^= 1;
    assert_eq!(file.add(&sums), Err(LtxError::PageDiffers(1)));
}

#[test]
fn a_flipped_bit_outside_the_pages_is_detected() {
    let whole = file(&[2, 3], Form::Block);
    let index = index_range(whole.len() as u64, &whole).expect("an index");
    let (_, sums) = outline(&whole);
    let entries = verify(&whole).expect("a valid file").entries;
    let tail = index.start as usize..whole.len();
    for at in (0..Header::SIZE).chain(tail) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        let mut reader = OutlineReader::new(&bytes).expect("a header");
        reader.index(&bytes[index.start as usize..index.end as usize], &entries);
        let outline = reader.finish(&bytes).expect("a trailer");
        let mut file = FileSums::new(outline);
        assert!(matches!(file.add(&sums), Err(LtxError::FileChecksum { .. })), "byte {at}");
    }
}

proptest! {
    /// The index of a file with every page can be added in parts, before, between and after the pages.
    #[test]
    fn the_order_of_pages_and_parts_of_the_index_does_not_matter(
        pages in 1u32..60,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        keys in prop::collection::vec(any::<u32>(), 70),
        wrong in prop::option::of(any::<prop::sample::Index>()),
        whole: bool,
    ) {
        let mut encoder = Encoder::new(header(512, pages, 1, 3), Form::Block);
        (1..=pages).for_each(|pgno| encoder.page(pgno, &[pgno as u8; 512]));
        let bytes = encoder.finish();
        let range = index_range(bytes.len() as u64, &bytes).expect("an index");
        let shape = SnapshotIndex::new(&header(512, pages, 1, 3), &range).expect("a file with every page");
        let mut index = bytes[range.start as usize..range.end as usize].to_vec();
        let (complete, sums) = outline(&bytes);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(index.len())).chain([0, index.len()]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        if let Some(at) = wrong {
            let at = at.index(index.len());
            index[at] ^= 1;
        }
        enum Added {
            Page(usize),
            Index(usize),
        }
        let mut order: Vec<Added> = (0..sums.len()).map(Added::Page).chain((1..cuts.len()).map(Added::Index)).collect();
        order.sort_by_key(|added| match added {
            Added::Page(at) => keys[*at],
            Added::Index(at) => keys[60 + at],
        });
        let outline = Outline::of_snapshot(&bytes, &shape, &bytes).expect("an outline");
        let (mut file, mut result) = (FileSums::new(outline), Ok(()));
        if whole {
            // The parts are ignored then.
            prop_assert_eq!(file.set_index(complete.index()), Ok(()));
        }
        for added in order {
            prop_assert_eq!(&result, &Ok(()));
            result = match added {
                Added::Page(at) => file.add(&sums[at..at + 1]),
                Added::Index(at) => file.add_index(cuts[at - 1] as u64, &index[cuts[at - 1]..cuts[at]]),
            };
        }
        prop_assert!(file.is_complete());
        prop_assert_eq!(result.is_err(), wrong.is_some() && !whole);
    }
}
