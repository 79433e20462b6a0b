//! A file that is merged.

use super::created::FileChecksum;
use crate::ltx::{self, END_OF_PAGES, FileName, Header, IndexEntry, IndexReader, LtxError, Outline, OutlineReader};
use crate::ltx::{AFTER_INDEX, Level, PagesInOrder, Trailer};
use crate::replica::files::load_error::{LoadError, named_header};
use crate::store::{Listed, Store, Version};
use bytes::Bytes;
use std::ops::Range;

/// Bytes of the index per request.
const INDEX_PIECE: u64 = 1 << 20;

/// A file of which the two ends were read.
pub(super) struct OpenedInput<'a> {
    file: InputFile<'a>,
    header: Header,
    head: [u8; Header::SIZE],
    tail: Bytes,
    index: Range<u64>,
}

/// Reads a version of a file forwards, with few requests.
struct InputFile<'a> {
    store: &'a dyn Store,
    level: Level,
    name: FileName,
    version: Version,
    /// Bytes per request.
    piece: u64,
    /// The bytes that were read last, and their position.
    buffer: Bytes,
    start: u64,
}

impl InputFile<'_> {
    fn damaged(&self, cause: LtxError) -> LoadError {
        LoadError::damaged(self.store, self.level, self.name, cause)
    }

    /// Returns the bytes of a range. If they have to be read, what follows them is read too, up to `end`.
    async fn bytes(&mut self, range: Range<u64>, end: u64) -> Result<Bytes, LoadError> {
        let within = |file: &Self| {
            let (from, to) = (range.start.checked_sub(file.start)?, range.end.checked_sub(file.start)?);
            (to <= file.buffer.len() as u64).then(|| file.buffer.slice(from as usize..to as usize))
        };
        if let Some(bytes) = within(self) {
            return Ok(bytes);
        }
        let wanted = range.start..range.end.max(end.min(range.start.saturating_add(self.piece)));
        self.buffer = self.store.read(self.level, self.name, wanted, Some(&self.version)).await?.bytes;
        self.start = range.start;
        within(self).ok_or_else(|| self.damaged(LtxError::TooShort(range.start + self.buffer.len() as u64)))
    }
}

impl<'a> OpenedInput<'a> {
    /// Reads the two ends of a file. `piece` is the number of bytes per request.
    pub(super) async fn open(store: &'a dyn Store, listed: &Listed, piece: u64) -> Result<OpenedInput<'a>, LoadError> {
        let (level, name) = (listed.level, listed.name);
        let first = store.read(level, name, 0..piece, None).await?;
        let (buffer, size) = (first.bytes, first.file_size);
        let mut file = InputFile { store, level, name, version: first.version, piece, buffer, start: 0 };
        let head = *file.buffer.first_chunk().ok_or_else(|| file.damaged(LtxError::TooShort(size)))?;
        let header = named_header(store, listed, &head).map_err(LoadError::Other)?;
        let first = (file.buffer.clone(), file.start);
        let tail = file.bytes(size.saturating_sub(AFTER_INDEX as u64)..size, size).await?;
        // The pages follow the header.
        (file.buffer, file.start) = first;
        let index = ltx::index_range(size, &tail).map_err(|cause| file.damaged(cause))?;
        Ok(OpenedInput { file, header, head, tail, index })
    }

    /// Returns the length of the index in bytes.
    pub(super) fn index_length(&self) -> u64 {
        self.index.end - self.index.start
    }

    /// Reads the index.
    pub(super) async fn read_index(self) -> Result<MergeInput<'a>, LoadError> {
        let OpenedInput { mut file, header, head, tail, index } = self;
        let first = (file.buffer.clone(), file.start);
        let mut reader = IndexReader::new(&header, index.start);
        let mut outline = OutlineReader::new(&head).map_err(|cause| file.damaged(cause))?;
        let (mut entries, mut at) = (Vec::new(), index.start);
        while at < index.end {
            let piece = at..index.end.min(at + INDEX_PIECE);
            at = piece.end;
            let (bytes, known) = (file.bytes(piece, 0).await?, entries.len());
            reader.read(&bytes, |entry| entries.push(entry)).map_err(|cause| file.damaged(cause))?;
            outline.index(&bytes, &entries[known..]);
        }
        reader.finish().map_err(|cause| file.damaged(cause))?;
        let checksum = Trailer::at_end(&tail).map_err(|cause| file.damaged(cause))?.file_checksum;
        let outline = outline.finish(&tail).map_err(|cause| file.damaged(cause))?;
        (file.buffer, file.start) = first;
        let (end, sums) = (Header::SIZE as u64, PagesInOrder::default());
        Ok(MergeInput { file, header, entries, index_start: index.start, checksum, outline, sums, done: 0, end })
    }
}

