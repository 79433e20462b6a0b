//! Reads a whole file to verify it, in pieces, so that a file of any size takes only a few megabytes of memory.

use crate::ltx::{
    self, AFTER_INDEX, END_OF_PAGES, Header, IndexEntry, IndexReader, OutlineReader, PageSum, PagesInOrder,
};
use crate::replica::cache::persistent::SlotFile;
use crate::replica::files::integrity::IntegrityVerdict;
use crate::replica::files::load_error::LoadError;
use crate::replica::files::ltx_file::LtxFile;
use crate::store::{self, Store};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use std::ops::Range;

/// Bytes per request, for frames and for the index.
const PIECE_SIZE: u64 = 1 << 20;

/// Requests in flight at once.
const IN_FLIGHT: usize = 4;

/// Verifies a whole file in the store: its header, index, pages and checksum. Reports damage only if a second read
/// finds it too, because bytes can be corrupted in transit.
///
/// If the cache directory has another version of a page of a file that is right, all pages of the file are removed there. It was carried over
/// from a damaged file.
pub(in crate::replica) async fn check(store: &dyn Store, file: &LtxFile) -> Result<(), LoadError> {
    let checked = match WholeReader::new(store, file).check().await {
        Err(WholeReadError::Damage(_)) => WholeReader::new(store, file).check().await,
        checked => checked,
    };
    if let Err(WholeReadError::Damage(cause)) = &checked {
        // If only the checksum differs, any page may be wrong. Otherwise it is the part that cannot be decoded.
        match cause {
            ltx::LtxError::FileChecksum { .. } => drop(file.integrity.spoil(cause.clone())),
            _ => file.integrity.doubt(),
        }
    }
    checked.map_err(|failure| failure.into_load_error(store, file))
}

/// Fetches the pages of a file that have not been fetched yet and adds them to its sum. `contradicts` returns whether the cache has another
/// version of a page: one that was carried over from a damaged file, or this file is damaged. Then the file is spoiled.
pub(in crate::replica) async fn complete(
    store: &dyn Store,
    file: &LtxFile,
    contradicts: impl Fn(u32, &[u8]) -> bool + Send + Sync,
) -> Result<IntegrityVerdict, LoadError> {
    let completed = WholeReader::new(store, file).complete(contradicts).await;
    completed.map_err(|failure| failure.into_load_error(store, file))
}

/// Why a whole file could not be verified.
enum WholeReadError {
    Store(store::StoreError),
    /// The file has another header than before.
    Replaced,
    Damage(ltx::LtxError),
}

impl WholeReadError {
    fn into_load_error(self, store: &dyn Store, file: &LtxFile) -> LoadError {
        match self {
            WholeReadError::Store(error) => error.into(),
            WholeReadError::Replaced => LoadError::Moved,
            WholeReadError::Damage(cause) => LoadError::damaged(store, file.level, file.name, cause),
        }
    }
}

impl From<store::StoreError> for WholeReadError {
    fn from(error: store::StoreError) -> WholeReadError {
        WholeReadError::Store(error)
    }
}

impl From<ltx::LtxError> for WholeReadError {
    fn from(cause: ltx::LtxError) -> WholeReadError {
        WholeReadError::Damage(cause)
    }
}

/// Reads the index of a file in pieces, and the pages of each piece.
struct WholeReader<'a> {
    store: &'a dyn Store,
    file: &'a LtxFile,
    /// The part of the index that has not been read.
    unread_index: Range<u64>,
    index: IndexReader,
    /// The last [`AFTER_INDEX`] bytes of the file.
    tail: Bytes,
}

impl<'a> WholeReader<'a> {
    fn new(store: &'a dyn Store, file: &'a LtxFile) -> WholeReader<'a> {
        WholeReader { store, file, unread_index: 0..0, index: IndexReader::new(&file.header, 0), tail: Bytes::new() }
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, WholeReadError> {
        let file = self.file;
        Ok(self.store.read(file.level, file.name, range, Some(&file.version)).await?.bytes)
    }

    /// Reads the tail and finds the index.
    async fn begin(&mut self) -> Result<(), WholeReadError> {
        let size = self.file.size;
        self.tail = self.read(size.saturating_sub(AFTER_INDEX as u64)..size).await?;
        self.unread_index = ltx::index_range(size, &self.tail)?;
        self.index = IndexReader::new(&self.file.header, self.unread_index.start);
        Ok(())
    }

    /// Returns the next piece of the index and the entries that end in it, or None at the end of the index.
    async fn next_entries(&mut self) -> Result<Option<(Bytes, Vec<IndexEntry>)>, WholeReadError> {
        if self.unread_index.is_empty() {
            return Ok(None);
        }
        let piece = self.unread_index.start..(self.unread_index.start + PIECE_SIZE).min(self.unread_index.end);
        self.unread_index.start = piece.end;
        let (bytes, mut entries) = (self.read(piece).await?, Vec::new());
        self.index.read(&bytes, |entry| entries.push(entry))?;
        Ok(Some((bytes, entries)))
    }

