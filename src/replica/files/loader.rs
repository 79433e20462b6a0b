//! Files whose index has been read.
//!
//! A file is what its content is, not what it is called: a name can come back with other bytes, and the same bytes can
//! come back under another ETag (a copied replica, a file whose time was set after it appeared). Two readings are the
//! same file if level, name and checksum agree; then they share the number under which their pages are cached.

use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::ltx::{self, FileName, Header, IndexEntry, IndexReader, Level, Outline, OutlineReader, Trailer};
use crate::replica::files::damage::CheckedFiles;
use crate::replica::files::integrity::Integrity;
use crate::replica::files::ltx_file::{FetchSizes, FilePart, LoadedFile, LtxFile};
use crate::store::{self, Chunk, Listed, Store, Version};
use bytes::Bytes;
use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

/// Pieces of a large index that are fetched at once.
const PIECES_IN_FLIGHT: usize = 4;

static NUMBERS: AtomicU32 = AtomicU32::new(0);

/// Reads files of one store and recognises those it has read before.
pub(in crate::replica) struct FileLoader {
    pub(in crate::replica) store: Arc<dyn Store>,
    portions: FetchSizes,
    shelf: Mutex<HashMap<(Level, FileName), Weak<LtxFile>>>,
    /// Listings show other versions of files than reads do, as those of some gateways.
    pub(in crate::replica) versions_differ: AtomicBool,
    /// Files that were read whole, and how they were found.
    pub(in crate::replica) checked: CheckedFiles,
    /// Whether every file is read whole before it is used.
    pub(in crate::replica) verifies: AtomicBool,
}

impl FileLoader {
    pub(in crate::replica) fn new(store: Arc<dyn Store>, portions: FetchSizes) -> FileLoader {
        FileLoader {
            store,
            portions,
            shelf: Mutex::default(),
            versions_differ: AtomicBool::new(false),
            checked: CheckedFiles::default(),
            verifies: AtomicBool::new(false),
        }
    }

    /// Fetches the header and the index of a listed file: one round trip, two for a very large index. The whole file if it
    /// is small, was damaged before, or every file is to be verified.
    ///
    /// Only the listed version is read. Where listings show other versions than reads do, length and time of the last change
    /// tell whether it is the same.
    pub(in crate::replica) async fn read(&self, listed: &Listed) -> Result<LoadedFile, LoadError> {
        if listed.version.is_none() || listed.modified_ms == 0 {
            // Without a time there is nothing else to compare.
            return self.read_if(listed, true).await;
        }
        let by_version = !self.versions_differ.load(Ordering::Relaxed);
        let reading = match self.read_if(listed, by_version).await {
            Err(LoadError::Moved) if by_version => self.read_if(listed, false).await?,
            reading => reading?,
        };
        // A file whose time was set after it was listed differs once, and the next one ends it.
        self.versions_differ.store(listed.version.as_ref() != Some(&reading.file.version), Ordering::Relaxed);
        reading.file.note_listed(listed.version.as_ref());
        Ok(reading)
    }

    async fn read_if(&self, listed: &Listed, by_version: bool) -> Result<LoadedFile, LoadError> {
        let whole = if listed.level == Level::ZERO { self.portions.whole_sync } else { self.portions.whole };
        let version = listed.version.as_ref().filter(|_| by_version);
        if listed.size <= whole {
            return match self.read_whole(listed, version).await {
                // A byte can go wrong on the way.
                Err(error) if error.is_damage() => self.read_whole(listed, version).await,
                read => read,
            };
        }
        if let Some(version) = &listed.version {
            self.refuse_damaged(listed, version)?;
        }
        let reading = match self.read_ends(listed, version).await {
            Err(error) if error.is_damage() => self.read_ends(listed, version).await,
            read => read,
        }?;
        self.refuse_damaged(listed, &reading.file.version)?;
        self.verify_file(&reading.file).await?;
        Ok(reading)
    }