/// A file whose index was read. Its pages are read once, from the first to the last, so that its checksum can be verified.
pub(super) struct MergeInput<'a> {
    file: InputFile<'a>,
    pub(super) header: Header,
    pub(super) entries: Vec<IndexEntry>,
    index_start: u64,
    /// The checksum of the file.
    checksum: u64,
    outline: Outline,
    sums: PagesInOrder,
    /// The number of pages that were read, and the end of the last of them.
    done: usize,
    end: u64,
}

impl MergeInput<'_> {
    pub(super) fn identity(&self) -> (Level, FileName) {
        (self.file.level, self.file.name)
    }

    pub(super) fn checksum(&self) -> FileChecksum {
        let (level, name) = self.identity();
        FileChecksum { level, name, checksum: self.checksum }
    }

    /// Returns whether the writer of the file has read `before` as the file of the transaction before. None if that is unknown.
    pub(super) fn follows(&self, before: &MergeInput<'_>) -> Option<bool> {
        self.header.follows(&before.header, before.checksum).filter(|_| before.file.level == Level::ZERO)
    }

    /// Returns whether the file contains every page of the database at its end.
    pub(super) fn is_complete(&self) -> bool {
        let Header { commit, page_size, .. } = self.header;
        let lock_page = u32::from(commit >= page_size.lock_page());
        let within = self.entries.partition_point(|entry| entry.pgno <= commit);
        within as u64 + u64::from(lock_page) == u64::from(commit)
    }

    /// Reads the pages up to that of an entry. Returns the frame of the latter and writes its content to `page`.
    pub(super) async fn read_until(&mut self, entry: usize, page: &mut [u8]) -> Result<Bytes, LoadError> {
        let mut frame = Bytes::new();
        while self.done <= entry {
            frame = self.next(page).await?;
        }
        Ok(frame)
    }

    async fn next(&mut self, page: &mut [u8]) -> Result<Bytes, LoadError> {
        let entry = self.entries[self.done];
        if entry.offset != self.end {
            return Err(self.file.damaged(LtxError::Gap(self.end)));
        }
        let frame = self.file.bytes(entry.range(), self.index_start).await?;
        let sum = ltx::decode_and_sum(&frame, entry.pgno, page).map_err(|cause| self.file.damaged(cause))?;
        self.sums.add(sum);
        (self.done, self.end) = (self.done + 1, entry.range().end);
        Ok(frame)
    }

    /// Reads the remaining pages and verifies the checksum of the file.
    pub(super) async fn finish(mut self, page: &mut [u8]) -> Result<(), LoadError> {
        if let Some(last) = self.entries.len().checked_sub(1) {
            self.read_until(last, page).await?;
        }
        let after_pages = self.end..(self.end + END_OF_PAGES.len() as u64);
        if after_pages.end != self.index_start || self.file.bytes(after_pages, 0).await? != END_OF_PAGES.as_slice() {
            return Err(self.file.damaged(LtxError::Gap(self.end)));
        }
        self.sums.check(&self.outline).map_err(|cause| self.file.damaged(cause))
    }
}
