//! Finds out what became of the file of a transaction that was put.
//!
//! One response proves little: it can be lost, wrong, or of a server that is behind. Two facts can be relied on.
//!
//! - A file whose checksums are right is what its writer has put. So another file under the same name, or a next file whose writer has read
//!   another one, shows that this file has lost.
//! - A name becomes free again only after a compacted file contains its transaction. So while there is no such file, nothing of level 0 is
//!   deleted, and what seems to be missing is read again.

use crate::ltx::{FileName, Header, Level, Trailer, Txid};
use crate::replica::View;
use crate::replica::files::listing;
use crate::replica::files::loader::LoadError;
use crate::replica::write::Writer;
use crate::replica::write::transaction::TransactionFile;
use crate::store::{Creation, Listed, ObjectName, REFUSALS, Store, StoreError, StoreErrorKind};
use std::time::Duration;
use tokio::time::Instant;

/// In a shorter time than this, a file is not created, followed by another one, compacted and deleted.
const SOON: Duration = Duration::from_secs(1);

/// What the replica shows of a file that was put.
pub(super) enum Fate {
    /// It is the transaction after its base.
    Committed(Listed),
    /// Another file of this name, or what follows, does not continue it. It never was the transaction after its base.
    Lost,
    /// It is no longer there, or what follows it is not. It may have been compacted, and deleted by retention.
    Vanished,
    /// The file of its base was replaced.
    Orphaned,
}

/// The tries to create the file of a transaction.
pub(super) struct Tries {
    /// None if an earlier process may have begun them.
    began: Option<Instant>,
    /// Whether one of them may have created the file.
    pub may_exist: bool,
}

impl Tries {
    pub fn new() -> Tries {
        Tries { began: Some(Instant::now()), may_exist: false }
    }

    /// Returns the tries of a file that an earlier process may have put.
    pub fn resumed() -> Tries {
        Tries { began: None, may_exist: true }
    }

    /// Whether the file may have been created so long ago that it is compacted and deleted.
    fn are_old(&self) -> bool {
        self.began.is_none_or(|began| began.elapsed() >= SOON)
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
        tries: &mut Tries,
    ) -> Result<Fate, LoadError> {
        let created = self.files.store.create(ObjectName::File(Level::ZERO, file.name), file.bytes.clone()).await;
        let existed = tries.may_exist;
        tries.may_exist |= !created.as_ref().is_err_and(|error| REFUSALS.contains(&error.kind()));
        // An earlier try may have created it.
        let other = match created? {
            Creation::Created => None,
            Creation::Exists => self.fate_by_content(file).await?,
        };
        let fate = match other {
            Some(fate) => fate,
            None => self.fate_by_listing(base, file).await?,
        };
        match (fate, base) {
            (Fate::Orphaned, Some(base)) => {
                tries.may_exist = !self.withdraw(file.name).await || existed;
                Err(LoadError::Other(self.stop(base.txid())))
            }
            (Fate::Lost, _) if tries.are_old() => self.unless_compacted(file).await,
            (fate, _) => Ok(fate),
        }
    }

    /// Finds out whether an earlier try, maybe of another process, has committed a file.
    pub(super) async fn find_fate(&self, file: &TransactionFile) -> Result<Fate, LoadError> {
        match self.fate_by_content(file).await? {
            Some(Fate::Lost) => self.unless_compacted(file).await,
            Some(fate) => Ok(fate),
            None => self.fate_by_listing(None, file).await,
        }
    }

    /// Returns the fate of a file that is not under its name now. It may have been there before.
    async fn unless_compacted(&self, file: &TransactionFile) -> Result<Fate, LoadError> {
        Ok(if self.is_compacted(file.name.max).await? { Fate::Vanished } else { Fate::Lost })
    }

