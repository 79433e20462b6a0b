//! Snapshots that no Litestream wrote, for tests that need very many or very large ones.

use litestream_vfs::ltx::{Encoder, FileName, Form, Header, PageSize, Txid};

/// Returns the name and the content of a snapshot of transaction 1. `pages` are those from page 1 on, without the lock
/// page.
pub fn snapshot<'a>(page_size: u32, page_count: u32, pages: impl IntoIterator<Item = &'a [u8]>) -> (String, Vec<u8>) {
    let page_size = PageSize::new(page_size).expect("a page size");
    let header = Header {
        flags: Header::NO_CHECKSUMS,
        page_size,
        commit: page_count,
        min_txid: Txid(1),
        max_txid: Txid(1),
        timestamp_ms: 1,
        pre_apply_checksum: 0,
        wal_offset: 0,
        wal_size: 0,
        wal_salt: [0, 0],
        node_id: 0,
        previous: 0,
    };
    let mut encoder = Encoder::new(header, Form::Block);
    let numbers = (1..=page_count).filter(|pgno| *pgno != page_size.lock_page());
    for (pgno, page) in numbers.zip(pages) {
        encoder.page(pgno, page);
    }
    (FileName { min: Txid(1), max: Txid(1) }.to_string(), encoder.finish())
}
