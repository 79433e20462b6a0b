//! Finds out what became of the file of a transaction that was put.
//!
//! One response proves little: it can be lost, wrong, or of a server that is behind. Two facts can be relied on.
//!
//! - A file whose checksums are right is what its writer has put. So another file under the same name, or a next file whose writer has read
//!   another one, shows that this file has lost.
//! - A name becomes free again only after a compacted file contains its transaction. So while there is no such file, nothing of level 0 is
//!   deleted, and what seems to be missing is read again. Only another program deletes more, which [`base`](super::base) finds out.

use crate::error::{Error, ErrorKind};
use crate::ltx::{FileName, Header, Level, Trailer, Txid};
use crate::replica::View;
use crate::replica::files::listing;
use crate::replica::files::load_error::LoadError;
use crate::replica::write::Writer;
use crate::replica::write::base::{BaseFile, contain, first_needed, is_newest, shows};
use crate::replica::write::transaction::TransactionFile;
use crate::store::{Creation, Listed, ObjectName, Store, StoreError};
use crate::time::Stamp;
use std::time::Duration;

/// In a shorter time than this, a file is not created, followed by another one, compacted and deleted: compactions and deletions are not that
/// frequent.
const SOON: Duration = Duration::from_secs(1);

/// What the replica shows of a file that was put.
pub(super) enum Fate {
    /// It is the transaction after its base.
    Committed(Listed),
    /// Another file is the transaction after its base.
    Lost,
    /// The transaction is compacted, and it is unknown whether this file is part of that.
    Vanished,
}

/// The tries to create the file of a transaction.
pub(super) struct PutTries {
    /// None if an earlier process may have begun them.
    began: Option<Stamp>,
    /// Whether one of them may have created the file.
    pub may_exist: bool,
}

impl PutTries {
    pub fn new() -> PutTries {
        PutTries { began: Some(Stamp::now()), may_exist: false }
    }

    /// Returns the tries of a file that an earlier process may have put.
    pub fn resumed() -> PutTries {
        PutTries { began: None, may_exist: true }
    }

    /// Whether the file may have been created so long ago that it is compacted and deleted.
    fn are_old(&self) -> bool {
        self.began.is_none_or(|began| began.age() >= SOON)
    }
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
    /// Tries to create the file of a transaction that began with `base`.
    pub(super) async fn try_create(
        &self,
        base: Option<&View>,
        file: &TransactionFile,
        tries: &mut PutTries,
    ) -> Result<Fate, LoadError> {
        let created = self.files.store.create(ObjectName::File(Level::ZERO, file.name), file.bytes.clone()).await;
        let may_have_existed = tries.may_exist;
        tries.may_exist |= !created.as_ref().is_err_and(|error| error.kind().is_refusal());
        // An earlier try may have created it.
        if created? == Creation::Exists
            && let Some(fate) = self.fate_by_content(file, tries).await?
        {
            return Ok(fate);
        }
        let listed = self.list_from(base.map_or(file.name.min, first_needed)).await?;
        if let Some(base) = base.filter(|_| is_newest(&listed, file.name) && shows(&listed, file.name.max)) {
            let (txid, cause, may_delete) = match self.base_file(base, file, &listed).await? {
                BaseFile::Compacted { with_own: true } => return Ok(Fate::Vanished),
                BaseFile::Same | BaseFile::Compacted { with_own: false } => {
                    return self.fate_by_listing(file, tries, listed).await;
                }
                BaseFile::Replaced => (base.txid(), "was replaced", true),
                BaseFile::Gone(txid) => (txid, "was deleted", true),
                BaseFile::GoneAndContinued(txid) => (txid, "was deleted", false),
            };
            let is_deleted = may_delete && self.withdraw(file.name).await;
            tries.may_exist = !is_deleted || may_have_existed;
            return Err(LoadError::Other(self.stop(txid, cause)));
        }
        self.fate_by_listing(file, tries, listed).await
    }

    /// Finds out whether an earlier try, maybe of another process, has committed a file.
    pub(super) async fn find_fate(&self, file: &TransactionFile) -> Result<Fate, LoadError> {
        let tries = PutTries::resumed();
        if let Some(fate) = self.fate_by_content(file, &tries).await? {
            return Ok(fate);
        }
        let before = Txid(file.name.min.0 - 1);
        let listed = self.list_from(before).await?;
        // Without the state before it, the transaction is part of no state.
        let is_first = before == Txid(0);
        if is_newest(&listed, file.name) && !is_first && !shows(&listed, before) && !self.is_compacted(before).await? {
            return Err(self.contradiction(file));
        }
        self.fate_by_listing(file, &tries, listed).await
    }

