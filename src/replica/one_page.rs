//! Files of a database of one page, in which every transaction changes it: what tests need whose business is files, not pages.

use crate::ltx::{Encoder, FileName, Form, Header, PageSize, Txid};

/// The name of a transaction's file.
pub(super) fn name(txid: u64) -> FileName {
    FileName { min: Txid(txid), max: Txid(txid) }
}

/// A transaction's file. Each goes on in the WAL where the one before ends.
pub(super) fn file(txid: u64) -> Vec<u8> {
    let header = Header {
        flags: Header::NO_CHECKSUMS,
        page_size: PageSize::new(512).expect("a page size"),
        commit: 1,
        min_txid: Txid(txid),
        max_txid: Txid(txid),
        timestamp_ms: 0,
        pre_apply_checksum: 0,
        wal_offset: 32 + 536 * txid as i64,
        wal_size: 536,
        wal_salt: [1, 1],
        node_id: 0,
    };
    let mut encoder = Encoder::new(header, Form::Block);
    encoder.page(1, &[txid as u8; 512]);
    encoder.finish()
}
