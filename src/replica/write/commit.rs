//! Puts the file of a transaction into the replica, so that of all writers one wins.
//!
//! A transaction commits when its file has been created under the name of the next transaction: the store creates each name once. Two facts
//! complicate this.
//!
//! - A lost response is not a failure. The same file is put again, and if the name exists, its content shows whose it is.
//! - Names that retention has deleted are free again. A writer that was suspended for that long can create an old name. So the writer lists
//!   what follows: either nothing, or a file whose writer has read this one (`Header::previous`).

use crate::error::{Error, ErrorKind};
use crate::ltx::{FileName, Header, Level, Trailer, Txid};
use crate::replica::View;
use crate::replica::files::loader::LoadError;
use crate::replica::write::Writer;
use crate::replica::write::transaction::TransactionFile;
use crate::store::{Creation, Listed, ObjectName, Store, StoreError, StoreErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long a commit tries to get its file confirmed by the store.
const DEADLINE: Duration = Duration::from_secs(30);

/// The pauses between tries: the first, and the longest.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How long a commit that lost waits for the state of the winner, so that the next transaction begins with it.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The errors after which nothing was created.
const REFUSALS: [StoreErrorKind; 3] = [StoreErrorKind::Denied, StoreErrorKind::Config, StoreErrorKind::ReadOnly];

/// What the replica shows of a file that was put.
pub(super) enum Fate {
    /// It is the transaction after its base.
    Committed(Listed),
    /// Another file of this name, or what follows, does not continue it.
    Lost,
    /// It is no longer there, or what follows it is not. Retention may have deleted it, after it was compacted.
    Vanished,
    /// The file of its base was replaced.
    Orphaned,
}

/// The file of the transaction after another one.
enum Successor {
    /// Its writer has read the other file.
    Continues,
    /// Its writer has read something else.
    Another,
    /// It does not exist.
    Missing,
}

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
        let began = Instant::now();
        match self.create(base.map(Arc::as_ref), &file, began).await {
            Ok(listed) => Ok(self.publish(base, file, listed).await),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.record_conflict(&error);
                self.catch_up(file.name.max).await;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Creates the file, and returns its entry in a listing that shows no file which contradicts it.
    async fn create(&self, base: Option<&View>, file: &TransactionFile, began: Instant) -> Result<Listed, Error> {
        let object = ObjectName::File(Level::ZERO, file.name);
        let (mut pause, mut may_exist) = (PAUSES.0, false);
        loop {
            let cause = match self.try_create(base, file, &mut may_exist).await {
                Ok(Fate::Committed(listed)) => return Ok(listed),
                Ok(Fate::Lost) if began.elapsed() <= DEADLINE => return Err(self.conflict(file.name.max)),
                // In this time the file may have been there, and its name may have become free again.
                Ok(Fate::Lost) => return Err(self.unconfirmed(file.name.max, "the commit was suspended")),
                Ok(Fate::Vanished | Fate::Orphaned) => {
                    return Err(self.unconfirmed(file.name.max, "its file is no longer there"));
                }
                Err(LoadError::Other(error)) if error.kind() == ErrorKind::Unreachable => error.to_string(),
                Err(LoadError::Other(error)) if may_exist => {
                    return Err(self.unconfirmed(file.name.max, &error.to_string()));
                }
                Err(LoadError::Other(error)) => return Err(error),
                Err(LoadError::Moved) => "its files change".to_owned(),
            };
            if began.elapsed() + pause > DEADLINE {
                return Err(self.unconfirmed(file.name.max, &cause));
            }
            tracing::debug!("{object:?} is put again: {cause}");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// `may_exist` is set unless it is certain that the file was not created.
    pub(super) async fn try_create(
        &self,
        base: Option<&View>,
        file: &TransactionFile,
        may_exist: &mut bool,
    ) -> Result<Fate, LoadError> {
        let created = self.files.store.create(ObjectName::File(Level::ZERO, file.name), file.bytes.clone()).await;
        let existed = *may_exist;
        *may_exist |= !created.as_ref().is_err_and(|error| REFUSALS.contains(&error.kind()));
        let created = created?;
        // An earlier try may have created it.
        if created == Creation::Exists
            && let Some(fate) = self.fate_by_content(file).await?
        {
            return Ok(fate);
        }
        match (self.fate_by_listing(base, file).await?, base) {
            (Fate::Orphaned, Some(base)) => {
                *may_exist = !self.withdraw(file.name).await || existed;
                Err(LoadError::Other(self.stop(base.txid())))
            }
            (fate, _) => Ok(fate),
        }
    }

    /// Finds out whether an earlier try, maybe of another process, has committed a file.
    pub(super) async fn find_fate(&self, file: &TransactionFile) -> Result<Fate, LoadError> {
        match self.fate_by_content(file).await? {
            Some(fate) => Ok(fate),
            None => self.fate_by_listing(None, file).await,
        }
    }

    /// Returns the fate of a file if the object of its name does not have its bytes.
    async fn fate_by_content(&self, file: &TransactionFile) -> Result<Option<Fate>, StoreError> {
        Ok(match self.is_stored(file).await? {
            Some(true) => None,
            Some(false) => Some(Fate::Lost),
            None => Some(Fate::Vanished),
        })
    }

    /// Returns the fate of a file that is there.
    async fn fate_by_listing(&self, base: Option<&View>, file: &TransactionFile) -> Result<Fate, LoadError> {
        let from = base.map_or(file.name.min, View::txid);
        let listed = self.files.store.list(Level::ZERO, from).await?;
        // A listing is not one instant: it can show a file that was created meanwhile, and not the one before it.
        if listed.iter().any(|other| other.name.max > file.name.max) {
            match self.successor(file).await? {
                Successor::Continues => {}
                Successor::Another => {
                    self.withdraw(file.name).await;
                    return Ok(Fate::Lost);
                }
                Successor::Missing => {
                    self.withdraw(file.name).await;
                    return Ok(Fate::Vanished);
                }
            }
        } else if let Some(base) = base
            && self.is_replaced(base, &listed).await?
        {
            return Ok(Fate::Orphaned);
        }
        Ok(match listed.into_iter().find(|listed| listed.name == file.name) {
            Some(own) => Fate::Committed(own),
            None => self.find(file).await?.map_or(Fate::Vanished, Fate::Committed),
        })
    }

    /// Whether the object under the name of a file has its bytes. None if there is none.
    async fn is_stored(&self, file: &TransactionFile) -> Result<Option<bool>, StoreError> {
        let range = 0..file.bytes.len() as u64 + 1;
        match self.files.store.read(Level::ZERO, file.name, range, None).await {
            Ok(chunk) => Ok(Some(chunk.bytes == file.bytes)),
            Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the entry that a file has in listings. None if it does not exist.
    async fn find(&self, file: &TransactionFile) -> Result<Option<Listed>, StoreError> {
        match self.files.store.read(Level::ZERO, file.name, 0..0, None).await {
            Ok(chunk) => Ok(Some(Listed {
                level: Level::ZERO,
                name: file.name,
                size: chunk.file_size,
                version: Some(chunk.version),
                modified_ms: chunk.modified_ms,
            })),
            Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Compares the transaction after a file with the file, although later ones exist.
    async fn successor(&self, file: &TransactionFile) -> Result<Successor, LoadError> {
        let next = file.name.max.next();
        let name = FileName { min: next, max: next };
        let chunk = match self.files.store.read(Level::ZERO, name, 0..Header::SIZE as u64, None).await {
            Err(error) if error.kind() == StoreErrorKind::NotFound => return Ok(Successor::Missing),
            chunk => chunk?,
        };
        let is_next = Header::parse(&chunk.bytes).is_ok_and(|header| Some(header.previous) == checksum(&file.bytes));
        Ok(if is_next { Successor::Continues } else { Successor::Another })
    }

    /// Whether the file of the base's transaction at level 0 is another one than the base was built from.
    async fn is_replaced(&self, base: &View, listed: &[Listed]) -> Result<bool, LoadError> {
        let tip = base.tip();
        let own = listed.iter().find(|listed| (listed.level, listed.name) == (tip.level, tip.name));
        match own {
            Some(own) if own.version.as_ref().is_some_and(|version| !tip.is_listed_as(version)) => {
                Ok(!self.files.loader.is_unchanged(tip, own).await?)
            }
            _ => Ok(false),
        }
    }

    /// Deletes a file that was created under a name at which it must not be. Returns whether it is deleted.
    async fn withdraw(&self, name: FileName) -> bool {
        for _ in 0..3 {
            match self.files.store.delete(ObjectName::File(Level::ZERO, name)).await {
                Ok(()) => return true,
                Err(error) => tracing::warn!("{name}, which lost against another writer, is not deleted: {error}"),
            }
        }
        false
    }

    /// Publishes the state after a transaction, so that every connection of the process reads it. Returns that state, also if a later one was
    /// published already: SQLite has the pages of this one in its cache.
    async fn publish(&self, base: Option<&Arc<View>>, file: TransactionFile, listed: Listed) -> Option<Arc<View>> {
        let (txid, confirmed) = (file.name.max, Instant::now());
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
        let polls = async {
            while self.head.view().is_none_or(|view| view.txid() < txid) {
                if let Err(error) = self.follower.poll(Duration::ZERO).await {
                    tracing::debug!("the state of the other writer cannot be read yet: {error}");
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
            .remedy("read the data again, and repeat the transaction only if its changes are not there")
    }
}

/// Returns the checksum in the trailer of a file.
pub(super) fn checksum(bytes: &[u8]) -> Option<u64> {
    let start = bytes.len().checked_sub(Trailer::SIZE)?;
    Trailer::parse(&bytes[start..]).ok().map(|trailer| trailer.file_checksum)
}
