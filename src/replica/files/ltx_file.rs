//! A file of the replica, and what is read of it before its pages are fetched: the header, the index, and the bytes
//! around them.

use crate::lock::Mutex;
use crate::ltx::{FileName, Header, IndexEntry, Level, LtxError, Txid};
use crate::pread;
use crate::replica::cache::persistent::SlotFile;
use crate::replica::files::integrity::{Integrity, IntegrityVerdict};
use crate::replica::files::partial_index::PartialIndex;
use crate::store::{Listed, Version};
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A file of the replica, identified by its content.
#[derive(Debug)]
pub(in crate::replica) struct LtxFile {
    /// Identifies the content of the file within this process.
    pub number: u32,
    pub level: Level,
    pub name: FileName,
    /// The version whose index was read. Pages are read from this version only.
    pub version: Version,
    /// The version that listings show for the same bytes, if it is a different one.
    pub listed: Mutex<Option<Version>>,
    pub header: Header,
    /// The whole file, if its pages are not read from the store.
    pub body: Option<FileBody>,
    /// Checksum of the whole content.
    pub checksum: u64,
    /// Size in bytes.
    pub size: u64,
    /// Whether the bytes are known to match the checksum.
    pub integrity: Arc<Integrity>,
    /// Keeps the pages of the file in the cache directory accessible, if there is one.
    pub slots: Option<Arc<SlotFile>>,
    /// The index, if it is read in parts when they are needed.
    pub partial_index: Option<Arc<PartialIndex>>,
}

/// The bytes of a file whose pages are not read from the store.
#[derive(Clone, Debug)]
pub(in crate::replica) enum FileBody {
    /// In memory: a small file of level 0. Those are deleted within minutes, while views still refer to them.
    Memory(Bytes),
    /// In the journal of this process, from this offset on: a transaction that is not in the replica yet.
    Journal(Arc<File>, u64),
}

impl FileBody {
    /// Returns a range of the bytes.
    pub(in crate::replica) fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        match self {
            FileBody::Memory(bytes) => {
                let range = range.start as usize..range.end as usize;
                bytes.get(range.clone()).map(|_| bytes.slice(range)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
            FileBody::Journal(file, start) => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                pread::read_exact_at(file, &mut bytes, start + range.start)?;
                Ok(bytes.into())
            }
        }
    }

    /// Returns how many of the bytes are in memory.
    fn held(&self) -> u64 {
        match self {
            FileBody::Memory(bytes) => bytes.len() as u64,
            FileBody::Journal(..) => 0,
        }
    }
}

impl LtxFile {
    /// Returns whether the file is in the journal of this process, and not in the replica.
    pub(in crate::replica) fn is_journalled(&self) -> bool {
        matches!(self.body, Some(FileBody::Journal(..)))
    }

    /// Returns whether the writer of the file has read `before` as the file of the transaction before. None if the file does not say, or if
    /// `before` is no such file.
    pub(in crate::replica) fn follows(&self, before: &LtxFile) -> Option<bool> {
        self.header.follows(&before.header, before.checksum).filter(|_| before.level == Level::ZERO)
    }

    /// Returns whether a listing that shows `version` shows these bytes.
    pub(in crate::replica) fn is_listed_as(&self, version: &Version) -> bool {
        self.version == *version || self.listed.lock().as_ref() == Some(version)
    }

    /// Remembers the version that a listing shows for these bytes.
    pub(in crate::replica) fn note_listed(&self, version: Option<&Version>) {
        if let Some(version) = version.filter(|version| !self.is_listed_as(version)) {
            *self.listed.lock() = Some(version.clone());
        }
    }

    /// Returns the entry of the file in a listing.
    pub(in crate::replica) fn as_listed(&self) -> Listed {
        let version = self.listed.lock().clone().unwrap_or_else(|| self.version.clone());
        Listed { level: self.level, name: self.name, size: self.size, version: Some(version), modified_ms: 0 }
    }

    /// Returns the index, if it can be read in parts.
    pub(in crate::replica) fn readable_index(&self) -> Option<&PartialIndex> {
        self.partial_index.as_deref().filter(|index| index.is_trusted())
    }

    /// Adds blocks of the index, see [`PartialIndex::add`].
    pub(in crate::replica) fn add_index_blocks(
        &self,
        blocks: Range<u64>,
        bytes: &[u8],
        offset: u64,
    ) -> Result<IntegrityVerdict, LtxError> {
        let Some(index) = &self.partial_index else { return Ok(IntegrityVerdict::Sound) };
        let mut verdict = IntegrityVerdict::Sound;
        for known in index.add(blocks, bytes, offset)? {
            match self.integrity.add_index(known.at, &bytes[known.range]) {
                IntegrityVerdict::Sound => {}
                other => verdict = other,
            }
        }
        Ok(verdict)
    }

    /// Returns how many bytes of the file are kept in memory.
    pub(in crate::replica) fn held(&self) -> u64 {
        self.body.as_ref().map_or(0, FileBody::held)
    }
}

