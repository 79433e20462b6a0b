//! Reading a whole file, with and without verification.

use super::checksum::{Checksum, FLAG, with_page};
use super::frame::Frame;
use super::page_header::END_OF_PAGES;
use super::{Header, IndexEntry, LtxError, Trailer, index_range, parse_index};

/// What a file has besides its pages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileParts {
    /// Its header.
    pub header: Header,
    /// Its page index.
    pub entries: Vec<IndexEntry>,
    /// Its trailer.
    pub trailer: Trailer,
}

/// Parses the header, the page index and the trailer of a whole file. Neither reads its pages nor checks its checksums.
pub fn parse(file: &[u8]) -> Result<FileParts, LtxError> {
    parse_parts(file).map(|(parts, _)| parts)
}

/// As [`parse`]. Also returns where the index begins.
fn parse_parts(file: &[u8]) -> Result<(FileParts, usize), LtxError> {
    let header = Header::parse(file)?;
    let index = index_range(file.len() as u64, file)?;
    let entries = parse_index(&file[index.start as usize..index.end as usize], &header, index.start)?;
    let trailer = Trailer::at_end(file)?;
    Ok((FileParts { header, entries, trailer }, index.start as usize))
}

/// Verifies a whole file: its header, every page, that the index matches the pages, and its checksums. Each page of the index can then be
/// decoded.
///
/// A file that starts at transaction 1 must contain every page except the lock page. Only for such a file can the checksum of the database
/// after it be computed.
pub fn verify(file: &[u8]) -> Result<FileParts, LtxError> {
    let (FileParts { header, entries, trailer }, index) = parse_parts(file)?;
    let (pages, tail) = file.split_at(index);
    if header.is_snapshot() {
        check_complete(&header, &entries)?;
    }

    let mut checksum = Checksum::new();
    checksum.update(&file[..Header::SIZE]);
    let database = add_pages(pages, &header, &entries, &mut checksum)?;
    checksum.update(&END_OF_PAGES);
    checksum.update(&tail[..tail.len() - Trailer::SIZE / 2]);
    if trailer.file_checksum != checksum.finish() {
        return Err(LtxError::FileChecksum { stored: trailer.file_checksum, computed: checksum.finish() });
    }
    check_post_apply(&header, &trailer, database)?;
    Ok(FileParts { header, entries, trailer })
}

/// Decodes every page, adds it to the checksum of the file, and returns the checksum of a database of these pages. `bytes` is the part of
/// the file before the index. The frames must follow each other without a gap, from the header to the end mark.
fn add_pages(bytes: &[u8], header: &Header, entries: &[IndexEntry], checksum: &mut Checksum) -> Result<u64, LtxError> {
    let mut page = vec![0; header.page_size.get() as usize];
    let mut database = FLAG;
    let mut position = Header::SIZE;
    for entry in entries {
        let (offset, end) = (entry.offset as usize, entry.range().end as usize);
        if offset != position {
            return Err(LtxError::Gap(position as u64));
        }
        position = end;
        let frame = Frame::parse(&bytes[offset..end], entry.pgno).map_err(|fault| fault.of(entry.pgno))?;
        frame.decode(&mut page).map_err(|fault| fault.of(entry.pgno))?;
        checksum.update(frame.head);
        checksum.update(&page);
        if header.has_checksums() {
            database = with_page(database, entry.pgno, &page);
        }
    }
    if bytes[position..] == END_OF_PAGES { Ok(database) } else { Err(LtxError::Gap(position as u64)) }
}

/// Checks that the pages are 1 to `commit` without the lock page.
fn check_complete(header: &Header, entries: &[IndexEntry]) -> Result<(), LtxError> {
    let lock_page = header.page_size.lock_page();
    let mut found = entries.iter().map(|entry| entry.pgno);
    let mut expected = (1..=header.commit).filter(|pgno| *pgno != lock_page);
    loop {
        match (expected.next(), found.next()) {
            (None, None) => return Ok(()),
            (Some(expected), found) if found == Some(expected) => {}
            (Some(pgno), _) | (None, Some(pgno)) => return Err(LtxError::Incomplete(pgno)),
        }
    }
}

/// Checks the checksum of the database after the file. `database` is the checksum of a database that consists of its pages.
fn check_post_apply(header: &Header, trailer: &Trailer, database: u64) -> Result<(), LtxError> {
    let stored = trailer.post_apply_checksum;
    let is_valid = match (header.has_checksums(), header.is_snapshot()) {
        (false, _) => stored == 0,
        (true, true) => stored == database,
        (true, false) => stored & FLAG != 0,
    };
    if is_valid { Ok(()) } else { Err(LtxError::PostApplyChecksum(stored)) }
}