    /// Asks for a file by its name alone, and fetches its header and index at once: one round trip if it is small. None if
    /// there is no such file.
    pub(in crate::replica) async fn ask(&self, level: Level, name: FileName) -> Result<Option<LoadedFile>, LoadError> {
        let chunk = match self.store.read(level, name, 0..self.portions.probe, None).await {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == store::StoreErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (size, version) = (chunk.file_size, Some(chunk.version.clone()));
        let listed = Listed { level, name, size, version, modified_ms: chunk.modified_ms };
        if size <= self.portions.probe {
            self.take_whole(&listed, chunk).map(Some)
        } else {
            // The version comes from a read, so another one is another file.
            self.read_if(&listed, true).await.map(Some)
        }
    }

    /// Fetches only the header.
    pub(in crate::replica) async fn header(&self, listed: &Listed) -> Result<Header, LoadError> {
        let chunk = self.fetch(listed, 0..Header::SIZE as u64, None).await?;
        self.check_header(listed, &chunk.bytes)
    }

    /// Whether a file that is listed with another version has the same content all the same.
    pub(in crate::replica) async fn is_unchanged(&self, file: &LtxFile, now: &Listed) -> Result<bool, LoadError> {
        let tail = self.fetch(now, now.size.saturating_sub(Trailer::SIZE as u64)..now.size, None).await?;
        let trailer = Trailer::parse(&tail.bytes).map_err(|cause| self.damaged(now, cause))?;
        let is_unchanged = trailer.file_checksum == file.checksum;
        if is_unchanged {
            file.note_listed(now.version.as_ref());
        }
        Ok(is_unchanged)
    }

    async fn read_whole(&self, listed: &Listed, version: Option<&Version>) -> Result<LoadedFile, LoadError> {
        let chunk = self.fetch_listed(listed, 0..listed.size, version).await?;
        self.take_whole(listed, chunk)
    }

    fn take_whole(&self, listed: &Listed, chunk: Chunk) -> Result<LoadedFile, LoadError> {
        let header = self.check_header(listed, &chunk.bytes)?;
        let verified = ltx::verify(&chunk.bytes).map_err(|cause| self.damaged(listed, cause))?;
        let kept = Some(chunk.bytes.clone()).filter(|_| listed.level == Level::ZERO);
        let file = self.shelve(listed, &chunk, header, verified.trailer, kept);
        file.integrity.verified();
        if file.body.is_none() {
            let outline = outline(&chunk.bytes, &verified.entries);
            file.integrity.track(outline.map_err(|cause| self.damaged(listed, cause))?);
        }
        Ok(LoadedFile {
            file,
            entries: verified.entries,
            left_out: None,
            parts: vec![FilePart { offset: 0, bytes: chunk.bytes }],
        })
    }

    async fn read_ends(&self, listed: &Listed, version: Option<&Version>) -> Result<LoadedFile, LoadError> {
        let tail_start = listed.size.saturating_sub(self.portions.tail_of(listed.size));
        let head = self.fetch_listed(listed, 0..self.portions.head.min(listed.size), version);
        let tail = self.fetch_listed(listed, tail_start..listed.size, version);
        let (head, tail) = try_join(head, tail).await?;
        if head.version != tail.version || head.file_size != listed.size {
            return Err(LoadError::Moved);
        }
        let header = self.check_header(listed, &head.bytes)?;
        let damaged = |cause| self.damaged(listed, cause);
        let range = ltx::index_range(listed.size, &tail.bytes).map_err(damaged)?;
        let is_large = range.end - range.start > self.portions.index;
        let index =
            if is_large { Bytes::new() } else { self.index_bytes(listed, &tail, tail_start, range.clone()).await? };
        let entries =
            if is_large { Vec::new() } else { ltx::parse_index(&index, &header, range.start).map_err(damaged)? };
        let trailer = tail.bytes.len().checked_sub(Trailer::SIZE).map(|start| &tail.bytes[start..]);
        let trailer = Trailer::parse(trailer.unwrap_or_default()).map_err(damaged)?;
        let file = self.shelve(listed, &head, header, trailer, None);
        if !is_large {
            let mut outline = OutlineReader::new(&head.bytes).map_err(damaged)?;
            outline.index(&index, &entries);
            file.integrity.track(outline.finish(&tail.bytes).map_err(damaged)?);
        }
        let parts = vec![FilePart { offset: 0, bytes: head.bytes }, FilePart { offset: tail_start, bytes: tail.bytes }];
        Ok(LoadedFile { file, entries, left_out: is_large.then_some(range), parts })
    }

    /// Reads an index that was left out, and hands it over in parts. Of its entries the reading keeps those whose frames
    /// are here.
    pub(in crate::replica) async fn read_left_out(
        &self,
        reading: &mut LoadedFile,
        mut each: impl FnMut(&[IndexEntry]),
    ) -> Result<(), LoadError> {
        let Some(range) = reading.left_out.take() else { return Ok(()) };
        let file = reading.file.clone();
        let damaged = |cause| LoadError::Other(Error::damaged(place(&*self.store, file.level, file.name), cause));
        let length = (self.portions.index / 2).max(1);
        let pieces = (range.start..range.end).step_by(length as usize).map(|start| {
            let piece = start..(start + length).min(range.end);
            self.store.read(file.level, file.name, piece, Some(&file.version))
        });
        let mut pieces = stream::iter(pieces.collect::<Vec<_>>()).buffered(PIECES_IN_FLIGHT);
        let mut reader = IndexReader::new(&file.header, range.start);
        let end_of = |part: Option<&FilePart>| part.map(|part| part.bytes.clone()).unwrap_or_default();
        let (head, tail) = (end_of(reading.parts.first()), end_of(reading.parts.last()));
        let mut outline = OutlineReader::new(&head).map_err(damaged)?;
        while let Some(piece) = pieces.next().await {
            let (piece, mut entries) = (piece?.bytes, Vec::new());
            reader.read(&piece, |entry| entries.push(entry)).map_err(damaged)?;
            outline.index(&piece, &entries);
            each(&entries);
            reading.note(entries.into_iter());
        }
        reader.finish().map_err(damaged)?;
        file.integrity.track(outline.finish(&tail).map_err(damaged)?);
        Ok(())
    }

    async fn index_bytes(
        &self,
        listed: &Listed,
        tail: &Chunk,
        tail_start: u64,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, LoadError> {
        let within = |offset: u64| offset.saturating_sub(tail_start) as usize;
        let known = tail.bytes.slice(within(range.start)..within(range.end));
        if range.start >= tail_start {
            return Ok(known);
        }
        let missing = range.start..tail_start.min(range.end);
        let before = self.fetch(listed, missing, Some(&tail.version)).await?;
        Ok([before.bytes, known].concat().into())
    }

    /// A range of a listed file: of that version or, where a version is listed but none is given, of the same length and time.
    async fn fetch_listed(
        &self,
        listed: &Listed,
        range: std::ops::Range<u64>,
        version: Option<&Version>,
    ) -> Result<Chunk, LoadError> {
        let chunk = self.fetch(listed, range, version).await?;
        let is_compared = version.is_none() && listed.version.is_some();
        // Reads tell seconds, listings more.
        let is_same = chunk.file_size == listed.size && chunk.modified_ms.abs_diff(listed.modified_ms) < 1000;
        if is_compared && !is_same { Err(LoadError::Moved) } else { Ok(chunk) }
    }

    async fn fetch(
        &self,
        listed: &Listed,
        range: std::ops::Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, LoadError> {
        Ok(self.store.read(listed.level, listed.name, range, expected).await?)
    }

    fn check_header(&self, listed: &Listed, bytes: &[u8]) -> Result<Header, LoadError> {
        let header = Header::parse(bytes).map_err(|cause| self.damaged(listed, cause))?;
        if (header.min_txid, header.max_txid) != (listed.name.min, listed.name.max) {
            let says = FileName { min: header.min_txid, max: header.max_txid };
            return Err(LoadError::Other(Error::misnamed(self.place(listed), says)));
        }
        Ok(header)
    }

    fn shelve(
        &self,
        listed: &Listed,
        chunk: &Chunk,
        header: Header,
        trailer: Trailer,
        body: Option<Bytes>,
    ) -> Arc<LtxFile> {
        let mut shelf = self.shelf.lock();
        let known = shelf.get(&(listed.level, listed.name)).and_then(Weak::upgrade);
        let same = known.filter(|known| known.checksum == trailer.file_checksum);
        let (spoiled, same) = match same {
            Some(same) if same.integrity.spoiled().is_some() => (true, None),
            same => (false, same),
        };
        if let Some(same) = same.as_ref().filter(|same| same.version == chunk.version) {
            return same.clone();
        }
        let integrity = same.as_ref().map_or_else(|| Arc::new(Integrity::new(false)), |same| same.integrity.clone());
        if spoiled {
            integrity.doubt();
        }
        let file = Arc::new(LtxFile {
            number: same.map_or_else(|| NUMBERS.fetch_add(1, Ordering::Relaxed), |same| same.number),
            level: listed.level,
            name: listed.name,
            version: chunk.version.clone(),
            listed: Mutex::default(),
            header,
            body,
            checksum: trailer.file_checksum,
            size: chunk.file_size,
            integrity,
        });
        shelf.retain(|_, file| file.strong_count() > 0);
        shelf.insert((listed.level, listed.name), Arc::downgrade(&file));
        file
    }

    fn place(&self, listed: &Listed) -> String {
        place(&*self.store, listed.level, listed.name)
    }

    fn damaged(&self, listed: &Listed, cause: ltx::LtxError) -> LoadError {
        LoadError::Other(Error::damaged(self.place(listed), cause))
    }
}

/// Of a whole file.
fn outline(bytes: &[u8], entries: &[IndexEntry]) -> Result<Outline, ltx::LtxError> {
    let index = ltx::index_range(bytes.len() as u64, bytes)?;
    let mut outline = OutlineReader::new(bytes)?;
    outline.index(&bytes[index.start as usize..index.end as usize], entries);
    outline.finish(bytes)
}

/// How an error names a file.
pub(in crate::replica) fn place(store: &dyn Store, level: Level, name: FileName) -> String {
    format!("{name} at level {level} of {store}")
}

/// Why a file could not be read.
#[derive(Debug)]
pub(in crate::replica) enum LoadError {
    /// It is not there any more, or other bytes stand under its name: the listing that named it is out of date.
    Moved,
    /// Anything else.
    Other(Error),
}

impl LoadError {
    /// What is wrong, if the file is there.
    pub(in crate::replica) fn cause(&self) -> Option<&Error> {
        match self {
            LoadError::Moved => None,
            LoadError::Other(error) => Some(error),
        }
    }

    /// Whether the file is there and its content is not what the format says.
    pub(in crate::replica) fn is_damage(&self) -> bool {
        matches!(self, LoadError::Other(error) if error.kind() == ErrorKind::Damaged)
    }
}

impl From<store::StoreError> for LoadError {
    fn from(error: store::StoreError) -> LoadError {
        match error.kind() {
            store::StoreErrorKind::NotFound | store::StoreErrorKind::Changed => LoadError::Moved,
            _ => LoadError::Other(error.into()),
        }
    }
}

impl fmt::Debug for FileLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Library({})", self.store)
    }
}
