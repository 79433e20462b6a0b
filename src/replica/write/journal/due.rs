//! When a group is uploaded, and who waits for it.

use super::failure::{StorageFailure, UploadFailure, hangs};
use super::pending::NextPlace;
use super::{Journal, JournalSettings, JournalState, OpenJournal};
use crate::error::{Error, ErrorKind, remedy_unless_files};
use crate::replica::write::transaction::TransactionFile;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

impl Journal {
    /// Begins the upload of the next group, if none is going on. Returns the file to upload; None if there is none.
    pub(super) fn seal(&self) -> Result<Option<(TransactionFile, NextPlace)>, UploadFailure> {
        let mut state = self.state.lock();
        let Some(open) = state.open.as_mut().filter(|open| open.stopped.is_none()) else { return Ok(None) };
        if open.pending.sealed.is_none() {
            let Some(file) = open.pending.merge(&open.storage)? else { return Ok(None) };
            open.remove_uploaded().map_err(UploadFailure::Temporary)?;
            if let Err(failure) = open.storage.seal(&file.bytes) {
                return Err(open.not_sealed(&failure));
            }
            open.pending.seal(file);
        }
        Ok(open.pending.sealed.as_ref().map(|sealed| (sealed.file.clone(), sealed.place)))
    }

    /// Removes the file of the group that was uploaded from the disk.
    pub(super) fn remove_uploaded(&self) -> Result<(), Error> {
        self.state.lock().open.as_mut().map_or(Ok(()), OpenJournal::remove_uploaded)
    }

    /// Waits until a group has to be uploaded.
    pub(super) async fn wait_until_due(&self, not_before: Instant) {
        let mut changes = self.changed.subscribe();
        loop {
            let due = {
                let state = self.state_in_task().await;
                state.due(&self.settings).map(|due| if state.is_wanted() { due } else { due.max(not_before) })
            };
            match due {
                Some(due) if due <= Instant::now() => return,
                Some(due) => {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        _ = changes.changed() => {}
                    }
                }
                // The sender is part of `self`, so it exists.
                None => drop(changes.changed().await),
            }
        }
    }

    /// Has everything be uploaded at once that is in the journal now, and waits until it is. Fails if the journal is stopped.
    pub(super) async fn wait_until_uploaded(&self) -> Result<(), Error> {
        match self.want().await? {
            Some(wanted) => self.wait_for(wanted).await,
            None => Ok(()),
        }
    }

    /// Has everything be uploaded at once that is in the journal now. Returns the number of the last transaction; None if there is none.
    /// Fails if the journal cannot be read.
    async fn want(&self) -> Result<Option<u64>, Error> {
        let mut state = self.state_in_task().await;
        let Some(open) = &state.open else {
            // What another process has in its journal is its own.
            let damage = state.failure.clone().filter(|failure| failure.kind() != ErrorKind::Busy);
            return damage.map_or(Ok(None), Err);
        };
        if open.pending.is_empty() {
            return Ok(None);
        }
        let wanted = open.pending.appended;
        state.wanted = state.wanted.max(wanted);
        drop(state);
        self.changed.send_replace(());
        Ok(Some(wanted))
    }

    /// Waits until a transaction is uploaded. Fails if the journal is stopped.
    async fn wait_for(&self, wanted: u64) -> Result<(), Error> {
        let mut changes = self.changed.subscribe();
        loop {
            {
                let state = self.state_in_task().await;
                match &state.open {
                    None => return Ok(()),
                    Some(open) if open.pending.uploaded >= wanted => return Ok(()),
                    Some(OpenJournal { stopped: Some(stopped), .. }) => return Err(stopped.clone()),
                    Some(_) => {}
                }
            }
            let _ = changes.changed().await;
        }
    }

    pub(super) async fn fail(&self, error: Error) {
        let mut state = self.state_in_task().await;
        if state.failure.is_none() {
            tracing::warn!("the journal is not uploaded yet: {error}");
        }
        state.failure = Some(error);
        // A caller that waits has the next try be made after a pause, too.
        state.wanted = 0;
    }

    /// Returns the error of a caller that has waited for the upload, or for the disk.
    pub(super) async fn not_uploaded(&self, limit: Duration) -> Error {
        let Ok(state) = timeout(Duration::from_secs(1), self.state_in_task()).await else {
            return hangs(&self.settings.directory, limit);
        };
        let (what, path) = state
            .open
            .as_ref()
            .map_or_else(Default::default, |open| (open.pending.describe(), open.storage.path().display().to_string()));
        let cause = state.failure.as_ref().map_or_else(|| format!("it takes longer than {limit:?}"), Error::to_string);
        let text = format!("{what} are not uploaded, and stay in the journal {path}: {cause}");
        Error::new(ErrorKind::Unreachable, text).remedy(
            "they are uploaded when the store can be reached, also by the next process that writes with this journal",
        )
    }
}

impl JournalState {
    /// Returns when the next group has to be uploaded; None if there is none.
    fn due(&self, settings: &JournalSettings) -> Option<Instant> {
        let open = self.open.as_ref().filter(|open| open.stopped.is_none())?;
        // An upload that has failed is tried again, also if it could not begin.
        let has_failed = self.failure.is_some() && !open.pending.is_empty();
        if open.pending.sealed.is_some() || has_failed || self.is_wanted() || open.pending.is_large(settings.limits) {
            return Some(Instant::now());
        }
        Some(open.pending.began? + settings.interval)
    }

    fn is_wanted(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.pending.is_empty() && open.pending.uploaded < self.wanted)
    }
}

impl OpenJournal {
    /// Removes the file of the last upload, if it is still there.
    pub(super) fn remove_uploaded(&mut self) -> Result<(), Error> {
        if self.is_upload_left {
            self.storage.uploaded().map_err(|cause| {
                let text =
                    format!("what was uploaded cannot be removed from {}: {cause}", self.storage.path().display());
                Error::new(ErrorKind::ReadOnly, text).remedy("check the disk of buffer_path")
            })?;
            self.is_upload_left = false;
        }
        Ok(())
    }

    /// Returns the failure of an upload that could not begin. Stops the journal if it is unknown what is in it.
    fn not_sealed(&mut self, failure: &StorageFailure) -> UploadFailure {
        let text = format!("the journal {} cannot be written: {}", self.storage.path().display(), failure.cause());
        let usual = "check the disk of buffer_path, and open the replica again, which continues with what is there";
        let error = Error::new(ErrorKind::ReadOnly, text).remedy(remedy_unless_files(failure.cause(), usual));
        if let StorageFailure::Unknown(_) = failure {
            self.stopped = Some(error.clone());
        }
        UploadFailure::Temporary(error)
    }
}
