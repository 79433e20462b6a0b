//! Reading all of a file to check it, in pieces, so that a file of any size takes a few megabytes of memory.

use crate::error::Error;
use crate::ltx::{self, END_OF_PAGES, Header, IndexEntry, IndexReader, OutlineReader, PageSum, PagesInOrder};
use crate::replica::files::integrity::IntegrityVerdict;
use crate::replica::files::loader::{LoadError, place};
use crate::replica::files::ltx_file::LtxFile;
use crate::store::{self, Store};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use std::ops::Range;

/// Bytes of one request, for frames and for the index.
const PIECE: u64 = 1 << 20;

/// Requests in flight at once.
const IN_FLIGHT: usize = 4;

/// The bytes behind the index that say how long it is, and the trailer.
const BEHIND: u64 = 24;

/// Checks a whole file as it is in the store: header, index, pages, checksum. Damage is believed once a second reading finds
/// it too, since a byte can go wrong on the way.
pub(in crate::replica) async fn check(store: &dyn Store, file: &LtxFile) -> Result<(), LoadError> {
    let checked = match WholeReader::new(store, file).check().await {
        Err(WholeReadError::Damage(_)) => WholeReader::new(store, file).check().await,
        checked => checked,
    };
    if let Err(WholeReadError::Damage(cause)) = &checked {
        // Any page can be the wrong one if only the checksum tells, otherwise the one that cannot be decoded.
        match cause {
            ltx::LtxError::FileChecksum { .. } => drop(file.integrity.spoil(cause.clone())),
            _ => file.integrity.doubt(),
        }
    }
    checked.map_err(|failure| failure.of(store, file))
}

/// Fetches the pages of a file that did not come yet and adds them to its sum.
pub(in crate::replica) async fn complete(store: &dyn Store, file: &LtxFile) -> Result<IntegrityVerdict, LoadError> {
    let completed = WholeReader::new(store, file).complete().await;
    completed.map_err(|failure| failure.of(store, file))
}

/// Why a file could not be read whole.
enum WholeReadError {
    Store(store::StoreError),
    /// Its header is another one.
    Replaced,
    Damage(ltx::LtxError),
}

impl WholeReadError {
    fn of(self, store: &dyn Store, file: &LtxFile) -> LoadError {
        match self {
            WholeReadError::Store(error) => error.into(),
            WholeReadError::Replaced => LoadError::Moved,
            WholeReadError::Damage(cause) => {
                LoadError::Other(Error::damaged(place(store, file.level, file.name), cause))
            }
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

/// Reads a file from its index on.
struct WholeReader<'a> {
    store: &'a dyn Store,
    file: &'a LtxFile,
    /// What is left of the index.
    rest: Range<u64>,
    index: IndexReader,
    /// The end of the file.
    tail: Bytes,
}

impl<'a> WholeReader<'a> {
    fn new(store: &'a dyn Store, file: &'a LtxFile) -> WholeReader<'a> {
        WholeReader { store, file, rest: 0..0, index: IndexReader::new(&file.header, 0), tail: Bytes::new() }
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, WholeReadError> {
        let file = self.file;
        Ok(self.store.read(file.level, file.name, range, Some(&file.version)).await?.bytes)
    }

    /// Finds the index.
    async fn begin(&mut self) -> Result<(), WholeReadError> {
        let size = self.file.size;
        self.tail = self.read(size.saturating_sub(BEHIND)..size).await?;
        self.rest = ltx::index_range(size, &self.tail)?;
        self.index = IndexReader::new(&self.file.header, self.rest.start);
        Ok(())
    }

    /// The next piece of the index, and the entries that end in it. None behind its end.
    async fn next_entries(&mut self) -> Result<Option<(Bytes, Vec<IndexEntry>)>, WholeReadError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let piece = self.rest.start..(self.rest.start + PIECE).min(self.rest.end);
        self.rest.start = piece.end;
        let (bytes, mut entries) = (self.read(piece).await?, Vec::new());
        self.index.read(&bytes, |entry| entries.push(entry))?;
        Ok(Some((bytes, entries)))
    }

    /// Fetches and decodes pages, and hands over the sum of each.
    async fn pages(
        &self,
        entries: &[IndexEntry],
        mut each: impl FnMut(u32, PageSum) + Send,
    ) -> Result<(), WholeReadError> {
        let mut page = vec![0; self.file.header.page_size.get() as usize];
        let pieces = entries.chunk_by(|one, other| one.range().end == other.offset && !ends_a_piece(one, other));
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
                each(entry.pgno, ltx::decode_and_sum(frame, entry.pgno, &mut page)?);
            }
        }
        Ok(())
    }

    async fn check(mut self) -> Result<(), WholeReadError> {
        let header = self.read(0..Header::SIZE as u64).await?;
        if Header::parse(&header)? != self.file.header {
            return Err(WholeReadError::Replaced);
        }
        self.begin().await?;
        let index_start = self.rest.start;
        let mut outline = OutlineReader::new(&header)?;
        let (mut pages, mut seen) = (PagesInOrder::default(), Header::SIZE as u64);
        while let Some((bytes, entries)) = self.next_entries().await? {
            outline.index(&bytes, &entries);
            for entry in &entries {
                if entry.offset != seen {
                    return Err(ltx::LtxError::Gap(seen).into());
                }
                seen = entry.range().end;
            }
            self.pages(&entries, |_, sum| pages.add(sum)).await?;
        }
        if self.read(seen..index_start).await? != END_OF_PAGES.as_slice() {
            return Err(ltx::LtxError::Gap(seen).into());
        }
        self.index.finish()?;
        Ok(pages.check(&outline.finish(&self.tail)?)?)
    }

    /// Adds the pages that did not come yet to the sum of the file.
    async fn complete(mut self) -> Result<IntegrityVerdict, WholeReadError> {
        self.begin().await?;
        while let Some((_, mut entries)) = self.next_entries().await? {
            entries.retain(|entry| !self.file.integrity.has(entry.pgno));
            let mut sums = Vec::with_capacity(entries.len());
            self.pages(&entries, |pgno, sum| sums.push((pgno, sum))).await?;
            if let spoiled @ IntegrityVerdict::Spoiled(_) = self.file.integrity.add(&sums) {
                return Ok(spoiled);
            }
        }
        Ok(IntegrityVerdict::Sound)
    }
}

/// Whether a request ends between two frames that follow each other: at each multiple of its size.
fn ends_a_piece(one: &IndexEntry, other: &IndexEntry) -> bool {
    one.offset / PIECE != other.offset / PIECE
}
