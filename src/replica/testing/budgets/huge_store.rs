//! A store that generates the snapshot of a database of any size, on the model clock.

use crate::ltx::{Encoder, FileName, Form, Header, Level, Txid, verify};
use crate::replica::testing::budgets::far::{LATENCY, transfer};
use crate::replica::testing::{header, next_byte};
use crate::store::{Chunk, Listed, Store, StoreError, StoreErrorKind, Version};
use async_trait::async_trait;
use std::fmt;
use std::ops::Range;

const PAGE_SIZE: usize = 4096;

pub(in crate::replica) const MEGABYTE: u64 = 1 << 20;

/// The distance of the ranks whose positions are kept.
const STEP: usize = 4096;

pub(in crate::replica) const NAME: FileName = FileName { min: Txid(1), max: Txid(7) };

/// How many different pages the database consists of, besides page 1.
const KINDS: usize = 16;

pub(in crate::replica) struct Huge {
    header: Header,
    /// Page 1, then the other kinds of pages: their contents, and their frames without page numbers.
    kinds: Vec<(Vec<u8>, Vec<u8>)>,
    /// For every [`STEP`]th rank: the offset of its frame, and the position of its entry in the index.
    marks: Vec<(u64, u64)>,
    end_of_frames: u64,
    index_length: u64,
}

impl Huge {
    /// Creates the snapshot of a database of `bytes` bytes, with pages of 4 KiB.
    pub(in crate::replica) fn of(bytes: u64) -> Huge {
        let header = header(PAGE_SIZE, (bytes / PAGE_SIZE as u64) as u32, NAME.min, NAME.max);
        let kinds = (0..=KINDS).map(kind).collect();
        let mut huge = Huge { header, kinds, marks: Vec::new(), end_of_frames: 0, index_length: 0 };
        let (mut offset, mut at) = (Header::SIZE as u64, 0);
        for rank in 0..huge.count() {
            if rank.is_multiple_of(STEP) {
                huge.marks.push((offset, at));
            }
            let (pgno, size) = (huge.pgno(rank), huge.frame_size(rank));
            offset += size;
            at += [u64::from(pgno), offset - size, size].map(number_length).iter().sum::<u64>();
        }
        (huge.end_of_frames, huge.index_length) = (offset, at + 1);
        huge
    }

    /// Returns the snapshot as a whole, with its checksum.
    pub(in crate::replica) fn file(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(self.header, Form::Block);
        (0..self.count()).map(|rank| self.pgno(rank)).for_each(|pgno| encoder.page(pgno, self.page(pgno)));
        encoder.finish()
    }

    /// Returns the number of the last page.
    pub(in crate::replica) fn pages(&self) -> u32 {
        self.header.commit
    }

    /// Returns the content of a page.
    pub(in crate::replica) fn page(&self, pgno: u32) -> &[u8] {
        let lock_page = self.header.page_size.lock_page();
        &self.kinds[kind_of(pgno as usize - 1 - usize::from(pgno > lock_page))].0
    }

    fn count(&self) -> usize {
        (self.header.commit - u32::from(self.header.commit >= self.header.page_size.lock_page())) as usize
    }

    fn pgno(&self, rank: usize) -> u32 {
        rank as u32 + 1 + u32::from(rank as u32 + 1 >= self.header.page_size.lock_page())
    }

    fn frame_size(&self, rank: usize) -> u64 {
        4 + self.kinds[kind_of(rank)].1.len() as u64
    }

    fn size(&self) -> u64 {
        self.end_of_frames + 6 + self.index_length + 24
    }

    /// Appends frames from the one at a known offset on, until there are enough bytes.
    fn append_frames(&self, first: usize, bytes: &mut Vec<u8>, enough: usize) {
        for rank in first..self.count() {
            if bytes.len() >= enough {
                return;
            }
            bytes.extend(self.pgno(rank).to_be_bytes());
            bytes.extend(&self.kinds[kind_of(rank)].1);
        }
    }

