//! Damaged files: they are planned around where others give the same state, as files that are missing are.

use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::ltx::{FileName, Level};
use crate::replica::files::loader::LoadError;
use crate::store::{Listed, Version};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// A damaged file, and what is wrong with it.
#[derive(Clone, Debug)]
pub(in crate::replica) struct Damage {
    pub file: Listed,
    pub error: Error,
}

impl Damage {
    /// What an error says of a file; the error itself if it is not about damage.
    pub(in crate::replica) fn of(file: &Listed, error: LoadError) -> Result<Damage, LoadError> {
        match error {
            LoadError::Other(cause) if cause.kind() == ErrorKind::Damaged => {
                Ok(Damage { file: file.clone(), error: cause })
            }
            error => Err(error),
        }
    }
}

/// Leaves damaged files out of a listing.
pub(in crate::replica) fn leave_out(listed: &mut Cow<'_, [Listed]>, damaged: &[Damage]) {
    listed.to_mut().retain(|file| !damaged.iter().any(|damage| damage.file == *file));
}

/// For how long a file counts as damaged without being read again. One that is repaired has another version and is read
/// at once.
const REMEMBERED: Duration = Duration::from_secs(600);

/// More files are not remembered.
const MOST: usize = 1024;

type FileKey = (Level, FileName);

/// The large files of a replica that were read whole.
#[derive(Default)]
pub(in crate::replica) struct CheckedFiles {
    verdicts: Mutex<HashMap<FileKey, Checked>>,
    /// Damaged files, large or not, that a warning was written about.
    told: Mutex<HashSet<FileKey>>,
}

struct Checked {
    version: Version,
    /// What is wrong with it.
    damage: Option<Error>,
    since: Instant,
}

impl CheckedFiles {
    /// What is wrong with a file, if that was found a short while ago.
    pub(in crate::replica) fn damage(&self, level: Level, name: FileName, version: &Version) -> Option<Error> {
        let verdicts = self.verdicts.lock();
        let known = verdicts.get(&(level, name)).filter(|known| known.version == *version);
        known.filter(|known| known.since.elapsed() < REMEMBERED)?.damage.clone()
    }

    /// Whether a file was right when it was last read whole, or damaged, in whatever version. None if it never was read.
    pub(in crate::replica) fn was_right(&self, level: Level, name: FileName, version: &Version) -> Option<bool> {
        let verdicts = self.verdicts.lock();
        let known = verdicts.get(&(level, name))?;
        match known.damage {
            Some(_) => Some(false),
            None => (known.version == *version).then_some(true),
        }
    }

    /// Remembers how a file was found.
    pub(in crate::replica) fn note(&self, level: Level, name: FileName, version: Version, damage: Option<Error>) {
        if damage.is_none() {
            self.told.lock().remove(&(level, name));
        }
        let mut verdicts = self.verdicts.lock();
        if verdicts.len() >= MOST {
            verdicts.clear();
        }
        verdicts.insert((level, name), Checked { version, damage, since: Instant::now() });
    }

    /// Whether nobody was told of a file.
    pub(in crate::replica) fn is_news(&self, level: Level, name: FileName) -> bool {
        let mut told = self.told.lock();
        if told.len() >= MOST {
            told.clear();
        }
        told.insert((level, name))
    }
}

/// The error of the first of some damaged files.
pub(in crate::replica) fn first_error(damaged: &[Damage]) -> Option<LoadError> {
    damaged.first().map(|damage| LoadError::Other(damage.error.clone()))
}
