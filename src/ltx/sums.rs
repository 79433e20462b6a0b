//! Checks the checksum of a file whose pages come in any order.
//!
//! The checksum is a CRC, and the CRC of two parts can be made of theirs, so that each page adds a number which depends on its
//! content and on how many bytes follow it. Once every page was added, in whatever order, the sum is the checksum.

use super::checksum::{Checksum, FLAG, Move};
use super::frame::END_OF_PAGES;
use super::{Header, IndexEntry, LtxError, Trailer};

/// What a page adds to the checksum of its file: the CRC of its page header and of its content before compression.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PageSum {
    pub(super) crc: u64,
    /// How many bytes that were.
    pub(super) length: u32,
}

impl PageSum {
    /// Two bytes of it, never 0. Kept for each page to compare it with, should it come again.
    fn short(self) -> u16 {
        let [a, b, c, d] = [0, 16, 32, 48].map(|bits| (self.crc >> bits) as u16);
        (a ^ b ^ c ^ d).max(1)
    }
}

/// The position of each page in a file, as runs of page numbers without a hole.
#[derive(Debug, Default)]
struct Positions {
    /// The first page of each run, and the position of that page.
    runs: Vec<(u32, u32)>,
    last: u32,
    count: u32,
}

/// Files of more runs are not tracked: this bounds the memory, and only a file of gigabytes can have so many.
const MOST_RUNS: usize = 1 << 18;

impl Positions {
    fn push(&mut self, pgno: u32) {
        let continues = self.count > 0 && pgno == self.last.wrapping_add(1);
        if !continues && self.runs.len() <= MOST_RUNS {
            self.runs.push((pgno, self.count));
        }
        (self.last, self.count) = (pgno, self.count + 1);
    }

    fn of(&self, pgno: u32) -> Option<u32> {
        let at = self.runs.partition_point(|(first, _)| *first <= pgno).checked_sub(1)?;
        let (first, position) = self.runs[at];
        let end = self.runs.get(at + 1).map_or(self.count, |(_, next)| *next);
        Some(position + (pgno - first)).filter(|position| *position < end)
    }

    fn are_known(&self) -> bool {
        self.runs.len() <= MOST_RUNS
    }
}

/// All of a file but its pages, as far as the checksum covers it, and where each page belongs.
#[derive(Debug)]
pub struct Outline {
    header: u64,
    /// Of everything behind the pages, and how many bytes that is.
    behind: (u64, u64),
    stored: u64,
    positions: Positions,
}

impl Outline {
    /// Checks the file, given the CRC of all of its pages and how many bytes it covers.
    fn check(&self, pages: u64, length: u64) -> Result<(), LtxError> {
        let (behind, rest) = self.behind;
        let after_header = Move::by(rest).crc(pages) ^ behind;
        let computed = (Move::by(length + rest).crc(self.header) ^ after_header) | FLAG;
        if computed == self.stored { Ok(()) } else { Err(LtxError::FileChecksum { stored: self.stored, computed }) }
    }
}

/// Makes an [`Outline`] of the parts of a file that are no pages, in their order.
#[derive(Debug)]
pub struct OutlineReader {
    header: u64,
    behind: Checksum,
    length: u64,
    positions: Positions,
}

impl OutlineReader {
    /// Begins with the header, which is the first [`Header::SIZE`] bytes of `file`.
    pub fn new(file: &[u8]) -> Result<OutlineReader, LtxError> {
        let bytes = file.get(..Header::SIZE).ok_or(LtxError::TooShort(file.len() as u64))?;
        let mut header = Checksum::new();
        header.update(bytes);
        let (header, behind) = (header.crc(), Checksum::new());
        let mut reader = OutlineReader { header, behind, length: 0, positions: Positions::default() };
        reader.index(&END_OF_PAGES, &[]);
        Ok(reader)
    }

    /// Takes the next bytes of the index, and the entries that end in them.
    pub fn index(&mut self, bytes: &[u8], entries: &[IndexEntry]) {
        self.behind.update(bytes);
        self.length += bytes.len() as u64;
        entries.iter().for_each(|entry| self.positions.push(entry.pgno));
    }

    /// Ends with what stands behind the index: its length, and the trailer. `tail` is the end of the file.
    pub fn finish(mut self, tail: &[u8]) -> Result<Outline, LtxError> {
        const BEHIND: usize = 8 + Trailer::SIZE;
        let tail = tail.last_chunk::<BEHIND>().ok_or(LtxError::TooShort(tail.len() as u64))?;
        let (covered, trailer) = (&tail[..BEHIND - 8], Trailer::parse(&tail[8..])?);
        self.index(covered, &[]);
        let behind = (self.behind.crc(), self.length);
        Ok(Outline { header: self.header, behind, stored: trailer.file_checksum, positions: self.positions })
    }
}

