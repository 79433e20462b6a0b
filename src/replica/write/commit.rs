//! Puts the file of a transaction into the replica, so that of all writers one wins.
//!
//! A transaction commits when its file has been created under the name of the next transaction: the store creates each name once. The file
//! is put again until [`fate`](super::fate) knows what became of it.

use crate::error::{Error, ErrorKind};
use crate::ltx::{Level, Txid};
use crate::replica::View;
use crate::replica::files::load_error::LoadError;
use crate::replica::write::Writer;
use crate::replica::write::fate::{Fate, PutTries};
use crate::replica::write::transaction::TransactionFile;
use crate::store::{Listed, ObjectName};
use crate::time::Stamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long a commit tries to get its file confirmed by the store. No new try begins after it, but a try may take as long as its bytes need
/// (`deadline` in `store/timeouts.rs`).
const DEADLINE: Duration = Duration::from_secs(30);

/// The pauses between tries: the first, and the longest.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How long a commit that lost waits for the state of the winner, so that the next transaction begins with it.
const CATCH_UP: Duration = Duration::from_secs(5);

/// How long a commit whose outcome is unknown waits for the newest state, which may have it.
const LOOK: Duration = Duration::from_secs(1);

impl Writer {
    /// Commits a transaction that began with `base`, and publishes its state. Returns the view of that state, or None if it cannot be built
    /// here: then the next poll builds it.
    ///
    /// Fails with [`ErrorKind::Conflict`] if another writer was first; then nothing of the transaction is in the replica. Fails with
    /// [`ErrorKind::Unconfirmed`] if it is unknown whether the transaction is in the replica.
    pub(in crate::replica) async fn put(
        &self,
        base: Option<&Arc<View>>,
        file: TransactionFile,
    ) -> Result<Option<Arc<View>>, Error> {
        match self.create(base.map(Arc::as_ref), &file).await {
            Ok(listed) => Ok(self.publish(base, file, listed).await),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.record_conflict(&error);
                self.catch_up(file.name.max).await;
                Err(error)
            }
            Err(error) if error.kind() == ErrorKind::Unconfirmed => {
                if let Ok(Err(cause)) = timeout(LOOK, self.follower.poll(Duration::ZERO)).await {
                    tracing::debug!("the newest state cannot be read: {cause}");
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Creates the file, and returns its entry in a listing that shows no file which contradicts it.
    async fn create(&self, base: Option<&View>, file: &TransactionFile) -> Result<Listed, Error> {
        let object = ObjectName::File(Level::ZERO, file.name);
        let (began, mut pause, mut tries) = (Instant::now(), PAUSES.0, PutTries::new());
        loop {
            let cause = match self.try_create(base, file, &mut tries).await {
                Ok(Fate::Committed(listed)) => return Ok(listed),
                Ok(Fate::Lost) => return Err(self.conflict(file.name.max)),
                Ok(Fate::Vanished) => return Err(self.unconfirmed(file.name.max, "its file is no longer there")),
                Err(LoadError::Moved) => "its files change".to_owned(),
                Err(LoadError::Other(error)) if is_temporary(error.kind()) => error.to_string(),
                Err(LoadError::Other(error)) if tries.may_exist => {
                    return Err(self.unconfirmed(file.name.max, &error.to_string()));
                }
                Err(LoadError::Other(error)) => return Err(error),
            };
            if began.elapsed() + pause > DEADLINE {
                return Err(self.unconfirmed(file.name.max, &cause));
            }
            tracing::debug!("{object:?} is put again: {cause}");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Publishes the state after a transaction, so that every connection of the process reads it. Returns that state, also if a later one was
    /// published already: SQLite has the pages of this one in its cache.
    async fn publish(&self, base: Option<&Arc<View>>, file: TransactionFile, listed: Listed) -> Option<Arc<View>> {
        let (txid, confirmed) = (file.name.max, Stamp::now());
        let loaded = match self.files.loader.written(&listed, file.bytes).await {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::warn!("TXID {txid} is committed, but its state cannot be built here: {error:?}");
                return None;
            }
        };
        let after = |before: Option<&Arc<View>>| match before {
            Some(before) => self.views.extend_by_own(before, &loaded, file.counter),
            None => self.views.begin_with_own(&loaded, self.histories.epochs.begin()),
        };
        // The follower may publish the same transaction, or the base from other files, at the same time.
        loop {
            let head = self.head.view();
            let next = match (&head, base) {
                (Some(head), _) if head.txid() == txid => return Some(head.clone()),
                (Some(head), _) if head.txid() > txid => return after(base).map(Arc::new),
                (Some(head), Some(base)) if (head.epoch(), head.txid()) == (base.epoch(), base.txid()) => {
                    after(Some(head))
                }
                (None, None) => after(None),
                _ => None,
            };
            let next = Arc::new(next?);
            if Arc::ptr_eq(&self.head.publish(head.as_ref(), next.clone()), &next) {
                self.head.confirm(confirmed);
                return Some(next);
            }
        }
    }

    /// Polls until the newest view includes a transaction.
    pub(super) async fn catch_up(&self, txid: Txid) {
        let is_behind = || self.head.view().is_none_or(|view| view.txid() < txid);
        let polls = async {
            while is_behind() {
                if let Err(error) = self.follower.poll(Duration::ZERO).await {
                    tracing::debug!("the state of the other writer cannot be read yet: {error}");
                }
                if is_behind() {
                    sleep(PAUSES.0).await;
                }
            }
        };
        let _ = timeout(CATCH_UP, polls).await;
    }

    fn conflict(&self, txid: Txid) -> Error {
        self.taken(txid).remedy("run the transaction again; nothing of it was written")
    }

    pub(super) fn taken(&self, txid: Txid) -> Error {
        let message = format!("another writer of {} has committed TXID {txid} first", self.files.store);
        Error::new(ErrorKind::Conflict, message)
    }

    fn unconfirmed(&self, txid: Txid, cause: &str) -> Error {
        let message = format!("it is unknown whether TXID {txid} was committed to {}: {cause}", self.files.store);
        Error::new(ErrorKind::Unconfirmed, message)
            .remedy("repeat the transaction, and look in it first whether its changes are there")
    }
}

/// Whether another try may get another response.
fn is_temporary(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unreachable | ErrorKind::Damaged)
}
