//! The page index: where in a file each page lies.

use super::frame::{END_OF_PAGES, PAGE_HEADER};
use super::{Header, LtxError, Trailer};
use std::ops::Range;

/// Length in bytes of what stands behind the index: its length, and the trailer.
const BEHIND: usize = 8 + Trailer::SIZE;

/// Where a page lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexEntry {
    /// The page, from 1 upwards.
    pub pgno: u32,
    /// Where its frame begins, in bytes from the start of the file.
    pub offset: u64,
    /// Length of its frame in bytes, header included.
    pub size: u32,
}

impl IndexEntry {
    /// The bytes of the file that are its frame.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.size)
    }
}

/// Which bytes of a file of `file_size` bytes are its index, with its closing 0. `tail` is the end of the file, 24
/// bytes of it or more.
///
/// The range lies within the file, behind a header and an end mark. It may begin before `tail` does.
pub fn index_range(file_size: u64, tail: &[u8]) -> Result<Range<u64>, LtxError> {
    let length = tail.last_chunk::<BEHIND>().and_then(|behind| behind.first_chunk::<8>());
    let length = u64::from_be_bytes(*length.ok_or(LtxError::TooShort(tail.len() as u64))?);
    let first = (Header::SIZE + PAGE_HEADER) as u64;
    let room = file_size.checked_sub(first + BEHIND as u64).ok_or(LtxError::TooShort(file_size))?;
    if length == 0 || length > room {
        return Err(LtxError::IndexLength { length, file_size });
    }
    let end = file_size - BEHIND as u64;
    Ok(end - length..end)
}

/// Reads an index that begins at byte `index_start` of its file, from its first byte to its closing 0.
///
/// The entries ascend by page and by offset, do not overlap, and lie between the header and the end mark; none is
/// that of the lock page. A page above `header.commit` is not refused and stays among the entries: no writer leaves
/// any, Litestream does not mind, and a view asks for none of them.
///
/// Memory taken is in proportion to `bytes`, whatever stands in them.
pub fn parse_index(bytes: &[u8], header: &Header, index_start: u64) -> Result<Vec<IndexEntry>, LtxError> {
    /// The length of a common entry: most are longer, and memory is not taken twice.
    const COMMON: usize = 8;
    let mut entries = Vec::with_capacity(bytes.len() / COMMON);
    let mut reader = IndexReader::new(header, index_start);
    reader.read(bytes, |entry| entries.push(entry))?;
    reader.finish()?;
    Ok(entries)
}

/// Reads an index in pieces, with the checks of [`parse_index`]: that of a database of 40 GB has 120 MB.
pub struct IndexReader {
    bounds: IndexLimits,
    /// The beginning of an entry whose end comes with the next piece.
    cut: Vec<u8>,
    is_closed: bool,
}

impl IndexReader {
    /// At the first byte of an index, which is byte `index_start` of its file.
    pub fn new(header: &Header, index_start: u64) -> IndexReader {
        IndexReader { bounds: IndexLimits::new(header, index_start), cut: Vec::new(), is_closed: false }
    }

