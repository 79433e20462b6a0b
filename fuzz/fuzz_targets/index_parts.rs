//! Parses arbitrary bytes as parts of the index of a file that contains every page: an error, or entries in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::ltx::{FileName, Header, PageSize, SnapshotIndex, Txid};

fuzz_target!(|input: (u32, u32, u16, u64, &[u8])| {
    let (commit, before, owned, length, bytes) = input;
    let header =
        Header::plain(PageSize::new(512).expect("a page size"), commit, FileName { min: Txid(1), max: Txid(9) });
    let length = length.max(bytes.len() as u64) % (1 << 40);
    let Some(index) = SnapshotIndex::new(&header, &(1 << 40..(1 << 40) + length)) else { return };

    let start = u64::from(before);
    let _ = index.mark(bytes, start);
    let owned = start..start + u64::from(owned);
    let needed = index.needed(&owned);
    let Ok(part) = index.part(bytes, needed.start, &owned) else { return };
    assert!(part.first.rank <= part.end.rank && part.end.rank <= index.count(), "{part:?}");
    assert!(part.first.offset <= part.end.offset && part.first.at <= part.end.at, "{part:?}");
    let mut free = part.first.offset;
    for rank in part.first.rank..part.end.rank {
        let (offset, size) = part.frame(rank).expect("it is in the part");
        assert_eq!((offset, index.rank(index.pgno(rank))), (free, Some(rank)));
        free = offset + u64::from(size);
    }
    assert_eq!(free, part.end.offset, "{part:?}");
    let [first, end] = index.ends();
    for known in [(&first, &part.first), (&part.end, &end)] {
        for rank in [0, part.first.rank, part.end.rank, index.count() - 1] {
            let _ = index.bounds(known.0, known.1, rank);
        }
    }
});
