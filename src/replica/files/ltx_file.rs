//! What is read of a file before any of its pages is asked for: its header, its index, and what comes along.

use crate::lock::Mutex;
use crate::ltx::{FileName, Header, IndexEntry, Level};
use crate::replica::files::integrity::Integrity;
use crate::store::Version;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// A file of the replica: where it lies, and which bytes it has.
#[derive(Debug)]
pub(in crate::replica) struct LtxFile {
    /// Stands for the file's content in this process.
    pub number: u32,
    /// Its level.
    pub level: Level,
    /// Its name.
    pub name: FileName,
    /// The version that stood there when its index was read; its pages are read from no other.
    pub version: Version,
    /// The version that listings show of the same bytes, where it is another.
    pub listed: Mutex<Option<Version>>,
    /// Its header.
    pub header: Header,
    /// All of it, if it is a small file of level 0. Those are deleted within minutes, while views still refer to them.
    pub body: Option<Bytes>,
    /// Of all of its content.
    pub checksum: u64,
    /// How long it is, in bytes.
    pub size: u64,
    /// Whether its bytes have that checksum, as far as that is known.
    pub integrity: Arc<Integrity>,
}

impl LtxFile {
    /// Whether a listing shows these bytes.
    pub(in crate::replica) fn is_listed_as(&self, version: &Version) -> bool {
        self.version == *version || self.listed.lock().as_ref() == Some(version)
    }

    /// A listing shows these bytes as that version.
    pub(in crate::replica) fn note_listed(&self, version: Option<&Version>) {
        if let Some(version) = version.filter(|version| !self.is_listed_as(version)) {
            *self.listed.lock() = Some(version.clone());
        }
    }

    /// Bytes of the file that are kept in memory.
    pub(in crate::replica) fn held(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.len() as u64)
    }
}

/// A file with its index, as it is applied to a view.
pub(in crate::replica) struct LoadedFile {
    /// The file.
    pub file: Arc<LtxFile>,
    /// Its index, if it is not left out.
    pub entries: Vec<IndexEntry>,
    /// Which bytes of the file are its index, if that is too large to be in memory at once.
    pub left_out: Option<Range<u64>>,
    /// What was fetched of it on the way: all of it, or its ends.
    pub parts: Vec<FilePart>,
}

/// Bytes of a file that are here.
pub(in crate::replica) struct FilePart {
    /// Where they begin in the file.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

impl LoadedFile {
    /// The pages whose frames came whole, with those frames.
    pub(in crate::replica) fn frames(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.entries
            .iter()
            .filter_map(|entry| Some((entry.pgno, self.parts.iter().find_map(|part| part.frame(entry))?)))
    }

    /// Forgets the index but for the pages whose frames came. Answers how many bytes came.
    pub(in crate::replica) fn shorten(&mut self) -> u64 {
        let entries = std::mem::take(&mut self.entries);
        self.note(entries.into_iter());
        self.parts.iter().map(|part| part.bytes.len() as u64).sum()
    }

    /// Takes those of some entries whose frames came.
    pub(in crate::replica) fn note(&mut self, entries: impl Iterator<Item = IndexEntry>) {
        let parts = &self.parts;
        self.entries.extend(entries.filter(|entry| parts.iter().any(|part| part.frame(entry).is_some())));
    }
}

impl FilePart {
    fn frame(&self, entry: &IndexEntry) -> Option<&[u8]> {
        let start = usize::try_from(entry.offset.checked_sub(self.offset)?).ok()?;
        self.bytes.get(start..start.checked_add(entry.size as usize)?)
    }
}

/// What is fetched of a file at once, in bytes. A second round trip costs more than some bytes too many.
#[derive(Clone, Copy, Debug)]
pub(in crate::replica) struct FetchSizes {
    /// Of a file that may not be there: most syncs of a primary are smaller.
    pub probe: u64,
    /// Files of level 0 up to this size are fetched whole, and kept while a view refers to them: they are deleted soon,
    /// and hold what is read next.
    pub whole_sync: u64,
    /// Other files up to this size are fetched whole.
    pub whole: u64,
    /// Of a larger file's beginning: in a snapshot page 1 and what lies beside it.
    pub head: u64,
    /// Of its end, at the least, in the hope that the index fits.
    pub tail: u64,
    /// An index larger than this is fetched and read in pieces of half as much.
    pub index: u64,
}

/// An index takes about a four-hundredth of its file. As much again before it holds the newest pages.
const TAIL_SHARE: u64 = 200;

/// But no more than this: most of a very large index comes with a second request, which hardly shows beside its bytes.
const LARGEST_TAIL: u64 = 4 << 20;

impl FetchSizes {
    /// How much to fetch of the end of a file of `size` bytes.
    pub(in crate::replica) fn tail_of(&self, size: u64) -> u64 {
        self.tail.max((size / TAIL_SHARE).min(LARGEST_TAIL))
    }

    pub(in crate::replica) const USUAL: FetchSizes = FetchSizes {
        probe: 128 << 10,
        whole_sync: 1 << 20,
        whole: 256 << 10,
        head: 64 << 10,
        tail: 256 << 10,
        index: 8 << 20,
    };
}