    /// Returns the fate of a file if it is not the one under its name.
    async fn fate_by_content(&self, file: &TransactionFile) -> Result<Option<Fate>, LoadError> {
        let Some(found) = self.files.loader.load_by_name(Level::ZERO, file.name).await? else {
            return Ok(Some(Fate::Vanished));
        };
        let is_own = Header::parse(&file.bytes).is_ok_and(|header| header == found.file.header)
            && checksum(&file.bytes) == Some(found.file.checksum);
        Ok((!is_own).then_some(Fate::Lost))
    }

    /// Returns the fate of a file that is under its name.
    async fn fate_by_listing(&self, base: Option<&View>, file: &TransactionFile) -> Result<Fate, LoadError> {
        let from = base.map_or(file.name.min, View::txid);
        let listed = self.files.store.list(Level::ZERO, from).await?;
        // A listing is not one instant: it can show a file that was created meanwhile, and not the one before it.
        if listed.iter().any(|other| other.name.max > file.name.max) {
            let fate = match self.successor(file).await? {
                Successor::Continues => None,
                Successor::Another => Some(Fate::Lost),
                Successor::Missing => Some(Fate::Vanished),
            };
            if let Some(fate) = fate {
                if !self.is_compacted(file.name.max).await? {
                    return Err(LoadError::Moved);
                }
                self.withdraw(file.name).await;
                return Ok(fate);
            }
        } else if let Some(base) = base
            && self.is_replaced(base, &listed).await?
        {
            return Ok(Fate::Orphaned);
        }
        Ok(match listed.into_iter().find(|listed| listed.name == file.name) {
            Some(own) => Fate::Committed(own),
            None => self.find(file.name).await?.map_or(Fate::Vanished, Fate::Committed),
        })
    }

    /// Whether a file of a higher level contains a transaction.
    async fn is_compacted(&self, txid: Txid) -> Result<bool, StoreError> {
        let files = listing::compacted(&*self.files.store).await?;
        Ok(files.iter().any(|file| file.name.min <= txid && txid <= file.name.max))
    }

    /// Returns the entry that a file of level 0 has in listings. None if it does not exist.
    async fn find(&self, name: FileName) -> Result<Option<Listed>, StoreError> {
        match self.files.store.read(Level::ZERO, name, 0..0, None).await {
            Ok(chunk) => Ok(Some(Listed {
                level: Level::ZERO,
                name,
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
        let found = self.files.loader.load_by_name(Level::ZERO, FileName { min: next, max: next }).await?;
        Ok(match found {
            None => Successor::Missing,
            Some(next) if Some(next.file.header.previous) == checksum(&file.bytes) => Successor::Continues,
            Some(_) => Successor::Another,
        })
    }

    /// Whether the file of the base's transaction at level 0 is another one than the base was built from.
    async fn is_replaced(&self, base: &View, listed: &[Listed]) -> Result<bool, LoadError> {
        let tip = base.tip();
        let Some(now) = listed.iter().find(|listed| (listed.level, listed.name) == (tip.level, tip.name)) else {
            return Ok(false);
        };
        if now.version.as_ref().is_none_or(|version| tip.is_listed_as(version)) {
            return Ok(false);
        }
        // A trailer does not show that its bytes are right.
        Ok(!self.files.loader.is_unchanged(tip, now).await? && self.files.loader.header(now).await? != tip.header)
    }

    /// Deletes a file that was created under a name at which it must not be. Returns whether it is deleted.
    async fn withdraw(&self, name: FileName) -> bool {
        for _ in 0..3 {
            match self.files.store.delete(ObjectName::File(Level::ZERO, name)).await {
                Ok(()) => return self.find(name).await.is_ok_and(|found| found.is_none()),
                Err(error) => tracing::warn!("{name}, which lost against another writer, is not deleted: {error}"),
            }
        }
        false
    }
}

/// Returns the checksum in the trailer of a file.
pub(super) fn checksum(bytes: &[u8]) -> Option<u64> {
    let start = bytes.len().checked_sub(Trailer::SIZE)?;
    Trailer::parse(&bytes[start..]).ok().map(|trailer| trailer.file_checksum)
}
