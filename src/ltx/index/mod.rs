//! The page index: the position of each page in the file.

mod bounds;
mod snapshot;
mod varint;

pub use bounds::EntryBounds;
pub use snapshot::{IndexMark, IndexPart, SnapshotIndex};

use super::page_header::{END_OF_PAGES, PAGE_HEADER};
use super::{Header, LtxError, Trailer};
use std::ops::Range;
use varint::{put_number, take_number};

/// Length in bytes of the part after the index: the length of the index, and the trailer.
pub(crate) const AFTER_INDEX: usize = 8 + Trailer::SIZE;

/// The position of a page in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexEntry {
    /// Page number, starting at 1.
    pub pgno: u32,
    /// Offset of its frame in the file, in bytes.
    pub offset: u64,
    /// Length of its frame in bytes, including the page header.
    pub size: u32,
}

impl IndexEntry {
    /// Returns the byte range of its frame.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.size)
    }
}

/// The maximum length of an index in bytes: three numbers of ten bytes for each page number, and the terminating 0.
const MAX_LENGTH: u64 = 30 * u32::MAX as u64 + 1;

/// Returns the byte range of the index, including its terminating 0, in a file of `file_size` bytes. `tail` is the end of the file, at
/// least 24 bytes.
///
/// The range is within the file, after the header and the end mark. It may start before `tail`.
pub fn index_range(file_size: u64, tail: &[u8]) -> Result<Range<u64>, LtxError> {
    let length = tail.last_chunk::<AFTER_INDEX>().and_then(|after| after.first_chunk::<8>());
    let length = u64::from_be_bytes(*length.ok_or(LtxError::TooShort(tail.len() as u64))?);
    let others = (Header::SIZE + PAGE_HEADER + AFTER_INDEX) as u64;
    let max_length = file_size.checked_sub(others).ok_or(LtxError::TooShort(file_size))?.min(MAX_LENGTH);
    if length == 0 || length > max_length {
        return Err(LtxError::IndexLength { length, file_size });
    }
    let end = file_size - AFTER_INDEX as u64;
    Ok(end - length..end)
}

/// Parses an index, which starts at byte `index_start` of its file and includes the terminating 0.
///
/// The entries are in ascending order of page numbers and of offsets. Their frames do not overlap and are between the header and the end
/// mark. None is the lock page. A page above `header.commit` is accepted and stays in the result: no writer produces one, Litestream
/// accepts it, and a view never reads it.
///
/// The memory used is proportional to the length of `bytes`, whatever their content.
pub fn parse_index(bytes: &[u8], header: &Header, index_start: u64) -> Result<Vec<IndexEntry>, LtxError> {
    /// Most entries are at least this long, so that the vector rarely has to grow.
    const TYPICAL_LENGTH: usize = 8;
    let mut entries = Vec::with_capacity(bytes.len() / TYPICAL_LENGTH);
    let mut reader = IndexReader::new(header, index_start);
    reader.read(bytes, |entry| entries.push(entry))?;
    reader.finish()?;
    Ok(entries)
}

/// Parses an index in pieces, with the checks of [`parse_index`]. The index of a database of 40 GB has 120 MB.
pub struct IndexReader {
    limits: IndexLimits,
    /// The start of an entry that ends in the next piece.
    partial: Vec<u8>,
    is_terminated: bool,
}

impl IndexReader {
    /// Creates a reader of the index that starts at byte `index_start` of its file.
    pub fn new(header: &Header, index_start: u64) -> IndexReader {
        IndexReader { limits: IndexLimits::new(header, index_start), partial: Vec::new(), is_terminated: false }
    }