/// How many pages share a piece of [`FileSums::seen`].
const PIECE: usize = 256;

/// The pages of a file that came so far. Takes two bytes for each.
#[derive(Debug)]
pub struct FileSums {
    outline: Outline,
    seen: Vec<Option<Box<[u16; PIECE]>>>,
    came: u32,
    /// The CRC of the pages that came, as if zeros that have no CRC stood for the others.
    sum: u64,
    /// How many bytes of the checksum each page is, 0 before the first; None if they differ.
    length: Option<u32>,
}

impl FileSums {
    /// Before the first page.
    pub fn new(outline: Outline) -> FileSums {
        FileSums { outline, seen: Vec::new(), came: 0, sum: 0, length: Some(0) }
    }

    /// How many pages the file holds.
    pub fn pages(&self) -> u32 {
        self.outline.positions.count
    }

    /// How many of them did not come yet. None if their sum will not be known.
    pub fn missing(&self) -> Option<u32> {
        (self.length.is_some() && self.outline.positions.are_known()).then(|| self.pages() - self.came)
    }

    /// Whether a page came.
    pub fn has(&self, pgno: u32) -> bool {
        let Some(position) = self.outline.positions.of(pgno) else { return false };
        let piece = self.seen.get(position as usize / PIECE).and_then(Option::as_ref);
        piece.is_some_and(|piece| piece[position as usize % PIECE] != 0)
    }

    /// Takes pages that came. An error if one came before with other content, or if these were the last and the checksum
    /// of the file is not that of its pages.
    pub fn add(&mut self, pages: &[(u32, PageSum)]) -> Result<(), LtxError> {
        if !self.outline.positions.are_known() {
            return Ok(());
        }
        let before = self.came;
        let mut run = PageRun::default();
        for (pgno, sum) in pages {
            let Some(position) = self.outline.positions.of(*pgno) else { continue };
            match self.seen_at(position) {
                0 => {}
                seen if seen == sum.short() => continue,
                _ => return Err(LtxError::PageDiffers(*pgno)),
            }
            self.set_seen(position, sum.short());
            self.came += 1;
            match self.length {
                Some(0) => self.length = Some(sum.length),
                Some(length) if length != sum.length => self.length = None,
                _ => {}
            }
            if run.end != position {
                self.close(run);
                run = PageRun { by_one: Some(Move::by(sum.length.into())), ..PageRun::default() };
            }
            run.add(position, sum);
        }
        self.close(run);
        match (self.missing(), self.length) {
            (Some(0), Some(length)) if self.came > before => {
                self.outline.check(self.sum, u64::from(length) * u64::from(self.pages()))
            }
            _ => Ok(()),
        }
    }

    /// Adds pages that follow each other.
    fn close(&mut self, run: PageRun) {
        let length = self.length.unwrap_or_default();
        let after = u64::from(self.pages() - run.end) * u64::from(length);
        self.sum ^= Move::by(after).crc(run.crc);
    }

    fn seen_at(&self, position: u32) -> u16 {
        let piece = self.seen.get(position as usize / PIECE).and_then(Option::as_ref);
        piece.map_or(0, |piece| piece[position as usize % PIECE])
    }

    fn set_seen(&mut self, position: u32, short: u16) {
        let piece = position as usize / PIECE;
        if self.seen.len() <= piece {
            self.seen.resize(piece + 1, None);
        }
        self.seen[piece].get_or_insert_with(|| Box::new([0; PIECE]))[position as usize % PIECE] = short;
    }
}

/// Pages that follow each other in the file.
#[derive(Clone, Copy, Default)]
struct PageRun {
    crc: u64,
    /// The position behind them.
    end: u32,
    by_one: Option<Move>,
}

impl PageRun {
    fn add(&mut self, position: u32, sum: &PageSum) {
        let by_one = *self.by_one.get_or_insert_with(|| Move::by(sum.length.into()));
        self.crc = by_one.crc(self.crc) ^ sum.crc;
        self.end = position + 1;
    }
}

/// The pages of a file that is read in its order.
#[derive(Debug, Default)]
pub struct PagesInOrder {
    crc: u64,
    length: u64,
    step: Option<(u32, Move)>,
}

impl PagesInOrder {
    /// Takes the next page.
    pub fn add(&mut self, sum: PageSum) {
        let known = self.step.filter(|(length, _)| *length == sum.length);
        let (_, step) = *self.step.insert(known.unwrap_or_else(|| (sum.length, Move::by(sum.length.into()))));
        self.crc = step.crc(self.crc) ^ sum.crc;
        self.length += u64::from(sum.length);
    }

    /// Checks the file, of which all pages came.
    pub fn check(&self, outline: &Outline) -> Result<(), LtxError> {
        outline.check(self.crc, self.length)
    }
}
