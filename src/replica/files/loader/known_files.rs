//! The files that are in use.
//!
//! A file is identified by its content, not by its name: a name can be reused for other bytes, and the same bytes can
//! appear under another ETag (in a copied replica, or if a file's modification time is set after it appeared). Two
//! reads return the same file if level, name and checksum are equal. Both then have the same number, which is part of
//! the key under which pages are cached.

use crate::lock::Mutex;
use crate::ltx::{FileName, Header, Level, Trailer};
use crate::replica::cache::persistent::{CacheDirectory, FileIdentity};
use crate::replica::files::ltx_file::{FileBody, LtxFile};
use crate::replica::files::partial_index::PartialIndex;
use crate::store::{Chunk, Listed};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

/// The number of the next new file. Numbers are unique within the process.
static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);

/// Returns a number that no other file of the process has.
pub(super) fn new_number() -> u32 {
    NEXT_NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// The files that are in use, by level and name.
pub(super) struct KnownFiles {
    files: Mutex<HashMap<(Level, FileName), Weak<LtxFile>>>,
    directory: Option<Arc<CacheDirectory>>,
    /// How many bytes of files are kept in memory.
    kept: u64,
}

impl KnownFiles {
    pub(super) fn new(directory: Option<Arc<CacheDirectory>>, kept: u64) -> KnownFiles {
        KnownFiles { files: Mutex::default(), directory, kept }
    }

    /// Returns the known file that has this content, or remembers and returns a new one.
    ///
    /// The `body` is kept in memory if there is room. If the known file has another version, the new one gets its number, its integrity and its index. If wrong bytes
    /// were read of the known file, the new one gets a new number, so that it shares no cached pages, and must be read
    /// whole before it is used.
    pub(super) fn find_or_insert(
        &self,
        listed: &Listed,
        chunk: &Chunk,
        header: Header,
        trailer: Trailer,
        body: Option<Bytes>,
        partial_index: Option<PartialIndex>,
    ) -> Arc<LtxFile> {
        // Dropped after the lock: a file may be closed then.
        let mut in_use = Vec::new();
        let mut files = self.files.lock();
        let known = files.get(&(listed.level, listed.name)).and_then(Weak::upgrade);
        let same = known.filter(|known| known.checksum == trailer.file_checksum);
        let (is_spoiled, same) = match same {
            Some(same) if same.integrity.spoiled().is_some() => (true, None),
            same => (false, same),
        };
        if let Some(same) = same.as_ref().filter(|same| same.version == chunk.version) {
            return same.clone();
        }
        let integrity = same.as_ref().map_or_else(Arc::default, |same| same.integrity.clone());
        let partial_index = match &same {
            Some(same) => same.partial_index.clone(),
            None => partial_index.map(Arc::new),
        };
        if is_spoiled {
            integrity.doubt();
        }
        files.retain(|_, file| file.strong_count() > 0);
        let body = body.filter(|body| {
            in_use.extend(files.values().filter_map(Weak::upgrade));
            in_use.iter().map(|file| file.held()).sum::<u64>() + body.len() as u64 <= self.kept
        });
        let number = same.as_ref().map(|same| same.number);
        let number = number.unwrap_or_else(new_number);
        let slots = match (same, &self.directory) {
            (Some(same), _) => same.slots.clone(),
            (None, Some(directory)) if body.is_none() => {
                let identity = FileIdentity {
                    level: listed.level,
                    name: listed.name,
                    size: chunk.file_size,
                    checksum: trailer.file_checksum,
                    page_size: header.page_size.get(),
                };
                let integrity = integrity.clone();
                Some(directory.slots(number, &identity, Box::new(move |pgno, sum| integrity.admits(pgno, sum))))
            }
            _ => None,
        };
        let file = Arc::new(LtxFile {
            number,
            level: listed.level,
            name: listed.name,
            version: chunk.version.clone(),
            listed: Mutex::default(),
            header,
            body: body.map(FileBody::Memory),
            checksum: trailer.file_checksum,
            size: chunk.file_size,
            integrity,
            slots,
            partial_index,
        });
        files.insert((listed.level, listed.name), Arc::downgrade(&file));
        file
    }
}
