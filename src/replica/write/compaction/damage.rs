//! The damaged files of a replica, around which the others are compacted.

use super::merge::{self, MergeError};
use crate::error::Error;
use crate::lock::Mutex;
use crate::ltx::{FileName, Level};
use crate::store::{Listed, Store, Version};
use std::collections::BTreeMap;

/// The files that were damaged when they were last read. They are read again in each run of all levels.
#[derive(Default)]
pub(super) struct DamagedFiles {
    known: Mutex<KnownDamages>,
}

type KnownDamages = BTreeMap<(Level, FileName), KnownDamage>;

/// What is wrong with a version of a file.
#[derive(Clone)]
struct KnownDamage {
    version: Option<Version>,
    error: Error,
}

impl DamagedFiles {
    /// Adds a file if it is damaged as well when it is read again: bytes can be damaged in transit. Returns whether it was added.
    pub(super) async fn add(&self, store: &dyn Store, file: &Listed) -> bool {
        let Err(MergeError::Damaged(level, name, error)) = merge::verify(store, file).await else { return false };
        self.known.lock().insert((level, name), KnownDamage { version: file.version.clone(), error });
        true
    }

    /// Reads the files again that are still there. `files` contains all levels.
    pub(super) async fn read_again(&self, store: &dyn Store, files: &[Listed]) {
        let known = self.known.lock().clone();
        let mut damaged = BTreeMap::new();
        for file in files {
            if let Some(damage) = damage_of(&known, file)
                && merge::verify(store, file).await.is_err()
            {
                damaged.insert((file.level, file.name), damage.clone());
            }
        }
        *self.known.lock() = damaged;
    }

    /// Removes them from a listing of some levels, and returns what is wrong with them.
    pub(super) fn leave_out(&self, files: &mut Vec<Listed>) -> Vec<Error> {
        let known = self.known.lock();
        let mut found = Vec::new();
        files.retain(|file| damage_of(&known, file).map(|damage| found.push(damage.error.clone())).is_none());
        found
    }
}

/// Returns what is wrong with a file, if that version of it is known.
fn damage_of<'a>(known: &'a KnownDamages, file: &Listed) -> Option<&'a KnownDamage> {
    known.get(&(file.level, file.name)).filter(|damage| damage.version == file.version)
}
