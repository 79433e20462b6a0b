//! The files of a plain web server that were found so far.

use super::WebStore;
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::store::{Chunk, StoreError, StoreErrorKind, Version};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Lengths and versions of files, so that each file is requested once for all listings.
#[derive(Default, Debug)]
pub(super) struct FileVersions(Mutex<BTreeMap<(Level, FileName), (u64, Version)>>);

impl FileVersions {
    /// Returns length and version of a file that was found.
    pub fn get(&self, level: Level, name: FileName) -> Option<(u64, Version)> {
        self.0.lock().get(&(level, name)).cloned()
    }

    /// Adds a file, or updates it.
    pub fn add(&self, level: Level, name: FileName, size: u64, version: &Version) {
        self.0.lock().insert((level, name), (size, version.clone()));
    }

    /// Adds a file of level 0 that is in no listing. Removes the oldest if there are too many.
    fn add_newest(&self, name: FileName, size: u64, version: &Version) {
        const MOST: usize = 4096;
        self.add(Level::ZERO, name, size, version);
        let mut files = self.0.lock();
        if files.len() > MOST
            && let Some(oldest) = files.first_entry().filter(|oldest| oldest.key().0 == Level::ZERO)
        {
            oldest.remove();
        }
    }

    /// Removes a file that does not exist any more.
    pub fn remove(&self, level: Level, name: FileName) {
        self.0.lock().remove(&(level, name));
    }

    /// Removes the files of a level that are not in `names`, which must be ascending.
    pub fn retain(&self, level: Level, names: &[FileName]) {
        self.0.lock().retain(|(other, name), _| *other != level || names.binary_search(name).is_ok());
    }

    /// Returns the files of a level whose min TXID is at least `from`, ascending.
    pub fn names(&self, level: Level, from: Txid) -> Vec<FileName> {
        let start = (level, FileName { min: from, max: Txid(0) });
        let files = self.0.lock();
        let names = files.range(start..).map(|(file, _)| *file).take_while(|(other, _)| *other == level);
        names.map(|(_, name)| name).collect()
    }
}

impl WebStore {
    /// Takes the result of a read into account.
    pub(super) fn update_file_versions(&self, level: Level, name: FileName, result: &Result<Chunk, StoreError>) {
        match result {
            Ok(chunk) if level == Level::ZERO && self.has_manifest.load(Ordering::Relaxed) => {
                self.files.add_newest(name, chunk.file_size, &chunk.version);
            }
            Err(error) if error.kind() == StoreErrorKind::NotFound => self.files.remove(level, name),
            _ => {}
        }
    }
}