    /// Fetches and decodes the pages of some entries and passes each with its sum to `each`.
    async fn read_pages(
        &self,
        entries: &[IndexEntry],
        mut each: impl FnMut(u32, &[u8], PageSum) + Send,
    ) -> Result<(), WholeReadError> {
        let mut page = vec![0; self.file.header.page_size.get() as usize];
        let pieces = entries.chunk_by(|one, other| one.range().end == other.offset && !is_piece_boundary(one, other));
        let requests = pieces.map(|piece| async move {
            let range = piece[0].offset..piece[piece.len() - 1].range().end;
            self.read(range).await.map(|bytes| (piece, bytes))
        });
        let mut requests = stream::iter(requests.collect::<Vec<_>>()).buffered(IN_FLIGHT);
        while let Some(read) = requests.next().await {
            let (piece, bytes) = read?;
            for entry in piece {
                let start = (entry.offset - piece[0].offset) as usize;
                let frame = bytes.get(start..start + entry.size as usize).unwrap_or_default();
                let sum = ltx::decode_and_sum(frame, entry.pgno, &mut page)?;
                each(entry.pgno, &page, sum);
            }
        }
        Ok(())
    }

    /// Verifies the whole file.
    async fn check(mut self) -> Result<(), WholeReadError> {
        let header = self.read(0..Header::SIZE as u64).await?;
        if Header::parse(&header)? != self.file.header {
            return Err(WholeReadError::Replaced);
        }
        self.begin().await?;
        let index_start = self.unread_index.start;
        let mut outline = OutlineReader::new(&header)?;
        let (mut pages, mut end) = (PagesInOrder::default(), Header::SIZE as u64);
        let (slots, mut has_other_page) = (self.file.slots.as_deref(), false);
        while let Some((bytes, entries)) = self.next_entries().await? {
            outline.index(&bytes, &entries);
            for entry in &entries {
                if entry.offset != end {
                    return Err(ltx::LtxError::Gap(end).into());
                }
                end = entry.range().end;
            }
            let each = |pgno, page: &[u8], sum| {
                pages.add(sum);
                has_other_page |= slots.is_some_and(|slots| slots.has_other(pgno, page));
            };
            self.read_pages(&entries, each).await?;
        }
        let after_pages = end..(end + END_OF_PAGES.len() as u64);
        if after_pages.end != index_start || self.read(after_pages).await? != END_OF_PAGES.as_slice() {
            return Err(ltx::LtxError::Gap(end).into());
        }
        self.index.finish()?;
        pages.check(&outline.finish(&self.tail)?)?;
        slots.filter(|_| has_other_page).into_iter().for_each(SlotFile::clear);
        Ok(())
    }

    /// Fetches the pages that have not been fetched yet and adds them to the sum of the file.
    async fn complete(
        mut self,
        contradicts: impl Fn(u32, &[u8]) -> bool + Send + Sync,
    ) -> Result<IntegrityVerdict, WholeReadError> {
        let integrity = &self.file.integrity;
        self.begin().await?;
        // Only the sum of the index is taken from it, which does not include the header.
        let mut outline = OutlineReader::new(&self.file.header.encode())?;
        while let Some((bytes, mut entries)) = self.next_entries().await? {
            outline.index(&bytes, &[]);
            entries.retain(|entry| !integrity.has(entry.pgno));
            let (mut sums, mut other) = (Vec::with_capacity(entries.len()), None);
            let each = |pgno, page: &[u8], sum| {
                sums.push((pgno, sum));
                other = other.or(contradicts(pgno, page).then_some(pgno));
            };
            self.read_pages(&entries, each).await?;
            if let Some(pgno) = other {
                // The wrong page may have been read, so the transaction must fail, as with a checksum that does not match.
                let cause = integrity.spoil(ltx::LtxError::PageDiffers(pgno));
                return Ok(IntegrityVerdict::Spoiled(cause.clone()));
            }
            if let spoiled @ IntegrityVerdict::Spoiled(_) = integrity.add(&sums) {
                return Ok(spoiled);
            }
        }
        Ok(integrity.set_index(outline.finish(&self.tail)?.index()))
    }
}

/// Returns whether two adjacent frames belong to different requests. Requests end at multiples of [`PIECE_SIZE`].
fn is_piece_boundary(one: &IndexEntry, other: &IndexEntry) -> bool {
    one.offset / PIECE_SIZE != other.offset / PIECE_SIZE
}