/// A file with its index, ready to be applied to a view.
pub(in crate::replica) struct LoadedFile {
    pub file: Arc<LtxFile>,
    /// The index. If reading it was deferred, or if it is read in parts, only the entries whose frames have been fetched.
    pub entries: Vec<IndexEntry>,
    /// Whether the file contains every page, and its [`LtxFile::partial_index`] has those that `entries` has not.
    pub is_partial: bool,
    /// The byte range of the index, if that is too large to be in memory at once and has not been read yet.
    pub deferred_index: Option<Range<u64>>,
    /// The parts that were fetched to read the header and the index: the whole file, or its head and its tail.
    pub parts: Vec<FilePart>,
}

/// A part of a file that has been fetched.
pub(in crate::replica) struct FilePart {
    /// Offset of the part in the file.
    pub offset: u64,
    pub bytes: Bytes,
}

impl LoadedFile {
    /// Returns the pages whose frames have been fetched, with those frames.
    pub(in crate::replica) fn frames(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.entries
            .iter()
            .filter_map(|entry| Some((entry.pgno, self.parts.iter().find_map(|part| part.frame(entry))?)))
    }

    /// Returns whether the whole file has been fetched, and so verified.
    pub(in crate::replica) fn is_whole(&self) -> bool {
        self.parts.iter().any(|part| part.bytes.len() as u64 == self.file.size)
    }

    /// Drops the index entries whose frames have not been fetched. Returns how many bytes of the file have been
    /// fetched.
    pub(in crate::replica) fn retain_fetched_entries(&mut self) -> u64 {
        let entries = std::mem::take(&mut self.entries);
        self.add_fetched_entries(entries.into_iter());
        self.parts.iter().map(|part| part.bytes.len() as u64).sum()
    }

    /// Adds those of some index entries whose frames have been fetched.
    pub(in crate::replica) fn add_fetched_entries(&mut self, entries: impl Iterator<Item = IndexEntry>) {
        let parts = &self.parts;
        self.entries.extend(entries.filter(|entry| parts.iter().any(|part| part.frame(entry).is_some())));
    }
}

impl FilePart {
    /// Returns the bytes of the file that the part contains.
    pub(in crate::replica) fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.bytes.len() as u64
    }

    /// Returns the frame of an index entry, or None if this part does not contain all of it.
    fn frame(&self, entry: &IndexEntry) -> Option<&[u8]> {
        let start = usize::try_from(entry.offset.checked_sub(self.offset)?).ok()?;
        self.bytes.get(start..start.checked_add(entry.size as usize)?)
    }
}

/// How much of a file is fetched at once, in bytes. A second round trip costs more than some unneeded bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::replica) struct FetchSizes {
    /// First read of a file that may not exist. Most files that a primary writes are smaller.
    pub probe: u64,
    /// Files of level 0 up to this size are fetched whole and kept while a view refers to them: they are deleted soon,
    /// and contain the pages that are likely to be read next.
    pub whole_sync: u64,
    /// How many bytes of them are kept. If more pile up, they are hardly compacted and deleted soon, and their pages are read from the store.
    pub kept_sync: u64,
    /// Other files up to this size are fetched whole.
    pub whole: u64,
    /// First read at the start of a larger file. In a snapshot it contains page 1 and the pages next to it.
    pub head: u64,
    /// Smallest read at the end of a larger file, which usually contains the index.
    pub tail: u64,
    /// An index larger than this is fetched and parsed in pieces of half this size.
    pub index: u64,
    /// An index of a file with every page is read in parts if it is larger than this.
    pub partial_index: u64,
    /// The length of the blocks in which it is read.
    pub index_block: u64,
    /// The distance of the samples that are read first.
    pub index_sample: u64,
}

/// An index takes about 1/400 of its file. The tail is twice as long, so that it also contains the newest pages.
const TAIL_SHARE: u64 = 200;

/// Upper bound of the tail. The rest of a larger index takes a second request, which costs little compared with the
/// transfer of such an index.
const LARGEST_TAIL: u64 = 4 << 20;

impl FetchSizes {
    /// Returns how many bytes to fetch at the end of a file of `size` bytes. The index of a file that starts at the first
    /// transaction need not be read whole.
    pub(in crate::replica) fn tail_of(&self, name: FileName, size: u64) -> u64 {
        if name.min == Txid(1) { self.tail } else { self.tail.max((size / TAIL_SHARE).min(LARGEST_TAIL)) }
    }

    pub(in crate::replica) const USUAL: FetchSizes = FetchSizes {
        probe: 128 << 10,
        whole_sync: 1 << 20,
        kept_sync: 128 << 20,
        whole: 256 << 10,
        head: 64 << 10,
        tail: 256 << 10,
        index: 8 << 20,
        partial_index: 256 << 10,
        index_block: 64 << 10,
        index_sample: 8 << 20,
    };
}
