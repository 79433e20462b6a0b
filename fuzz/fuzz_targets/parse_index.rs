//! Parses arbitrary bytes as the index of a file with a valid header: an error, or entries within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::ltx::{FileName, Header, PageSize, Txid, parse_index};

fuzz_target!(|input: (u64, &[u8])| {
    let header =
        Header::plain(PageSize::new(4096).expect("a page size"), 1 << 20, FileName { min: Txid(2), max: Txid(2) });
    let (index_start, bytes) = input;
    let Ok(entries) = parse_index(bytes, &header, index_start) else { return };
    let mut free = Header::SIZE as u64;
    for entry in entries {
        assert!(entry.offset >= free && entry.range().end < index_start);
        free = entry.range().end;
    }
});
