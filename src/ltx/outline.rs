//! What the checksum of a file covers except its pages, and the order of the pages.

use super::checksum::{Checksum, CrcShift, FLAG};
use super::index::AFTER_INDEX;
use super::page_header::END_OF_PAGES;
use super::{Header, IndexEntry, LtxError, SnapshotIndex, Trailer};

/// The position of each page in the sequence of pages of a file, as runs of consecutive page numbers.
#[derive(Debug, Default)]
pub(super) struct Positions {
    /// The first page of each run, and its position.
    runs: Vec<(u32, u32)>,
    last: u32,
    pub(super) count: u32,
}

/// The maximum number of runs, which limits the memory. Files with more runs have several gigabytes and are not verified.
const MAX_RUNS: usize = 1 << 18;

impl Positions {
    /// Returns the positions in a file that contains every page.
    fn of_snapshot(index: &SnapshotIndex) -> Positions {
        let (last, lock_page) = (index.pgno(index.count() - 1), index.lock_page());
        let after_lock_page = (lock_page < last).then_some((lock_page + 1, lock_page - 1));
        let runs = [(1, 0)].into_iter().chain(after_lock_page).collect();
        Positions { runs, last, count: index.count() }
    }

    fn push(&mut self, pgno: u32) {
        let continues = self.count > 0 && pgno == self.last.wrapping_add(1);
        if !continues && self.runs.len() <= MAX_RUNS {
            self.runs.push((pgno, self.count));
        }
        (self.last, self.count) = (pgno, self.count + 1);
    }

    pub(super) fn of(&self, pgno: u32) -> Option<u32> {
        let run = self.runs.partition_point(|(first, _)| *first <= pgno).checked_sub(1)?;
        let (first, position) = self.runs[run];
        let end = self.runs.get(run + 1).map_or(self.count, |(_, next)| *next);
        Some(position + (pgno - first)).filter(|position| *position < end)
    }

    pub(super) fn are_known(&self) -> bool {
        self.runs.len() <= MAX_RUNS
    }
}

/// Everything that the checksum of a file covers except its pages, and the position of each page.
#[derive(Debug)]
pub struct Outline {
    /// CRC of the header.
    header: u64,
    pub(super) index: IndexSum,
    /// CRC of what follows the index, up to the checksum.
    after_index: u64,
    /// The checksum in the trailer.
    stored: u64,
    pub(super) positions: Positions,
}

/// The length of what follows the index, up to the checksum.
const AFTER_INDEX_SUMMED: usize = AFTER_INDEX - 8;

/// The CRC of the end mark and the index, of which some parts may not have been read yet.
#[derive(Clone, Copy, Debug)]
pub struct IndexSum {
    /// The CRC, in which bytes that were not read yet count as 0.
    crc: u64,
    /// The length of the end mark and the index.
    pub(super) length: u64,
    pub(super) missing: u64,
}

impl IndexSum {
    /// Starts the sum of an index of `length` bytes of which none was read.
    fn unread(length: u64) -> IndexSum {
        let mark = IndexSum { crc: 0, length: length + END_OF_PAGES.len() as u64, missing: length };
        IndexSum { crc: CrcShift::by(length).apply(crc(&END_OF_PAGES)), ..mark }
    }

    /// Adds bytes that begin at a position in the index and were not added before.
    pub(super) fn add(&mut self, at: u64, bytes: &[u8]) {
        let after = self.length - END_OF_PAGES.len() as u64 - at - bytes.len() as u64;
        self.crc ^= CrcShift::by(after).apply(crc(bytes));
        self.missing -= bytes.len() as u64;
    }
}

fn crc(bytes: &[u8]) -> u64 {
    let mut checksum = Checksum::new();
    checksum.update(bytes);
    checksum.crc()
}

impl Outline {
    /// Creates the outline of a file that contains every page, before its index is read. `head` and `tail` are the start and the end of
    /// the file.
    pub fn of_snapshot(head: &[u8], index: &SnapshotIndex, tail: &[u8]) -> Result<Outline, LtxError> {
        let header = head.get(..Header::SIZE).ok_or(LtxError::TooShort(head.len() as u64))?;
        Outline::new(crc(header), IndexSum::unread(index.length()), tail, Positions::of_snapshot(index))
    }

    fn new(header: u64, index: IndexSum, tail: &[u8], positions: Positions) -> Result<Outline, LtxError> {
        let tail = tail.last_chunk::<AFTER_INDEX>().ok_or(LtxError::TooShort(tail.len() as u64))?;
        let (covered, trailer) = (&tail[..AFTER_INDEX_SUMMED], Trailer::parse(&tail[8..])?);
        Ok(Outline { header, index, after_index: crc(covered), stored: trailer.file_checksum, positions })
    }

    /// Returns the sum of the index.
    pub fn index(&self) -> IndexSum {
        self.index
    }

    /// Checks the file, given the CRC of all its pages and the number of bytes it covers.
    pub(super) fn check(&self, pages: u64, length: u64) -> Result<(), LtxError> {
        let after_pages = CrcShift::by(AFTER_INDEX_SUMMED as u64).apply(self.index.crc) ^ self.after_index;
        let rest = self.index.length + AFTER_INDEX_SUMMED as u64;
        let after_header = CrcShift::by(rest).apply(pages) ^ after_pages;
        let computed = (CrcShift::by(length + rest).apply(self.header) ^ after_header) | FLAG;
        if computed == self.stored { Ok(()) } else { Err(LtxError::FileChecksum { stored: self.stored, computed }) }
    }
}

/// Builds an [`Outline`] from the header, the index and the trailer of a file, in this order.
#[derive(Debug)]
pub struct OutlineReader {
    header: u64,
    index: Checksum,
    length: u64,
    positions: Positions,
}

impl OutlineReader {
    /// Starts with the header, which is the first [`Header::SIZE`] bytes of `file`.
    pub fn new(file: &[u8]) -> Result<OutlineReader, LtxError> {
        let header = file.get(..Header::SIZE).ok_or(LtxError::TooShort(file.len() as u64))?;
        let (header, index) = (crc(header), Checksum::new());
        let mut reader = OutlineReader { header, index, length: 0, positions: Positions::default() };
        reader.index(&END_OF_PAGES, &[]);
        Ok(reader)
    }

    /// Adds the next bytes of the index, and the entries that end in them.
    pub fn index(&mut self, bytes: &[u8], entries: &[IndexEntry]) {
        self.index.update(bytes);
        self.length += bytes.len() as u64;
        entries.iter().for_each(|entry| self.positions.push(entry.pgno));
    }

    /// Ends with the part after the index: the length of the index, and the trailer. `tail` is the end of the file.
    pub fn finish(self, tail: &[u8]) -> Result<Outline, LtxError> {
        let index = IndexSum { crc: self.index.crc(), length: self.length, missing: 0 };
        Outline::new(self.header, index, tail, self.positions)
    }
}
