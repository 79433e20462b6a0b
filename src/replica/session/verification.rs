//! Reading the files of a state whole on request, and before it is served where the settings want that.

use crate::error::{Error, ErrorKind};
use crate::ltx::{FileName, Level};
use crate::replica::files::loader::{FileLoader, LoadError};
use crate::replica::files::ltx_file::LtxFile;
use crate::replica::files::whole;
use crate::replica::{Replica, View};
use crate::store::{Listed, Version};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A file that was read whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedFile {
    /// Its level.
    pub level: Level,
    /// Its name.
    pub name: FileName,
    /// How long it is.
    pub bytes: u64,
    /// Whether its content is what was written. None if it is not there any more.
    pub is_right: Option<bool>,
    /// What is wrong.
    pub error: Option<String>,
}

/// How far the files of a state have been read.
#[derive(Clone, Default, Debug)]
pub struct Verification {
    has_begun: bool,
    /// The other way round.
    pending: Vec<Arc<LtxFile>>,
}

impl PartialEq for Verification {
    fn eq(&self, other: &Verification) -> bool {
        let same = |(one, other): (&Arc<LtxFile>, &Arc<LtxFile>)| Arc::ptr_eq(one, other);
        self.has_begun == other.has_begun
            && self.pending.len() == other.pending.len()
            && self.pending.iter().zip(&other.pending).all(same)
    }
}

impl Eq for Verification {}

impl FileLoader {
    /// Whether every file is to be read whole before it is used.
    pub(in crate::replica) fn verify(&self, verifies: bool) {
        self.verifies.store(verifies, Ordering::Relaxed);
    }

    /// Whether a view that is known may be read.
    pub(in crate::replica) fn may_serve(&self, view: &View) -> bool {
        let needs_all = self.verifies.load(Ordering::Relaxed);
        !view.is_spoiled() && (!needs_all || view.is_verified())
    }

    /// An error if a version of a file is known to be damaged.
    pub(in crate::replica) fn refuse_damaged(&self, listed: &Listed, version: &Version) -> Result<(), LoadError> {
        self.checked.damage(listed.level, listed.name, version).map_or(Ok(()), |error| Err(LoadError::Other(error)))
    }

    /// Reads a file whole if there is a reason to.
    pub(in crate::replica) async fn verify_file(&self, file: &LtxFile) -> Result<(), LoadError> {
        let was_right = self.checked.was_right(file.level, file.name, &file.version);
        if file.integrity.is_doubted() || was_right == Some(false) {
            return self.check_whole(file).await;
        }
        if was_right == Some(true) {
            file.integrity.mark_verified();
        }
        if file.integrity.is_verified() || !self.verifies.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.check_whole(file).await
    }

    /// Reads a file whole and remembers how it was found.
    pub(in crate::replica) async fn check_whole(&self, file: &LtxFile) -> Result<(), LoadError> {
        let checked = whole::check(&*self.store, file).await;
        let damage = match &checked {
            Ok(()) => {
                file.integrity.mark_verified();
                None
            }
            Err(LoadError::Other(error)) if error.kind() == ErrorKind::Damaged => Some(error.clone()),
            Err(_) => return checked,
        };
        self.checked.note(file.level, file.name, file.version.clone(), damage);
        checked
    }
}

impl Replica {
    /// Reads the next file that a view has pages from, level by level from 0. None is left where none comes.
    pub(crate) async fn verify_next(
        &self,
        view: &View,
        verification: &mut Verification,
    ) -> Result<Vec<VerifiedFile>, Error> {
        if !std::mem::replace(&mut verification.has_begun, true) {
            verification.pending = view.files().cloned().collect();
            verification.pending.sort_unstable_by_key(|file| std::cmp::Reverse((file.level, file.name)));
        }
        let Some(file) = verification.pending.pop() else { return Ok(Vec::new()) };
        let (is_right, error) = match self.library.check_whole(&file).await {
            Ok(()) => (Some(true), None),
            Err(LoadError::Moved) => (None, Some("it was deleted or replaced since it was listed".to_owned())),
            Err(LoadError::Other(error)) if error.kind() == ErrorKind::Damaged => {
                self.leave(&file);
                (Some(false), Some(error.to_string()))
            }
            Err(LoadError::Other(error)) => return Err(error),
        };
        Ok(vec![VerifiedFile { level: file.level, name: file.name, bytes: file.size, is_right, error }])
    }

    /// Has the next poll look for a view without a damaged file.
    fn leave(&self, file: &LtxFile) {
        if file.integrity.spoiled().is_some() {
            self.fetcher.cache().forget(file.number);
        }
        self.outdated.store(true, Ordering::Relaxed);
    }

    /// Sees to it that every file of the newest view was read whole and is right. An error if one is damaged and no others
    /// give the same state.
    pub(in crate::replica) async fn verify_head(self: &Arc<Self>) -> Result<(), Error> {
        let failure = match self.verify_files().await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        self.outdated.store(true, Ordering::Relaxed);
        self.poll(Duration::ZERO).await?;
        self.verify_files().await.map_err(|_| failure)
    }

    async fn verify_files(&self) -> Result<(), Error> {
        let Some(head) = self.head() else { return Ok(()) };
        for file in head.files().filter(|file| !file.integrity.is_verified()) {
            match self.library.check_whole(file).await {
                Ok(()) => {}
                Err(LoadError::Moved) => return Err(self.too_fast()),
                Err(LoadError::Other(error)) => return Err(error),
            }
        }
        Ok(())
    }
}
