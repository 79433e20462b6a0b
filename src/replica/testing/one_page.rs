//! Files of a database of one page or two: what tests need whose business is files, not pages.

use crate::ltx::{Encoder, FileName, Form, Header, PageSize, Txid};

/// The name of a transaction's file.
pub(in crate::replica) fn name(txid: u64) -> FileName {
    FileName { min: Txid(txid), max: Txid(txid) }
}

/// A transaction's file. Each goes on in the WAL where the one before ends.
pub(in crate::replica) fn file(txid: u64) -> Vec<u8> {
    written(txid, txid, 1, 1, 1)
}

/// The file of transactions that were merged.
pub(in crate::replica) fn merged(min: u64, max: u64) -> Vec<u8> {
    written(min, max, 1, 1, 1)
}

/// A transaction's file in another history.
pub(in crate::replica) fn other(txid: u64) -> Vec<u8> {
    written(txid, txid, 1, 1, 2)
}

/// A file of a database of two pages, of which only the first transaction writes the second.
pub(in crate::replica) fn of_two(min: u64, max: u64) -> Vec<u8> {
    written(min, max, 2, if min == 1 { 2 } else { 1 }, 1)
}

/// A file that holds the first pages of a database.
pub(in crate::replica) fn written(min: u64, max: u64, commit: u32, pages: u32, history: u32) -> Vec<u8> {
    let is_of_wal = min == max;
    let header = Header {
        flags: Header::NO_CHECKSUMS,
        page_size: PageSize::new(512).expect("a page size"),
        commit,
        min_txid: Txid(min),
        max_txid: Txid(max),
        timestamp_ms: 0,
        pre_apply_checksum: 0,
        wal_offset: if is_of_wal { 32 + 536 * max as i64 } else { 0 },
        wal_size: if is_of_wal { 536 } else { 0 },
        wal_salt: if is_of_wal { [history, 1] } else { [0, 0] },
        node_id: 0,
    };
    let mut encoder = Encoder::new(header, Form::Block);
    (1..=pages).for_each(|pgno| encoder.page(pgno, &[(max + 100 * u64::from(history)) as u8; 512]));
    encoder.finish()
}
