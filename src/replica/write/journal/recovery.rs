//! Opens a journal, and continues with what an earlier process has left.
//!
//! Its transactions come after a state of the replica. If that still is the newest, this process serves the state after them at once, and
//! uploads them as its own. Otherwise the upload finds out whether they are in the replica already, or whether another writer was first.

use super::failure::not_written;
use super::pending::{NextPlace, PendingTransactions};
use super::storage::{JOURNAL, JournalSteps, JournalStorage};
use super::stored::{StoredJournal, damaged};
use super::{Journal, OpenJournal};
use crate::error::{Error, ErrorKind};
use crate::ltx::{self, LtxError, Txid};
use crate::replica::files::loader::journalled;
use crate::replica::files::ltx_file::{FileBody, LoadedFile};
use crate::replica::follow::view_loader::JournalledCounter;
use crate::replica::view::View;
use crate::replica::write::Writer;
use crate::replica::write::transaction::TransactionFile;
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long an open waits for the upload of what an earlier process has left.
pub(in crate::replica) const OPEN_LIMIT: Duration = Duration::from_secs(10);

impl Writer {
    /// Continues with the journal of this process when a connection is opened. That it cannot be used is an error only of the settings; what
    /// else prevents transactions is their error.
    pub(in crate::replica) async fn begin(&self) -> Result<(), Error> {
        let Some(journal) = self.journal() else { return Ok(()) };
        match self.recover(&journal, OPEN_LIMIT).await {
            Err(error) if error.kind() == ErrorKind::Config => Err(error),
            Err(error) => {
                tracing::warn!("the journal cannot be used: {error}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Opens the journal if it is not open, and serves the state after its transactions. Waits at most `limit`, also if that takes an upload.
    /// Fails if nothing can be written: with [`ErrorKind::Busy`] if another process has the journal.
    pub(in crate::replica) async fn recover(&self, journal: &Arc<Journal>, limit: Duration) -> Result<(), Error> {
        match timeout(limit, self.continue_with(journal)).await {
            Ok(recovered) => recovered,
            Err(_) => Err(journal.not_uploaded(limit).await),
        }
    }

    async fn continue_with(&self, journal: &Arc<Journal>) -> Result<(), Error> {
        if journal.state_in_task().await.open.is_none() {
            journal.on_disk(Journal::open).await??;
        }
        if self.attach(journal).await? {
            return Ok(());
        }
        let uploaded = journal.wait_until_uploaded().await;
        match self.attach(journal).await? {
            true => Ok(()),
            false => {
                Err(uploaded.err().unwrap_or_else(|| Error::new(ErrorKind::Unreachable, "the journal is not uploaded")))
            }
        }
    }

    /// Serves the state after the transactions of the journal, if they come after the newest state of the replica. Returns whether the state
    /// after them is served, or there are none.
    async fn attach(&self, journal: &Journal) -> Result<bool, Error> {
        let Some(first) = journal.unattached().await? else { return Ok(true) };
        let head = self.head.view();
        if !self.comes_after(first, head.as_deref()).await? {
            return Ok(false);
        }
        let mut state = journal.state_in_task().await;
        let Some(open) = state.open.as_mut() else { return Ok(false) };
        if open.pending.newest.is_some() || open.pending.first_place() != Some(first) {
            return Ok(open.pending.newest.is_some());
        }
        let mut view = head;
        if let Some(sealed) = &mut open.pending.sealed {
            sealed.view = self.applied(view.as_deref(), &sealed.transactions);
            view = sealed.view.clone();
        }
        if !open.pending.group.is_empty() {
            view = self.applied(view.as_deref(), &open.pending.group);
        }
        let newest = view.ok_or_else(|| Error::internal("the journal does not have every page"))?;
        open.pending.newest = Some(newest.clone());
        self.serve_journalled(Some(newest));
        drop(state);
        journal.changed.send_replace(());
        Ok(true)
    }

    /// Whether a place is the one after a state of the replica.
    pub(super) async fn comes_after(&self, place: NextPlace, head: Option<&View>) -> Result<bool, Error> {
        let Some(head) = head else { return Ok(place.txid == Txid(1)) };
        if head.txid().next() != place.txid {
            return Ok(false);
        }
        let last = self.last_file(head).await.map_err(|error| self.files.failure(error))?;
        Ok(last.checksum == place.previous)
    }

    fn applied(&self, base: Option<&View>, transactions: &[LoadedFile]) -> Option<Arc<View>> {
        let epoch = self.journal_epoch(base);
        self.views.with_journalled(base, transactions, epoch, JournalledCounter::New).map(Arc::new)
    }
}

impl Journal {
    /// Opens the journal, if it is not open. Fails if another process has it, if it is damaged, if its disk fails, and if it was closed.
    pub(super) fn open(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.open.is_some() {
            return Ok(());
        }
        if state.is_closed {
            return Err(Error::internal("a journal is used after it was closed"));
        }
        let opened = OpenJournal::open(&self.settings.directory, &self.settings.place, self.steps.clone());
        state.failure = opened.as_ref().err().cloned();
        state.open = Some(opened?);
        drop(state);
        self.changed.send_replace(());
        Ok(())
    }

    /// Returns the place of the first transaction, if it is not known yet after which state of the replica that is. Fails if the journal is
    /// stopped or not open.
    async fn unattached(&self) -> Result<Option<NextPlace>, Error> {
        let state = self.state_in_task().await;
        let open = state.open.as_ref().ok_or_else(|| Error::internal("a journal is not open"))?;
        match &open.stopped {
            Some(stopped) => Err(stopped.clone()),
            None => Ok(open.pending.first_place().filter(|_| open.pending.newest.is_none())),
        }
    }
}

impl OpenJournal {
    fn open(directory: &Path, place: &str, steps: JournalSteps) -> Result<OpenJournal, Error> {
        let mut storage = JournalStorage::open(directory, place, steps)?;
        let stored = storage.read()?;
        let (pending, has_sealed) = pending(stored)
            .map_err(|cause| damaged(format!("the journal {} is damaged: {cause}", storage.path().display())))?;
        if has_sealed {
            storage.drop_sealed().map_err(|cause| not_written(&storage.path().join(JOURNAL), &cause))?;
        }
        Ok(OpenJournal { storage, pending, is_upload_left: false, stopped: None })
    }
}

/// Returns the transactions that a journal has, and whether the `journal` file has only those that are also in the `upload` file.
fn pending(stored: StoredJournal) -> Result<(PendingTransactions, bool), String> {
    let mut pending = PendingTransactions::default();
    if let Some((segment, bytes)) = stored.upload {
        let damaged = |cause: LtxError| format!("its upload: {cause}");
        let (parts, bytes) = (ltx::verify(&bytes).map_err(damaged)?, Bytes::from(bytes));
        let header = parts.header;
        let name = header.name();
        let loaded = journalled(bytes.clone(), parts, FileBody::Journal(segment, 0), name.min);
        pending.resume(TransactionFile { name, bytes, counter: None }, header.previous, loaded);
    }
    for (segment, offset, bytes) in stored.transactions {
        let parts = ltx::verify(&bytes).map_err(|cause| cause.to_string())?;
        let header = parts.header;
        let own = NextPlace { txid: header.min_txid, previous: header.previous };
        if pending.sealed.as_ref().is_some_and(|sealed| sealed.place == own) {
            // The process ended between the two steps of beginning an upload.
            return Ok((pending, true));
        }
        let (place, txid) = pending.next(own);
        if (txid, place.previous) != (own.txid, own.previous) {
            return Err(format!("TXID {} does not continue the transaction before", own.txid));
        }
        let loaded = journalled(bytes.into(), parts, FileBody::Journal(segment, offset), place.txid);
        pending.push(place, loaded, None);
    }
    Ok((pending, false))
}
