//! Snapshots that no Litestream wrote, for tests that need very many or very large ones.

use litestream_vfs::ltx::{Encoder, FileName, Form, Header, IndexEntry, PageSize, Txid, verify};
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

/// Returns the name and the content of a snapshot of transaction 1. `pages` are those from page 1 on, without the lock
/// page.
pub fn snapshot<'a>(page_size: u32, page_count: u32, pages: impl IntoIterator<Item = &'a [u8]>) -> (String, Vec<u8>) {
    let page_size = PageSize::new(page_size).expect("a page size");
    let header =
        Header { timestamp_ms: 1, ..Header::plain(page_size, page_count, FileName { min: Txid(1), max: Txid(1) }) };
    let mut encoder = Encoder::new(header, Form::Block);
    let numbers = (1..=page_count).filter(|pgno| *pgno != page_size.lock_page());
    for (pgno, page) in numbers.zip(pages) {
        encoder.page(pgno, page);
    }
    (FileName { min: Txid(1), max: Txid(1) }.to_string(), encoder.finish())
}

/// Writes a snapshot of transaction 1 of a database with an empty table, which says that it has `page_count` pages of 4 KiB. The index is
/// complete. The frames of all pages but the first are holes in the file, and must not be read.
pub fn write_sparse(path: &Path, page_count: u32) -> io::Result<()> {
    const PAGE_SIZE: u32 = 4096;
    const FRAME_LENGTH: u64 = 2800;
    // Page header, frame of the first page, and the end of the pages.
    let (name, first) = snapshot(PAGE_SIZE, 1, [&*first_page(page_count)]);
    let entry = parse_entry(&first);
    let mut header = first[..Header::SIZE].to_vec();
    header[12..16].copy_from_slice(&page_count.to_be_bytes());
    let mut file = BufWriter::new(File::create(path.join(name))?);
    file.write_all(&header)?;
    file.write_all(&first[Header::SIZE..entry.range().end as usize])?;
    let lock_page = PageSize::new(PAGE_SIZE).expect("a page size").lock_page();
    let others = || (2..=page_count).filter(|pgno| *pgno != lock_page);
    let mut offset = entry.range().end;
    // The header of the page that ends the pages is zeros, which are a part of the hole.
    file.seek(SeekFrom::Start(offset + others().count() as u64 * FRAME_LENGTH + 6))?;
    let mut index_length = 0;
    let mut put = |pgno: u32, offset: u64, length: u64| {
        let mut bytes = Vec::with_capacity(16);
        [u64::from(pgno), offset, length].into_iter().for_each(|number| put_varint(&mut bytes, number));
        index_length += bytes.len() as u64;
        file.write_all(&bytes)
    };
    put(1, entry.offset, u64::from(entry.size))?;
    for pgno in others() {
        put(pgno, offset, FRAME_LENGTH)?;
        offset += FRAME_LENGTH;
    }
    file.write_all(&[0])?;
    // The length of the index, no checksum of the database, and one of the file, which is compared only if every page was read.
    for number in [index_length + 1, 0, 1 << 63] {
        file.write_all(&u64::to_be_bytes(number))?;
    }
    file.flush()
}

/// Returns page 1 of a database with an empty table.
fn first_page(page_count: u32) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.db");
    let conn = rusqlite::Connection::open(&path).expect("a database");
    conn.execute_batch("PRAGMA page_size = 4096; CREATE TABLE empty (x)").expect("a table");
    drop(conn);
    let mut page = std::fs::read(path).expect("a database");
    page.truncate(4096);
    // The table's root is page 2, a hole, so nothing may read it.
    page[28..32].copy_from_slice(&page_count.to_be_bytes());
    page
}

fn parse_entry(file: &[u8]) -> IndexEntry {
    verify(file).expect("a valid file").entries[0]
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