    /// Reads the next bytes, and hands over each entry that is whole by now.
    pub fn read(&mut self, piece: &[u8], mut each: impl FnMut(IndexEntry)) -> Result<(), LtxError> {
        let joined = (!self.cut.is_empty()).then(|| [&std::mem::take(&mut self.cut), piece].concat());
        let mut rest = joined.as_deref().unwrap_or(piece);
        while !rest.is_empty() {
            if self.is_closed {
                return Err(LtxError::IndexLeftover(rest.len()));
            }
            let entry = rest;
            match self.take_entry(&mut rest) {
                Ok(Some(entry)) => each(entry),
                Ok(None) => self.is_closed = true,
                Err(LtxError::IndexCut) => {
                    self.cut = entry.to_vec();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// All was read. An error if its closing 0 did not come.
    pub fn finish(self) -> Result<(), LtxError> {
        if self.is_closed { Ok(()) } else { Err(LtxError::IndexCut) }
    }

    /// The next entry; None for the closing 0.
    fn take_entry(&mut self, rest: &mut &[u8]) -> Result<Option<IndexEntry>, LtxError> {
        let pgno = take_number(rest)?;
        if pgno == 0 {
            return Ok(None);
        }
        let (offset, size) = (take_number(rest)?, take_number(rest)?);
        self.bounds.admit(pgno, offset, size).map(Some)
    }
}

/// Appends the index of `entries`, with its closing 0.
pub(super) fn encode_index(entries: &[IndexEntry], file: &mut Vec<u8>) {
    for entry in entries {
        put_number(entry.pgno.into(), file);
        put_number(entry.offset, file);
        put_number(entry.size.into(), file);
    }
    put_number(0, file);
}

/// What the next entry must keep to.
struct IndexLimits {
    lock_page: u32,
    max_frame: u64,
    /// The page of the entry before, 0 before the first.
    previous: u32,
    /// The end of the frame before, or of the header.
    free: u64,
    /// Where the end mark stands.
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

    fn admit(&mut self, pgno: u64, offset: u64, size: u64) -> Result<IndexEntry, LtxError> {
        let pgno = u32::try_from(pgno).map_err(|_| LtxError::IndexNumber)?;
        if pgno <= self.previous {
            return Err(LtxError::IndexOrder { previous: self.previous, pgno });
        }
        if pgno == self.lock_page {
            return Err(LtxError::LockPage(pgno));
        }
        let is_a_length = size > PAGE_HEADER as u64 && size <= self.max_frame;
        let room = self.end.checked_sub(offset).filter(|_| is_a_length && offset >= self.free);
        if room.is_none_or(|room| size > room) {
            return Err(LtxError::IndexFrame { pgno, offset, size });
        }
        self.previous = pgno;
        self.free = offset + size;
        Ok(IndexEntry { pgno, offset, size: size as u32 })
    }
}

/// Takes an unsigned LEB128 number off the front: seven bits a byte, lowest first, bit 7 set in all but the last.
fn take_number(bytes: &mut &[u8]) -> Result<u64, LtxError> {
    const LAST: u64 = 0x8080_8080_8080_8080;
    if let Some(eight) = bytes.first_chunk() {
        let eight = u64::from_le_bytes(*eight);
        let last = !eight & LAST;
        if last != 0 {
            let number = join_sevens(eight & (last ^ (last - 1)) & !LAST);
            *bytes = &bytes[last.trailing_zeros() as usize / 8 + 1..];
            return Ok(number);
        }
    }
    take_long_number(bytes)
}

/// Moves the seven low bits of each of eight bytes together. One branch for a number instead of one for each of its
/// bytes: indexes of large databases have tens of millions of numbers.
fn join_sevens(bytes: u64) -> u64 {
    let pairs = bytes & 0x007f_007f_007f_007f | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4
}

/// As [`take_number`], for numbers of nine bytes or ten, and for those near the end.
fn take_long_number(bytes: &mut &[u8]) -> Result<u64, LtxError> {
    const LONGEST: usize = 10;
    let mut number = 0;
    for (place, byte) in bytes.iter().take(LONGEST).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            let fits = place + 1 < LONGEST || *byte <= 1;
            *bytes = &bytes[place + 1..];
            return if fits { Ok(number) } else { Err(LtxError::IndexNumber) };
        }
    }
    Err(if bytes.len() < LONGEST { LtxError::IndexCut } else { LtxError::IndexNumber })
}

fn put_number(mut number: u64, file: &mut Vec<u8>) {
    while number >= 0x80 {
        file.push(number as u8 | 0x80);
        number >>= 7;
    }
    file.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::super::tests;
    use super::*;

    /// Of a file with pages of 512 bytes: their frames have up to 631 bytes, their lock page is 2097153.
    fn header() -> Header {
        tests::header(512, 9, 2, 2)
    }

    /// An index with a start at byte 1006, so that frames end at byte 1000.
    fn parsed(entries: &[(u64, u64, u64)]) -> Result<Vec<IndexEntry>, LtxError> {
        let mut bytes = Vec::new();
        for number in entries.iter().flat_map(|(pgno, offset, size)| [pgno, offset, size]) {
            put_number(*number, &mut bytes);
        }
        bytes.push(0);
        parse_index(&bytes, &header(), 1006)
    }

    #[test]
    fn numbers_of_every_length_round_trip() {
        let mut numbers: Vec<u64> = (0..64).flat_map(|bits| [(1 << bits) - 1, 1 << bits]).collect();
        numbers.push(u64::MAX);
        for number in numbers {
            let mut bytes = Vec::new();
            put_number(number, &mut bytes);
            for length in 0..bytes.len() {
                assert_eq!(take_number(&mut &bytes[..length]), Err(LtxError::IndexCut));
            }
            for behind in [&[0xaa][..], &[0xff; 9], &[0; 9]] {
                let bytes = [&bytes, behind].concat();
                let mut rest = &bytes[..];
                assert_eq!((take_number(&mut rest), rest), (Ok(number), behind));
            }
        }
    }

    #[test]
    fn numbers_above_64_bits_are_refused_and_padded_ones_are_not() {
        let beyond = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(take_number(&mut &beyond[..]), Err(LtxError::IndexNumber));
        assert_eq!(take_number(&mut &[0x80; 12][..]), Err(LtxError::IndexNumber));
        assert_eq!(take_number(&mut &[0x85, 0x80, 0x00][..]), Ok(5));
        assert_eq!(take_number(&mut &[0x85, 0x80, 0x00, 9, 9, 9, 9, 9, 9][..]), Ok(5));
    }

    #[test]
    fn entries_lie_in_order_between_header_and_end_mark() {
        let sound = [(1, 100, 7), (2, 107, 631), (9, 800, 200)];
        let entries = parsed(&sound).expect("a sound index");
        assert_eq!(entries[1], IndexEntry { pgno: 2, offset: 107, size: 631 });
        assert_eq!(entries[2].range(), 800..1000);
        assert_eq!(parsed(&[]), Ok(Vec::new()));
    }

    #[test]
    fn entries_out_of_place_are_refused() {
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
    fn pages_out_of_order_or_range_are_refused() {
        assert_eq!(parsed(&[(2, 100, 20), (2, 120, 20)]), Err(LtxError::IndexOrder { previous: 2, pgno: 2 }));
        assert_eq!(parsed(&[(2, 100, 20), (1, 120, 20)]), Err(LtxError::IndexOrder { previous: 2, pgno: 1 }));
        assert_eq!(parsed(&[(2_097_153, 100, 20)]), Err(LtxError::LockPage(2_097_153)));
        assert_eq!(parsed(&[(1 << 32, 100, 20)]), Err(LtxError::IndexNumber));
    }

    #[test]
    fn an_index_ends_with_its_closing_zero() {
        assert_eq!(parse_index(&[], &header(), 1006), Err(LtxError::IndexCut));
        assert_eq!(parse_index(&[1, 100, 20], &header(), 1006), Err(LtxError::IndexCut));
        assert_eq!(parse_index(&[1, 100, 20, 0, 0], &header(), 1006), Err(LtxError::IndexLeftover(1)));
        assert_eq!(parse_index(&[0], &header(), 0), Ok(Vec::new()));
        assert!(parse_index(&[1, 100, 20, 0], &header(), 5).is_err());
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let mut bytes = Vec::new();
        for number in [1, 100, 7, 2, 107, 631, 9, 800, 200, 0] {
            put_number(number, &mut bytes);
        }
        let whole = parse_index(&bytes, &header(), 1006);
        for length in 1..=bytes.len() {
            let (mut reader, mut entries) = (IndexReader::new(&header(), 1006), Vec::new());
            for piece in bytes.chunks(length) {
                reader.read(piece, |entry| entries.push(entry)).expect("a sound piece");
            }
            assert_eq!(reader.finish().map(|()| entries), whole, "pieces of {length} bytes");
        }
        let mut reader = IndexReader::new(&header(), 1006);
        reader.read(&bytes[..bytes.len() - 1], |_| {}).expect("all but the end");
        assert_eq!(reader.finish(), Err(LtxError::IndexCut));
        let mut reader = IndexReader::new(&header(), 1006);
        reader.read(&bytes, |_| {}).expect("all of it");
        assert_eq!(reader.read(&[7], |_| {}), Err(LtxError::IndexLeftover(1)));
    }

    #[test]
    fn the_place_of_the_index_is_checked_against_the_file() {
        let tail = |length: u64| [&length.to_be_bytes()[..], &[0xff; 16]].concat();
        assert_eq!(index_range(1000, &tail(300)), Ok(676..976));
        assert_eq!(index_range(1000, &[&[1, 2, 3][..], &tail(300)].concat()), Ok(676..976));
        assert_eq!(index_range(1000, &tail(870)), Ok(106..976));
        assert_eq!(index_range(131, &tail(1)), Ok(106..107));
        for (file_size, length) in [(1000, 0), (1000, 871), (1000, u64::MAX), (130, 1)] {
            let refused = Err(LtxError::IndexLength { length, file_size });
            assert_eq!(index_range(file_size, &tail(length)), refused);
        }
        assert_eq!(index_range(129, &tail(1)), Err(LtxError::TooShort(129)));
        assert_eq!(index_range(1000, &tail(300)[1..]), Err(LtxError::TooShort(23)));
    }
}