    /// Parses the next bytes, and passes each complete entry to `each`.
    pub fn read(&mut self, piece: &[u8], mut each: impl FnMut(IndexEntry)) -> Result<(), LtxError> {
        let joined = (!self.partial.is_empty()).then(|| [&std::mem::take(&mut self.partial), piece].concat());
        let mut rest = joined.as_deref().unwrap_or(piece);
        while !rest.is_empty() {
            if self.is_terminated {
                return Err(LtxError::IndexLeftover(rest.len()));
            }
            let start = rest;
            match self.take_entry(&mut rest) {
                Ok(Some(entry)) => each(entry),
                Ok(None) => self.is_terminated = true,
                Err(LtxError::IndexCut) => {
                    self.partial = start.to_vec();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends the index. Returns an error if its terminating 0 is missing.
    pub fn finish(self) -> Result<(), LtxError> {
        if self.is_terminated { Ok(()) } else { Err(LtxError::IndexCut) }
    }

    /// Takes the next entry from the start of `rest`; None for the terminating 0.
    fn take_entry(&mut self, rest: &mut &[u8]) -> Result<Option<IndexEntry>, LtxError> {
        let pgno = take_number(rest)?;
        if pgno == 0 {
            return Ok(None);
        }
        let (offset, size) = (take_number(rest)?, take_number(rest)?);
        self.limits.check(pgno, offset, size).map(Some)
    }
}

/// Appends the index of `entries`, including its terminating 0.
pub(super) fn encode_index(entries: &[IndexEntry], file: &mut Vec<u8>) {
    for entry in entries {
        put_number(entry.pgno.into(), file);
        put_number(entry.offset, file);
        put_number(entry.size.into(), file);
    }
    put_number(0, file);
}

/// The limits of the next entry.
struct IndexLimits {
    lock_page: u32,
    max_frame: u64,
    /// The previous page, 0 before the first.
    previous: u32,
    /// End of the previous frame, or of the header.
    free: u64,
    /// Offset of the end mark.
    end: u64,
}

impl IndexLimits {
    fn new(header: &Header, index_start: u64) -> IndexLimits {
        IndexLimits {
            lock_page: header.page_size.lock_page(),
            max_frame: header.page_size.max_frame().into(),
            previous: 0,
            free: Header::SIZE as u64,
            end: index_start.saturating_sub(END_OF_PAGES.len() as u64),
        }
    }

    /// Checks an entry, and makes it the previous one.
    fn check(&mut self, pgno: u64, offset: u64, size: u64) -> Result<IndexEntry, LtxError> {
        let pgno = u32::try_from(pgno).map_err(|_| LtxError::IndexNumber)?;
        if pgno <= self.previous {
            return Err(LtxError::IndexOrder { previous: self.previous, pgno });
        }
        if pgno == self.lock_page {
            return Err(LtxError::LockPage(pgno));
        }
        let is_valid_length = size > PAGE_HEADER as u64 && size <= self.max_frame;
        let room = self.end.checked_sub(offset).filter(|_| is_valid_length && offset >= self.free);
        if room.is_none_or(|room| size > room) {
            return Err(LtxError::IndexFrame { pgno, offset, size });
        }
        self.previous = pgno;
        self.free = offset + size;
        Ok(IndexEntry { pgno, offset, size: size as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::tests;

    /// Header of a file with pages of 512 bytes, whose frames have up to 631 bytes and whose lock page is 2097153.
    fn header() -> Header {
        tests::header(512, 9, 2, 2)
    }

    /// Parses an index that starts at byte 1006, so that frames must end at byte 1000 or before.
    fn parsed(entries: &[(u64, u64, u64)]) -> Result<Vec<IndexEntry>, LtxError> {
        let mut bytes = Vec::new();
        for number in entries.iter().flat_map(|(pgno, offset, size)| [pgno, offset, size]) {
            put_number(*number, &mut bytes);
        }
        bytes.push(0);
        parse_index(&bytes, &header(), 1006)
    }

    #[test]
    fn entries_are_in_order_between_header_and_end_mark() {
        let valid = [(1, 100, 7), (2, 107, 631), (9, 800, 200)];
        let entries = parsed(&valid).expect("a valid index");
        assert_eq!(entries[1], IndexEntry { pgno: 2, offset: 107, size: 631 });
        assert_eq!(entries[2].range(), 800..1000);
        assert_eq!(parsed(&[]), Ok(Vec::new()));
    }

    #[test]
    fn impossible_frames_are_rejected() {
        let frame = |pgno, offset, size| Err(LtxError::IndexFrame { pgno, offset, size });
        assert_eq!(parsed(&[(1, 99, 20)]), frame(1, 99, 20));
        assert_eq!(parsed(&[(1, 100, 20), (2, 119, 20)]), frame(2, 119, 20));
        assert_eq!(parsed(&[(1, 200, 20), (2, 100, 20)]), frame(2, 100, 20));
        assert_eq!(parsed(&[(1, 980, 21)]), frame(1, 980, 21));
        assert_eq!(parsed(&[(1, 1001, 20)]), frame(1, 1001, 20));
        assert_eq!(parsed(&[(1, u64::MAX, 20)]), frame(1, u64::MAX, 20));
        assert_eq!(parsed(&[(1, 100, u64::MAX)]), frame(1, 100, u64::MAX));
        assert_eq!(parsed(&[(1, 100, 6)]), frame(1, 100, 6));
        assert_eq!(parsed(&[(1, 100, 632)]), frame(1, 100, 632));
    }

    #[test]
    fn invalid_page_numbers_are_rejected() {
        assert_eq!(parsed(&[(2, 100, 20), (2, 120, 20)]), Err(LtxError::IndexOrder { previous: 2, pgno: 2 }));
        assert_eq!(parsed(&[(2, 100, 20), (1, 120, 20)]), Err(LtxError::IndexOrder { previous: 2, pgno: 1 }));
        assert_eq!(parsed(&[(2_097_153, 100, 20)]), Err(LtxError::LockPage(2_097_153)));
        assert_eq!(parsed(&[(1 << 32, 100, 20)]), Err(LtxError::IndexNumber));
    }

    #[test]
    fn an_index_ends_with_its_terminating_zero() {
        assert_eq!(parse_index(&[], &header(), 1006), Err(LtxError::IndexCut));
        assert_eq!(parse_index(&[1, 100, 20], &header(), 1006), Err(LtxError::IndexCut));
        assert_eq!(parse_index(&[1, 100, 20, 0, 0], &header(), 1006), Err(LtxError::IndexLeftover(1)));
        assert_eq!(parse_index(&[0], &header(), 0), Ok(Vec::new()));
        assert!(parse_index(&[1, 100, 20, 0], &header(), 5).is_err());
    }

    #[test]
    fn the_size_of_the_pieces_does_not_matter() {
        let mut bytes = Vec::new();
        for number in [1, 100, 7, 2, 107, 631, 9, 800, 200, 0] {
            put_number(number, &mut bytes);
        }
        let whole = parse_index(&bytes, &header(), 1006);
        for length in 1..=bytes.len() {
            let (mut reader, mut entries) = (IndexReader::new(&header(), 1006), Vec::new());
            for piece in bytes.chunks(length) {
                reader.read(piece, |entry| entries.push(entry)).expect("a valid piece");
            }
            assert_eq!(reader.finish().map(|()| entries), whole, "pieces of {length} bytes");
        }
        let mut reader = IndexReader::new(&header(), 1006);
        reader.read(&bytes[..bytes.len() - 1], |_| {}).expect("all but the last byte");
        assert_eq!(reader.finish(), Err(LtxError::IndexCut));
        let mut reader = IndexReader::new(&header(), 1006);
        reader.read(&bytes, |_| {}).expect("the whole index");
        assert_eq!(reader.read(&[7], |_| {}), Err(LtxError::IndexLeftover(1)));
    }

    #[test]
    fn the_length_of_the_index_is_checked_against_the_file() {
        let tail = |length: u64| [&length.to_be_bytes()[..], &[0xff; 16]].concat();
        assert_eq!(index_range(1000, &tail(300)), Ok(676..976));
        assert_eq!(index_range(1000, &[&[1, 2, 3][..], &tail(300)].concat()), Ok(676..976));
        assert_eq!(index_range(1000, &tail(870)), Ok(106..976));
        assert_eq!(index_range(131, &tail(1)), Ok(106..107));
        for (file_size, length) in [(1000, 0), (1000, 871), (1000, u64::MAX), (130, 1)] {
            let rejected = Err(LtxError::IndexLength { length, file_size });
            assert_eq!(index_range(file_size, &tail(length)), rejected);
        }
        assert_eq!(index_range(129, &tail(1)), Err(LtxError::TooShort(129)));
        assert_eq!(index_range(1000, &tail(300)[1..]), Err(LtxError::TooShort(23)));
    }
}