    /// Appends index entries likewise.
    fn append_entries(&self, step: usize, bytes: &mut Vec<u8>, enough: usize) {
        let mut offset = self.marks[step].0;
        for rank in step * STEP..self.count() {
            if bytes.len() >= enough {
                return;
            }
            let size = self.frame_size(rank);
            [self.pgno(rank).into(), offset, size].into_iter().for_each(|number| put_number(number, bytes));
            offset += size;
        }
        bytes.push(0);
    }

    /// Generates the bytes of a range.
    fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        let mut found = Vec::new();
        let index_start = self.end_of_frames + 6;
        let mut add = |from: u64, part: &[u8]| {
            let (start, end) = (range.start.max(from), range.end.min(from + part.len() as u64));
            if start < end {
                found.extend(&part[(start - from) as usize..(end - from) as usize]);
            }
        };
        add(0, &self.header.encode());
        if range.start < self.end_of_frames {
            let step = self.marks.partition_point(|(offset, _)| *offset <= range.start).saturating_sub(1);
            let (from, mut part) = (self.marks[step].0, Vec::new());
            self.append_frames(step * STEP, &mut part, range.end.saturating_sub(from) as usize);
            add(from, &part);
        }
        add(self.end_of_frames, &[0; 6]);
        if range.start < index_start + self.index_length && index_start < range.end {
            let start = range.start.saturating_sub(index_start);
            let step = self.marks.partition_point(|(_, at)| *at <= start).saturating_sub(1);
            let (from, mut part) = (index_start + self.marks[step].1, Vec::new());
            self.append_entries(step, &mut part, range.end.saturating_sub(from) as usize);
            add(from, &part);
        }
        let end = index_start + self.index_length;
        add(end, &self.index_length.to_be_bytes());
        // Nobody reads so much that the checksum is compared.
        add(end + 8, &[0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 1]);
        found
    }
}

/// Returns the kind of page at a rank. The kinds are mixed, but there are stretches of one kind.
fn kind_of(rank: usize) -> usize {
    match rank {
        0 => 0,
        _ if rank / 10_000 % 9 == 5 => KINDS,
        _ => 1 + (rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60),
    }
}

/// Returns the content and the frame of a kind. They compress to 50 to 3900 bytes. All are plausible as last overflow pages, but
/// the first, which is a page 1 without tables.
fn kind(number: usize) -> (Vec<u8>, Vec<u8>) {
    let mut page = vec![0; PAGE_SIZE];
    let (mut state, random) = (number as u64 + 1, (KINDS - number) * 240);
    page[4..].iter_mut().take(random).for_each(|byte| *byte = next_byte(&mut state));
    if number == 0 {
        page[..112].fill(0);
        page[100..112].copy_from_slice(&[13, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]);
    }
    let mut encoder = Encoder::new(header(PAGE_SIZE, 1, Txid(1), Txid(1)), Form::Block);
    encoder.page(1, &page);
    let file = encoder.finish();
    let frame = verify(&file).expect("a file").entries[0].range();
    let frame = file[frame.start as usize + 4..frame.end as usize].to_vec();
    (page, frame)
}

fn number_length(number: u64) -> u64 {
    u64::from(64 - (number | 1).leading_zeros()).div_ceil(7)
}

fn put_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[async_trait]
impl Store for Huge {
    async fn list(&self, level: Level, _: Txid) -> Result<Vec<Listed>, StoreError> {
        tokio::time::sleep(LATENCY).await;
        let (size, version) = (self.size(), Some(Version("1".into())));
        let snapshot = Listed { level, name: NAME, size, version, modified_ms: 0 };
        Ok(if level == Level::SNAPSHOT { vec![snapshot] } else { Vec::new() })
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        _: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        if (level, name) != (Level::SNAPSHOT, NAME) {
            tokio::time::sleep(LATENCY).await;
            return Err(StoreError::new(StoreErrorKind::NotFound, "memory://huge", "there is no such file"));
        }
        let bytes = self.bytes(range.start..range.end.min(self.size()));
        tokio::time::sleep(LATENCY + transfer(bytes.len() as u64)).await;
        let (file_size, version) = (self.size(), Version("1".into()));
        Ok(Chunk { bytes: bytes.into(), file_size, version, modified_ms: 0 })
    }
}

impl fmt::Debug for Huge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Huge")
    }
}

impl fmt::Display for Huge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://huge")
    }
}
