//! The damaged files of a replica, around which the others are compacted.

use super::merge;
use crate::error::Error;
use crate::lock::Mutex;
use crate::ltx::{FileName, Level};
use crate::store::{Listed, Store, Version};
use std::collections::BTreeMap;

/// The files that were damaged when they were last read. They are read again in each run of all levels.
#[derive(Default)]
pub(super) struct DamagedFiles {
    known: Mutex<BTreeMap<(Level, FileName), (Option<Version>, Error)>>,
}

impl DamagedFiles {
    /// Adds a file if it is damaged as well when it is read again: bytes can be damaged in transit. Returns whether it was added.
    pub(super) async fn add(&self, store: &dyn Store, file: &Listed) -> bool {
        let Some(error) = merge::damage(store, file).await else { return false };
        self.known.lock().insert((file.level, file.name), (file.version.clone(), error));
        true
    }

    /// Reads the files again.
    pub(super) async fn read_again(&self, store: &dyn Store, files: &[Listed]) {
        for file in files.iter().filter(|file| self.contains(file)) {
            if merge::damage(store, file).await.is_none() {
                self.known.lock().remove(&(file.level, file.name));
            }
        }
    }

    /// Removes them from a listing of some levels, and returns what is wrong with them.
    pub(super) fn leave_out(&self, files: &mut Vec<Listed>) -> Vec<Error> {
        let errors = |file: &Listed| {
            self.known.lock().get(&(file.level, file.name)).filter(|(version, _)| *version == file.version).cloned()
        };
        let mut found = Vec::new();
        files.retain(|file| errors(file).map(|(_, error)| found.push(error)).is_none());
        found
    }

    fn contains(&self, file: &Listed) -> bool {
        self.known.lock().contains_key(&(file.level, file.name))
    }
}
