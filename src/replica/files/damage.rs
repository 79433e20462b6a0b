//! Damaged files. Plans treat them like missing files: they avoid them if other files give the same state.

use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::ltx::{FileName, Level};
use crate::replica::files::load_error::LoadError;
use crate::store::{Listed, Version};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// A damaged file, with the error that reading it failed with.
#[derive(Clone, Debug)]
pub(in crate::replica) struct Damage {
    pub file: Listed,
    pub error: Error,
}

impl Damage {
    /// Returns the damage that an error of reading `file` describes. Fails with the error itself if it describes none.
    pub(in crate::replica) fn of(file: &Listed, error: LoadError) -> Result<Damage, LoadError> {
        match error {
            LoadError::Other(cause) if cause.kind() == ErrorKind::Damaged => {
                Ok(Damage { file: file.clone(), error: cause })
            }
            error => Err(error),
        }
    }
}

/// Removes damaged files from a listing.
pub(in crate::replica) fn leave_out(listed: &mut Cow<'_, [Listed]>, damaged: &[Damage]) {
    listed.to_mut().retain(|file| !damaged.iter().any(|damage| damage.file == *file));
}

/// Returns the error of the first of some damaged files.
pub(in crate::replica) fn first_error(damaged: &[Damage]) -> Option<LoadError> {
    damaged.first().map(|damage| LoadError::Other(damage.error.clone()))
}

/// How long a file counts as damaged before it is read again. A repaired file has another version and is read at once.
const DAMAGE_TTL: Duration = Duration::from_secs(600);

/// Upper bound of the number of files that are remembered.
const MAX_FILES: usize = 1024;

type FileKey = (Level, FileName);

/// The large files of a replica that were read whole, with the results.
#[derive(Default)]
pub(in crate::replica) struct CheckedFiles {
    results: Mutex<HashMap<FileKey, CheckResult>>,
    /// Damaged files, small ones included, for which a warning has been logged.
    reported: Mutex<HashSet<FileKey>>,
}

struct CheckResult {
    version: Version,
    /// The error, if the file is damaged.
    damage: Option<Error>,
    checked_at: Instant,
}

impl CheckedFiles {
    /// Returns the error of this version of a file if it was found damaged within the last ten minutes.
    pub(in crate::replica) fn damage(&self, level: Level, name: FileName, version: &Version) -> Option<Error> {
        let results = self.results.lock();
        let result = results.get(&(level, name)).filter(|result| result.version == *version);
        result.filter(|result| result.checked_at.elapsed() < DAMAGE_TTL)?.damage.clone()
    }

    /// Returns the result of the last time a file was read whole: `Some(true)` if this version was right, `Some(false)`
    /// if any version was damaged, None if there is no result for this version.
    pub(in crate::replica) fn was_right(&self, level: Level, name: FileName, version: &Version) -> Option<bool> {
        let results = self.results.lock();
        let result = results.get(&(level, name))?;
        match result.damage {
            Some(_) => Some(false),
            None => (result.version == *version).then_some(true),
        }
    }

    /// Remembers the result of reading a file whole.
    pub(in crate::replica) fn note(&self, level: Level, name: FileName, version: Version, damage: Option<Error>) {
        if damage.is_none() {
            self.reported.lock().remove(&(level, name));
        }
        let mut results = self.results.lock();
        if results.len() >= MAX_FILES {
            results.clear();
        }
        results.insert((level, name), CheckResult { version, damage, checked_at: Instant::now() });
    }

    /// Returns whether a damaged file has not been reported before, and remembers that it has now.
    pub(in crate::replica) fn is_first_report(&self, level: Level, name: FileName) -> bool {
        let mut reported = self.reported.lock();
        if reported.len() >= MAX_FILES {
            reported.clear();
        }
        reported.insert((level, name))
    }
}
