//! The files of a plain web server that were found so far.
//!
//! What is remembered can be wrong: a whole replica can be replaced by another one with the same names, and a proxy can answer for the
//! server. Every response that shows another version of a file corrects it.

use super::WebStore;
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::store::{Chunk, StoreError, StoreErrorKind, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

/// Lengths and versions of files, so that each file is requested once for all listings. Snapshots are not remembered, because they can be
/// rewritten under their names.
#[derive(Default, Debug)]
pub(super) struct FileVersions(Mutex<BTreeMap<(Level, FileName), (u64, Version)>>);

impl FileVersions {
    /// Returns length and version of a file that was found.
    pub fn get(&self, level: Level, name: FileName) -> Option<(u64, Version)> {
        self.0.lock().get(&(level, name)).cloned()
    }

    /// Adds a file, as a request for a listing found it. If another version was there, all other files are forgotten: the replica may have
    /// been replaced.
    pub fn add(&self, level: Level, name: FileName, size: u64, version: &Version) {
        if level == Level::SNAPSHOT {
            return;
        }
        let (file, found) = ((level, name), (size, version.clone()));
        let mut files = self.0.lock();
        if files.get(&file).is_some_and(|before| *before != found) {
            files.clear();
        }
        files.insert(file, found);
    }

    /// Corrects a file that was found. Only this one, because its writer may not have finished it before.
    fn correct(&self, level: Level, name: FileName, size: u64, version: &Version) {
        if let Some(found) = self.0.lock().get_mut(&(level, name)) {
            *found = (size, version.clone());
        }
    }

    /// Forgets all files if this file was found with a version that it does not have.
    fn refute(&self, level: Level, name: FileName, version: &Version) {
        let mut files = self.0.lock();
        if files.get(&(level, name)).is_some_and(|(_, found)| found == version) {
            files.clear();
        }
    }

    /// Adds a file of level 0 that is in no listing. Removes the oldest if there are too many.
    fn add_newest(&self, name: FileName, size: u64, version: &Version) {
        const MOST: usize = 4096;
        let mut files = self.0.lock();
        files.insert((Level::ZERO, name), (size, version.clone()));
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

    /// Returns the first and the last of the files in `names` that were found.
    pub fn ends(&self, level: Level, names: &[FileName]) -> BTreeSet<FileName> {
        let files = self.0.lock();
        let found: Vec<&FileName> = names.iter().filter(|name| files.contains_key(&(level, **name))).collect();
        found.first().into_iter().chain(found.last()).map(|name| **name).collect()
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
    pub(super) fn update_file_versions(
        &self,
        level: Level,
        name: FileName,
        expected: Option<&Version>,
        result: &Result<Chunk, StoreError>,
    ) {
        match (result, expected) {
            (Ok(chunk), _) if level == Level::ZERO && self.has_manifest.load(Ordering::Relaxed) => {
                self.files.add_newest(name, chunk.file_size, &chunk.version);
            }
            (Ok(chunk), _) => self.files.correct(level, name, chunk.file_size, &chunk.version),
            (Err(error), _) if error.kind() == StoreErrorKind::NotFound => self.files.remove(level, name),
            (Err(error), Some(expected)) if error.kind() == StoreErrorKind::Changed => {
                self.files.refute(level, name, expected);
            }
            _ => {}
        }
    }
}
