//! Verification of the checksum of a file whose pages are read in any order.
//!
//! The checksum is a CRC, and the CRC of two parts can be computed from theirs. Each page therefore contributes a number that depends only
//! on its content and on the number of bytes that follow it. After every page was added, in any order, the sum is the checksum.

use super::checksum::CrcShift;
use super::page_header::PAGE_HEADER;
use super::{IndexSum, LtxError, Outline};

/// The contribution of a page to the checksum of its file: the CRC of its page header and of its uncompressed content.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PageSum {
    pub(super) crc: u64,
    /// Number of bytes that the CRC covers.
    pub(super) length: u32,
}

impl PageSum {
    /// Returns the CRC of the page header and the uncompressed content.
    pub fn crc(self) -> u64 {
        self.crc
    }

    /// Returns the size of the LZ4 block in a frame of `frame_size` bytes that contains a page of `page_size` bytes. Returns None if the
    /// page is in an LZ4 frame.
    pub fn block_size(self, page_size: u32, frame_size: u32) -> Option<u32> {
        let head = self.length.checked_sub(page_size)?;
        if head > PAGE_HEADER as u32 { frame_size.checked_sub(head) } else { None }
    }

    /// Returns two bytes derived from the CRC, never 0. They are kept for each page, to compare it if it is read again.
    fn short(self) -> u16 {
        let [a, b, c, d] = [0, 16, 32, 48].map(|bits| (self.crc >> bits) as u16);
        (a ^ b ^ c ^ d).max(1)
    }
}

/// The number of pages in a chunk of [`FileSums::seen`].
const CHUNK: usize = 256;

/// The pages of a file that were read so far. Uses two bytes of memory for each.
#[derive(Debug)]
pub struct FileSums {
    outline: Outline,
    /// [`PageSum::short`] of each page by its position; 0 if the page was not read yet.
    seen: Vec<Option<Box<[u16; CHUNK]>>>,
    read: u32,
    /// The CRC of all pages, in which pages that were not read yet count as 0.
    sum: u64,
    /// The length that all pages share in the checksum, 0 before the first page; None if the lengths differ.
    length: Option<u32>,
}

impl FileSums {
    /// Creates the state before the first page is read.
    pub fn new(outline: Outline) -> FileSums {
        FileSums { outline, seen: Vec::new(), read: 0, sum: 0, length: Some(0) }
    }

    /// Returns the number of pages in the file.
    pub fn pages(&self) -> u32 {
        self.outline.positions.count
    }

    /// Returns the number of pages that were not read yet. None if the checksum cannot be verified.
    pub fn missing(&self) -> Option<u32> {
        (self.length.is_some() && self.outline.positions.are_known()).then(|| self.pages() - self.read)
    }

    /// Returns whether a page was read.
    pub fn has(&self, pgno: u32) -> bool {
        self.outline.positions.of(pgno).is_some_and(|position| self.seen_at(position) != 0)
    }

    /// Adds pages that were read.
    ///
    /// Returns an error if one of them was read before with different content, or if all pages are read now and the checksum of the file
    /// does not match.
    pub fn add(&mut self, pages: &[(u32, PageSum)]) -> Result<(), LtxError> {
        if !self.outline.positions.are_known() {
            return Ok(());
        }
        let was_complete = self.is_complete();
        let mut run = PageRun::default();
        for (pgno, sum) in pages {
            let Some(position) = self.outline.positions.of(*pgno) else { continue };
            match self.seen_at(position) {
                0 => {}
                seen if seen == sum.short() => continue,
                _ => return Err(LtxError::PageDiffers(*pgno)),
            }
            self.set_seen(position, sum.short());
            self.read += 1;
            match self.length {
                Some(0) => self.length = Some(sum.length),
                Some(length) if length != sum.length => self.length = None,
                _ => {}
            }
            if run.end != position {
                self.add_run(run);
                run = PageRun { page_shift: Some(CrcShift::by(sum.length.into())), ..PageRun::default() };
            }
            run.add(position, sum);
        }
        self.add_run(run);
        self.check_once_complete(was_complete)
    }

    /// Adds bytes of the index that were not added before. `at` is their position in the index.
    ///
    /// Returns an error if everything is read now and the checksum of the file does not match.
    pub fn add_index(&mut self, at: u64, bytes: &[u8]) -> Result<(), LtxError> {
        let was_complete = self.is_complete();
        if self.outline.index.missing > 0 {
            self.outline.index.add(at, bytes);
        }
        self.check_once_complete(was_complete)
    }

    /// Takes the sum of the index if it is complete, unless all parts were added already. Returns an error as
    /// [`FileSums::add_index`] does.
    pub fn set_index(&mut self, index: IndexSum) -> Result<(), LtxError> {
        let was_complete = self.is_complete();
        if self.outline.index.missing > 0 && index.missing == 0 && index.length == self.outline.index.length {
            self.outline.index = index;
        }
        self.check_once_complete(was_complete)
    }

    /// Returns whether everything that the checksum covers was read.
    pub fn is_complete(&self) -> bool {
        self.missing() == Some(0) && self.outline.index.missing == 0
    }

    fn check_once_complete(&self, was_complete: bool) -> Result<(), LtxError> {
        match self.length {
            Some(length) if !was_complete && self.is_complete() => {
                self.outline.check(self.sum, u64::from(length) * u64::from(self.pages()))
            }
            _ => Ok(()),
        }
    }

    fn add_run(&mut self, run: PageRun) {
        let length = self.length.unwrap_or_default();
        let after = u64::from(self.pages() - run.end) * u64::from(length);
        self.sum ^= CrcShift::by(after).apply(run.crc);
    }

    fn seen_at(&self, position: u32) -> u16 {
        let chunk = self.seen.get(position as usize / CHUNK).and_then(Option::as_ref);
        chunk.map_or(0, |chunk| chunk[position as usize % CHUNK])
    }

    fn set_seen(&mut self, position: u32, short: u16) {
        let chunk = position as usize / CHUNK;
        if self.seen.len() <= chunk {
            self.seen.resize(chunk + 1, None);
        }
        self.seen[chunk].get_or_insert_with(|| Box::new([0; CHUNK]))[position as usize % CHUNK] = short;
    }
}

/// Pages that follow each other in the file.
#[derive(Clone, Copy, Default)]
struct PageRun {
    crc: u64,
    /// The position after the last page.
    end: u32,
    /// The shift by the length of one page.
    page_shift: Option<CrcShift>,
}

impl PageRun {
    fn add(&mut self, position: u32, sum: &PageSum) {
        let shift = *self.page_shift.get_or_insert_with(|| CrcShift::by(sum.length.into()));
        self.crc = shift.apply(self.crc) ^ sum.crc;
        self.end = position + 1;
    }
}

/// The pages of a file that is read in the order of its pages.
#[derive(Debug, Default)]
pub struct PagesInOrder {
    crc: u64,
    length: u64,
    /// The length of the last page, and the shift by it.
    last_shift: Option<(u32, CrcShift)>,
}

impl PagesInOrder {
    /// Adds the next page.
    pub fn add(&mut self, sum: PageSum) {
        let known = self.last_shift.filter(|(length, _)| *length == sum.length);
        let (_, shift) =
            *self.last_shift.insert(known.unwrap_or_else(|| (sum.length, CrcShift::by(sum.length.into()))));
        self.crc = shift.apply(self.crc) ^ sum.crc;
        self.length += u64::from(sum.length);
    }

    /// Checks the file after all its pages were added.
    pub fn check(&self, outline: &Outline) -> Result<(), LtxError> {
        outline.check(self.crc, self.length)
    }
}
