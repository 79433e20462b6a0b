//! Files of a database of one or two pages, for tests that are about files and not about pages.

use crate::ltx::{Encoder, FileName, Form, Header, Txid};
use crate::replica::testing::header;

/// Returns the name of a transaction's file.
pub(in crate::replica) fn name(txid: u64) -> FileName {
    FileName::of(Txid(txid))
}

/// Returns a transaction's file. In the WAL it begins where the previous one ends.
pub(in crate::replica) fn file(txid: u64) -> Vec<u8> {
    written(txid, txid, 1, 1, 1)
}

/// Returns the file of several compacted transactions.
pub(in crate::replica) fn merged(min: u64, max: u64) -> Vec<u8> {
    written(min, max, 1, 1, 1)
}

/// Returns a transaction's file in another history.
pub(in crate::replica) fn other(txid: u64) -> Vec<u8> {
    written(txid, txid, 1, 1, 2)
}

/// Returns a file of a database of two pages. Only the first transaction writes page 2.
pub(in crate::replica) fn of_two(min: u64, max: u64) -> Vec<u8> {
    written(min, max, 2, if min == 1 { 2 } else { 1 }, 1)
}

/// Returns a file that contains the first `pages` pages of a database of `commit` pages.
pub(in crate::replica) fn written(min: u64, max: u64, commit: u32, pages: u32, history: u32) -> Vec<u8> {
    let is_from_wal = min == max;
    let header = Header {
        wal_offset: if is_from_wal { 32 + 536 * max as i64 } else { 0 },
        wal_size: if is_from_wal { 536 } else { 0 },
        wal_salt: if is_from_wal { [history, 1] } else { [0, 0] },
        ..header(512, commit, Txid(min), Txid(max))
    };
    let mut encoder = Encoder::new(header, Form::Block);
    (1..=pages).for_each(|pgno| encoder.page(pgno, &[(max + 100 * u64::from(history)) as u8; 512]));
    encoder.finish()
}
