//! Parses arbitrary bytes as the index of a file with a valid header, as a whole and in pieces: the same error, or the same entries within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::ltx::{FileName, Header, IndexReader, PageSize, Txid, parse_index};

fuzz_target!(|input: (u64, u8, &[u8])| {
    let header = Header::plain(PageSize::new(4096).expect("a page size"), 1 << 20, FileName::of(Txid(2)));
    let (index_start, piece, bytes) = input;
    let whole = parse_index(bytes, &header, index_start);

    let (mut reader, mut entries) = (IndexReader::new(&header, index_start), Vec::new());
    let mut pieces = bytes.chunks(usize::from(piece).max(1));
    let read =
        pieces.try_for_each(|piece| reader.read(piece, |entry| entries.push(entry))).and_then(|()| reader.finish());
    assert_eq!(whole.is_ok(), read.is_ok(), "{whole:?} {read:?}");

    let Ok(whole) = whole else { return };
    assert_eq!(whole, entries);
    let mut free = Header::SIZE as u64;
    for entry in whole {
        assert!(entry.offset >= free && entry.range().end < index_start);
        free = entry.range().end;
    }
});
