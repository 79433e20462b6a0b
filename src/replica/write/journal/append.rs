//! Commits a transaction into the journal.

use super::failure::{StorageFailure, remedy};
use super::pending::NextPlace;
use super::{Journal, JournalLimits, JournalState, OpenJournal};
use crate::error::{Error, ErrorKind, is_limit_on_files};
use crate::ltx;
use crate::replica::files::loader::journalled;
use crate::replica::files::ltx_file::FileBody;
use crate::replica::follow::view_loader::JournalledCounter;
use crate::replica::view::{Epoch, View};
use crate::replica::write::transaction::{Author, TransactionBase, TransactionFile};
use crate::replica::write::{Overlay, Writer};
use std::sync::Arc;

impl Writer {
    /// Commits a transaction that began with `base` into the journal, after [`Writer::prepare`] has checked that state. Returns the view of
    /// its state, which the process reads from now on. `page_1` is that of `base`, as the replica has it. Blocks until the transaction is
    /// durable.
    ///
    /// Fails with [`ErrorKind::Conflict`] if the state is no longer the newest, and with [`ErrorKind::Unconfirmed`] if it is unknown whether
    /// the transaction is in the journal.
    pub(in crate::replica) fn commit_to_journal(
        &self,
        journal: &Journal,
        base: Option<&View>,
        page_1: Option<&[u8]>,
        overlay: &Overlay,
    ) -> Result<Arc<View>, Error> {
        let mut state = journal.state.lock();
        let JournalState { open, failure, .. } = &mut *state;
        let open = open.as_mut().ok_or_else(|| Error::internal("a transaction was not prepared"))?;
        if let Some(stopped) = &open.stopped {
            return Err(stopped.clone());
        }
        let served = self.head.served();
        // What is merged into one file must be one chain of states.
        let newest = open.pending.newest.as_deref();
        let is_attached = open.pending.is_empty() || newest.is_some() && is_same_state(served.as_deref(), newest);
        if !is_attached || !is_same_state(served.as_deref(), base) {
            return Err(self.outdated());
        }
        let (place, txid) = open.pending.next(self.place_after(served.as_deref())?);
        let author = Author { node_id: self.node_id, txid, previous: place.previous };
        let file = TransactionFile::new(overlay, TransactionBase { view: base, page_1 }, author)?;
        let (limits, bytes) = (journal.settings.limits, file.bytes.len() as u64);
        if !open.pending.leave_room(limits, bytes) {
            return Err(full(open, limits, bytes, failure.as_ref()));
        }
        let view = self.append(open, served.as_ref(), place, file)?;
        drop(state);
        journal.changed.send_replace(());
        Ok(view)
    }

    fn append(
        &self,
        open: &mut OpenJournal,
        base: Option<&Arc<View>>,
        place: NextPlace,
        file: TransactionFile,
    ) -> Result<Arc<View>, Error> {
        let (segment, offset) = open.storage.next_place().map_err(|failure| not_appended(open, &failure))?;
        // Before it is written: nothing may fail after the transaction is durable. Its pages were encoded just now, so they are not verified.
        let parts = ltx::parse(&file.bytes)
            .map_err(|cause| Error::internal(&format!("a transaction cannot be read: {cause}")))?;
        let loaded = journalled(file.bytes.clone(), parts, FileBody::Journal(segment, offset), place.txid);
        let epoch = self.journal_epoch(base.map(Arc::as_ref));
        let counter = file.counter.map_or(JournalledCounter::New, JournalledCounter::Written);
        let built = self.views.with_journalled(base.map(Arc::as_ref), std::slice::from_ref(&loaded), epoch, counter);
        let view = Arc::new(built.ok_or_else(|| Error::internal("a transaction does not have every page"))?);
        // A journal never follows an upload that is in the replica: others may have gone on after that.
        open.remove_uploaded()?;
        open.storage.append(&file.bytes).map_err(|failure| not_appended(open, &failure))?;
        open.pending.push(place, loaded, Some(view.clone()));
        self.serve_journalled(Some(view.clone()));
        Ok(view)
    }

    /// Serves a state that is only in the journal; None to serve the newest of the replica again.
    pub(super) fn serve_journalled(&self, view: Option<Arc<View>>) {
        if let Some(before) = self.head.serve_journalled(view) {
            self.histories.epochs.forget(before.epoch());
        }
    }

    /// Begins the epoch of a state that is only in the journal. Each has its own, because they have the same TXID.
    pub(super) fn journal_epoch(&self, base: Option<&View>) -> Epoch {
        // The newest state of the replica, because the epochs of states of the journal are forgotten.
        match base.map(|base| self.head.view().filter(|head| !base.is_journalled() || head.txid() < base.txid())) {
            Some(Some(head)) => self.histories.epochs.branch(head.epoch(), head.txid()),
            _ => self.histories.epochs.begin(),
        }
    }

    /// Returns the place after a state that was prepared. Without meaning if that is only in the journal.
    fn place_after(&self, base: Option<&View>) -> Result<NextPlace, Error> {
        let author = self.author(base)?;
        Ok(NextPlace { txid: author.txid, previous: author.previous })
    }
}

/// Whether two states, of which None is an empty database, are the same.
pub(in crate::replica::write) fn is_same_state(one: Option<&View>, other: Option<&View>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_same_state(other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// Returns the error of a commit for whose file the journal has no room. `failure` is why the last upload failed.
fn full(open: &OpenJournal, limits: JournalLimits, bytes: u64, failure: Option<&Error>) -> Error {
    let because = failure.map(|failure| format!(", because the last upload failed: {failure}")).unwrap_or_default();
    let text = format!(
        "the journal {} has no room for a transaction of {bytes} bytes: it holds at most {} transactions with {} bytes, and {} are not \
         uploaded{because}",
        open.storage.path().display(),
        limits.transactions,
        limits.bytes,
        open.pending.describe()
    );
    Error::new(ErrorKind::TooLarge, text).remedy(
        "upload them with litestream_flush(), or wait until the store can be reached again; nothing of this transaction was committed",
    )
}

/// Returns the error of a commit that could not be written. Stops the journal if it is unknown what is in it.
fn not_appended(open: &mut OpenJournal, failure: &StorageFailure) -> Error {
    let text = format!("the journal {} cannot be written: {}", open.storage.path().display(), failure.cause());
    match failure {
        StorageFailure::Unchanged(cause) => {
            let kind = if is_limit_on_files(cause) { ErrorKind::Exhausted } else { ErrorKind::TooLarge };
            Error::new(kind, text).remedy(format!("{}; nothing was committed", remedy(cause)))
        }
        StorageFailure::Unknown(_) => {
            let stopped = Error::new(ErrorKind::ReadOnly, format!("{text}, so it is not used any more")).remedy(
                "check the disk of buffer_path, and open the replica again, which continues with what is there",
            );
            open.stopped = Some(stopped);
            Error::new(ErrorKind::Unconfirmed, format!("it is unknown whether the transaction was committed: {text}"))
                .remedy("check the disk of buffer_path, open the replica again, and read the data before repeating it")
        }
    }
}
