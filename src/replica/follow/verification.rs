//! Reads the files of a view completely: on request, and before the view is served if the settings demand it.

use crate::error::{Error, ErrorKind};
use crate::ltx::{FileName, Level};
use crate::replica::files::load_error::LoadError;
use crate::replica::files::ltx_file::LtxFile;
use crate::replica::follow::Follower;
use crate::replica::view::View;
use std::sync::Arc;
use std::time::Duration;

/// A file that was read completely.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedFile {
    /// Its level.
    pub level: Level,
    /// Its name.
    pub name: FileName,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether its content is undamaged. None if the file no longer exists, or was only listed.
    pub is_right: Option<bool>,
    /// The error, if it is damaged or missing.
    pub error: Option<String>,
}

/// The progress of reading the files of a view.
#[derive(Default, Debug)]
pub struct Verification {
    /// Whether the files are read, or only listed.
    reads: bool,
    is_started: bool,
    /// The files that are left, in reverse order.
    pending: Vec<Arc<LtxFile>>,
}

impl Verification {
    /// Starts with the first file. With `reads` false, no file is read.
    pub fn new(reads: bool) -> Verification {
        Verification { reads, is_started: false, pending: Vec::new() }
    }
}

impl Follower {
    /// Reads the next file that contains pages of a view, level by level from 0. Returns no row after the last.
    pub(in crate::replica) async fn verify_next(
        &self,
        view: &View,
        verification: &mut Verification,
    ) -> Result<Vec<VerifiedFile>, Error> {
        if !std::mem::replace(&mut verification.is_started, true) {
            verification.pending = view.files().cloned().collect();
            verification.pending.sort_unstable_by_key(|file| std::cmp::Reverse((file.level, file.name)));
        }
        let Some(file) = verification.pending.pop() else { return Ok(Vec::new()) };
        let (is_right, error) = if verification.reads { self.verify_file(&file).await? } else { (None, None) };
        Ok(vec![VerifiedFile { level: file.level, name: file.name, bytes: file.size, is_right, error }])
    }

    /// Reads a file. Returns whether its content is undamaged, and the error.
    async fn verify_file(&self, file: &Arc<LtxFile>) -> Result<(Option<bool>, Option<String>), Error> {
        match self.files.loader.check_whole(file).await {
            Ok(()) => Ok((Some(true), None)),
            Err(LoadError::Moved) => Ok((None, Some("it was deleted or replaced since it was listed".to_owned()))),
            Err(LoadError::Other(error)) if error.kind() == ErrorKind::Damaged => {
                self.replace_damaged(file);
                Ok((Some(false), Some(error.to_string())))
            }
            Err(LoadError::Other(error)) => Err(error),
        }
    }

    /// Removes the pages of a damaged file from the cache, and has the next poll build a view without that file.
    fn replace_damaged(&self, file: &LtxFile) {
        if file.integrity.spoiled().is_some() {
            self.fetcher.cache().forget(file.number);
        }
        self.set_outdated();
    }

    /// Ensures that every file of the newest view was read completely and is undamaged. Fails if one is damaged and the
    /// same state cannot be built from other files.
    pub(in crate::replica) async fn verify_head(self: &Arc<Self>) -> Result<(), Error> {
        let failure = match self.verify_files().await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        self.set_outdated();
        self.poll(Duration::ZERO).await?;
        self.verify_files().await.map_err(|_| failure)
    }

    async fn verify_files(&self) -> Result<(), Error> {
        let Some(head) = self.head.view() else { return Ok(()) };
        for file in head.files().filter(|file| !file.integrity.is_verified()) {
            self.files.loader.check_whole(file).await.map_err(|error| self.files.failure(error))?;
        }
        Ok(())
    }
}
