//! Whether the files that replace deleted ones are complete.
//!
//! Not every program writes a file in one step. So before files are deleted, the ends of those that replace them are read.

use crate::error::Error;
use crate::lock::Mutex;
use crate::ltx::{self, AFTER_INDEX, FileName, Header, Level, LtxError, Trailer};
use crate::replica::files::load_error::{display_name, named_header};
use crate::store::{Listed, Store, Version};
use std::collections::BTreeMap;

/// The files whose ends were read.
#[derive(Default)]
pub(super) struct CompleteFiles {
    known: Mutex<BTreeMap<(Level, FileName), Option<Version>>>,
}

impl CompleteFiles {
    /// Fails if a file of a higher level is incomplete that contains transactions of an expired file. `files` are all listed files.
    pub(super) async fn check(&self, store: &dyn Store, files: &[Listed], expired: &[Listed]) -> Result<(), Error> {
        let replaces = |file: &Listed, other: &Listed| {
            file.level > other.level && file.name.min <= other.name.max && file.name.max >= other.name.min
        };
        let is_expired =
            |file: &Listed| expired.iter().any(|other| (other.level, other.name) == (file.level, file.name));
        let mut checked = BTreeMap::new();
        let known = self.known.lock().clone();
        for file in files {
            let key = (file.level, file.name);
            let is_known = known.get(&key) == Some(&file.version);
            let is_needed = || expired.iter().any(|other| replaces(file, other)) && !is_expired(file);
            if is_known || is_needed() {
                if !is_known {
                    check_ends(store, file).await?;
                }
                checked.insert(key, file.version.clone());
            }
        }
        *self.known.lock() = checked;
        Ok(())
    }
}

/// Checks that a file begins with its header and ends with an index and a trailer.
async fn check_ends(store: &dyn Store, file: &Listed) -> Result<(), Error> {
    let shown = || display_name(store, file.level, file.name);
    let read = |range| store.read(file.level, file.name, range, None);
    let first = read(0..Header::SIZE as u64).await?;
    named_header(store, file, &first.bytes)?;
    let size = first.file_size;
    let tail = read(size.saturating_sub(AFTER_INDEX as u64)..size).await?.bytes;
    let index = ltx::index_range(size, &tail).map_err(|cause| Error::damaged(shown(), cause))?;
    // The index ends with a 0, and the checksum of the file has its highest bit set.
    let last = read(index.end - 1..index.end).await?.bytes;
    let trailer = Trailer::at_end(&tail).map_err(|cause| Error::damaged(shown(), cause))?;
    if *last != [0] || trailer.file_checksum >> 63 == 0 {
        return Err(Error::damaged(shown(), LtxError::IndexCut));
    }
    Ok(())
}
