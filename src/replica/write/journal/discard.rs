//! Gives up transactions that cannot be uploaded, and closes a journal.

use super::pending::PendingTransactions;
use super::storage::JournalStorage;
use super::{Journal, JournalState, OpenJournal};
use crate::error::{Error, ErrorKind};
use crate::replica::write::Writer;
use std::path::PathBuf;

impl Writer {
    /// Empties a journal that is stopped or damaged, so that transactions can be written again. Its files are renamed. Returns their new
    /// names.
    pub(in crate::replica) fn discard(&self, journal: &Journal) -> Result<Vec<PathBuf>, Error> {
        let mut state = journal.state.lock();
        let renamed = journal.discard(&mut state)?;
        // Under the lock, as nothing may be appended before the state of the replica is served.
        self.resume();
        self.serve_journalled(None);
        drop(state);
        journal.changed.send_replace(());
        Ok(renamed)
    }

    /// Ends the use of a journal. What is not uploaded stays there, for the next process.
    pub(in crate::replica) fn close(&self, journal: &Journal) {
        let mut state = journal.state.lock();
        state.is_closed = true;
        let Some(mut open) = state.open.take() else { return };
        if let Err(error) = open.remove_uploaded() {
            tracing::warn!("{error}");
        }
        if !open.pending.is_empty() {
            tracing::warn!(
                "{} transactions stay in the journal {}; the next process that writes with it uploads them",
                open.pending.count(),
                open.storage.path().display()
            );
        }
        self.serve_journalled(None);
        drop(state);
        journal.changed.send_replace(());
    }
}

impl Journal {
    fn discard(&self, state: &mut JournalState) -> Result<Vec<PathBuf>, Error> {
        if state.is_uploading {
            let text = "the journal is being uploaded, so its transactions may be in the replica soon";
            return Err(Error::new(ErrorKind::Busy, text)
                .remedy("call litestream_discard_journal() again when the upload has ended"));
        }
        let is_damaged = state.failure.as_ref().is_some_and(|failure| failure.kind() == ErrorKind::Damaged);
        let mut open = match state.open.take() {
            Some(open) if open.stopped.is_none() => {
                state.open = Some(open);
                let text = "the journal has no transaction that cannot be uploaded";
                return Err(Error::new(ErrorKind::Config, text).remedy("upload it with litestream_flush()"));
            }
            Some(open) => open,
            None if is_damaged => {
                let storage = JournalStorage::open(&self.settings.directory, &self.settings.place, self.steps.clone())?;
                OpenJournal { storage, pending: PendingTransactions::default(), is_upload_left: false, stopped: None }
            }
            None => {
                let missing = || Error::new(ErrorKind::Config, "no journal is open");
                return Err(state.failure.clone().unwrap_or_else(missing));
            }
        };
        let discarded = open.storage.discard().map_err(|cause| {
            let path = open.storage.path().display();
            Error::new(ErrorKind::Config, format!("the journal {path} cannot be emptied: {cause}"))
                .remedy("open the replica again, and call litestream_discard_journal() again")
        });
        let renamed = match discarded {
            Ok(renamed) => renamed,
            Err(error) => {
                // What is served was not given up, so the journal stays stopped.
                state.open = Some(open).filter(|open| open.stopped.is_some());
                return Err(error);
            }
        };
        open.pending.give_up();
        open.is_upload_left = false;
        (open.stopped, state.failure) = (None, None);
        state.open = Some(open);
        Ok(renamed)
    }
}