    /// Returns the fate of a file if it is not the one under its name.
    async fn fate_by_content(&self, file: &TransactionFile, tries: &PutTries) -> Result<Option<Fate>, LoadError> {
        let Some(found) = self.files.loader.load_verified(Level::ZERO, file.name).await? else {
            return self.vanished(file).await.map(Some);
        };
        let is_own = Header::parse(&file.bytes).is_ok_and(|header| header == found.file.header)
            && checksum(&file.bytes) == Some(found.file.checksum);
        if is_own {
            return Ok(None);
        }
        // The other file may have got the name after this one was compacted and deleted. Then it is neither the newest, nor continued.
        let other_won = !tries.are_old()
            || is_newest(&self.list_from(file.name.min).await?, file.name)
            || matches!(self.successor(file.name, found.file.checksum).await?, Successor::Continues)
            || !self.is_compacted(file.name.max).await?;
        Ok(Some(if other_won { Fate::Lost } else { Fate::Vanished }))
    }

    /// Returns the fate of a file that is under its name, from a later listing.
    async fn fate_by_listing(
        &self,
        file: &TransactionFile,
        tries: &PutTries,
        listed: Vec<Listed>,
    ) -> Result<Fate, LoadError> {
        // A listing is not one instant: it can show a file that was created meanwhile, and not the one before it.
        if !is_newest(&listed, file.name) {
            let successor = self.successor(file.name, checksum(&file.bytes).unwrap_or_default()).await?;
            match (successor, self.is_compacted(file.name.max).await?) {
                // Nothing of level 0 from here on was deleted, so the file is the first under its name.
                (Successor::Continues, false) => {}
                // Its name may have become free before, and another writer that was suspended as well may have built on it.
                (Successor::Continues, true) => return Ok(Fate::Vanished),
                (Successor::Another | Successor::Missing, false) => return Err(self.contradiction(file)),
                (successor, true) => {
                    self.withdraw(file.name).await;
                    let has_lost = matches!(successor, Successor::Another) && !tries.are_old();
                    return Ok(if has_lost { Fate::Lost } else { Fate::Vanished });
                }
            }
        }
        let is_own = |listed: &Listed| listed.name == file.name && listed.size == file.bytes.len() as u64;
        match listed.into_iter().find(is_own) {
            Some(own) => Ok(Fate::Committed(own)),
            None => self.vanished(file).await,
        }
    }

    /// Returns [`Fate::Vanished`] if a transaction is compacted. Otherwise no file of level 0 can be missing, so a response was wrong.
    async fn vanished(&self, file: &TransactionFile) -> Result<Fate, LoadError> {
        if self.is_compacted(file.name.max).await? { Ok(Fate::Vanished) } else { Err(self.contradiction(file)) }
    }

    pub(super) fn contradiction(&self, file: &TransactionFile) -> LoadError {
        let (store, txid) = (&self.files.store, file.name.max);
        let text = format!(
            "the responses of {store} contradict each other: some have no file of TXID {txid}, or of the next one"
        );
        LoadError::Other(Error::new(ErrorKind::Unreachable, text))
    }

    pub(super) async fn list_from(&self, txid: Txid) -> Result<Vec<Listed>, StoreError> {
        self.files.store.list(Level::ZERO, txid).await
    }

    /// Lists the files of all higher levels.
    pub(super) async fn compacted(&self) -> Result<Vec<Listed>, StoreError> {
        listing::compacted(&*self.files.store).await
    }

    /// Whether a file of a higher level contains a transaction.
    async fn is_compacted(&self, txid: Txid) -> Result<bool, StoreError> {
        Ok(contain(&self.compacted().await?, txid))
    }

    /// Compares the file of the next transaction with a file that has this name and this checksum.
    async fn successor(&self, name: FileName, checksum: u64) -> Result<Successor, LoadError> {
        let next = name.max.next();
        let found = self.files.loader.load_verified(Level::ZERO, FileName::of(next)).await?;
        Ok(match found {
            None => Successor::Missing,
            Some(next) if next.file.header.previous == checksum => Successor::Continues,
            Some(_) => Successor::Another,
        })
    }

    /// Deletes a file that was created under a name at which it must not be. Returns whether it is deleted.
    async fn withdraw(&self, name: FileName) -> bool {
        for _ in 0..3 {
            match self.files.store.delete(ObjectName::File(Level::ZERO, name)).await {
                Ok(()) => return self.is_missing(name).await,
                Err(error) => tracing::warn!("{name}, which lost against another writer, is not deleted: {error}"),
            }
        }
        false
    }
}

/// Returns the checksum in the trailer of a file.
pub(super) fn checksum(bytes: &[u8]) -> Option<u64> {
    Trailer::at_end(bytes).ok().map(|trailer| trailer.file_checksum)
}
