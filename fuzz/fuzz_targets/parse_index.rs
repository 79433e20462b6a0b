//! Parses arbitrary bytes as the index of a file with a valid header: an error, or entries within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::ltx::{Header, PageSize, Txid, parse_index};

fuzz_target!(|input: (u64, &[u8])| {
    let header = Header {
        flags: Header::NO_CHECKSUMS,
        page_size: PageSize::new(4096).expect("a page size"),
        commit: 1 << 20,
        min_txid: Txid(2),
        max_txid: Txid(2),
        timestamp_ms: 0,
        pre_apply_checksum: 0,
        wal_offset: 0,
        wal_size: 0,
        wal_salt: [0, 0],
        node_id: 0,
        previous: 0,
    };
    let (index_start, bytes) = input;
    let Ok(entries) = parse_index(bytes, &header, index_start) else { return };
    let mut free = Header::SIZE as u64;
    for entry in entries {
        assert!(entry.offset >= free && entry.range().end < index_start);
        free = entry.range().end;
    }
});
