//! Whether the replica still has the state with which a transaction began.
//!
//! A file is created after the newest one that a process knows. If another program has replaced that one, or has deleted the replica or set it
//! back meanwhile, the transaction would be part of no state that anybody reads.
//!
//! The file of the base alone does not show this: it may have been created while the files before it were deleted, by this process or by another
//! writer. So the one before it must be there as well. The commit that created the base, if it was one of this library, has looked for the others
//! in the same way.

use crate::ltx::{FileName, Level, Txid};
use crate::replica::View;
use crate::replica::files::load_error::LoadError;
use crate::replica::write::Writer;
use crate::replica::write::compaction::MAX_INPUTS;
use crate::replica::write::transaction::TransactionFile;
use crate::store::{Listed, Store, StoreErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The pauses between looks for the state with which a transaction began, before it is taken for gone.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(1)];

/// What became of the file of level 0 that ends with the state with which a transaction began.
pub(super) enum BaseFile {
    /// It is there.
    Same,
    /// It is part of a compacted file, and deleted. Whether the new transaction is part of one as well.
    Compacted { with_own: bool },
    /// Another program has replaced it.
    Replaced,
    /// Another program has deleted it, or the one before it, which ends with this transaction: the replica, or its last states.
    Gone(Txid),
    /// As `Gone`, and another writer has built on the new transaction meanwhile.
    GoneAndContinued(Txid),
}

impl Writer {
    /// Finds out what became of the file of the base, from a listing from [`first_needed`] on that shows the new file, and none after it.
    pub(super) async fn base_file(
        &self,
        base: &View,
        file: &TransactionFile,
        listed: &[Listed],
    ) -> Result<BaseFile, LoadError> {
        if !shows(listed, base.txid()) {
            return self.missing_file(base.txid(), base, file).await;
        }
        if self.is_replaced(base, listed).await? {
            return Ok(BaseFile::Replaced);
        }
        let before = first_needed(base);
        if shows(listed, before) || self.is_in_level_1(before).await? {
            return Ok(BaseFile::Same);
        }
        self.missing_file(before, base, file).await
    }

    /// Whether a transaction was compacted into level 1 by this library. One listing of few files, for the usual case: after some minutes
    /// without a transaction, level 0 has only the last file.
    async fn is_in_level_1(&self, txid: Txid) -> Result<bool, LoadError> {
        let first = Txid(txid.0.saturating_sub(MAX_INPUTS as u64));
        Ok(contain(&self.files.store.list(Level::FIRST_COMPACTED, first).await?, txid))
    }

    /// As [`Writer::base_file`], if a listing does not show the file that ends with the transaction `missing`.
    async fn missing_file(&self, missing: Txid, base: &View, file: &TransactionFile) -> Result<BaseFile, LoadError> {
        // One wrong response must not have a file deleted on which another writer builds.
        for pause in PAUSES.map(Some).into_iter().chain([None]) {
            let compacted = self.compacted().await?;
            if contain(&compacted, missing) {
                let with_own = contain(&compacted, file.name.max);
                return Ok(if missing == base.txid() { BaseFile::Compacted { with_own } } else { BaseFile::Same });
            }
            let listed = self.list_from(missing).await?;
            let is_newest = is_newest(&listed, file.name);
            if shows(&listed, missing) || (is_newest && !shows(&listed, file.name.max)) {
                return Err(self.contradiction(file));
            }
            if !is_newest {
                return Ok(BaseFile::GoneAndContinued(missing));
            }
            if !self.is_missing(FileName::of(missing)).await {
                return Err(self.contradiction(file));
            }
            if let Some(pause) = pause {
                sleep(pause).await;
            }
        }
        Ok(BaseFile::Gone(missing))
    }

    /// Whether the file of the base's transaction at level 0 is another one than when the transaction began.
    async fn is_replaced(&self, base: &View, listed: &[Listed]) -> Result<bool, LoadError> {
        let (tip, name) = (base.tip(), FileName::of(base.txid()));
        let Some(now) = listed.iter().find(|listed| listed.name == name) else { return Ok(false) };
        if (tip.level, tip.name) != (Level::ZERO, name) {
            // The base was built from a compacted file.
            let before = self.known_last_file(base).map_or(0, |last| last.checksum);
            let found = if before == 0 { None } else { self.files.loader.load_verified(Level::ZERO, name).await? };
            return Ok(found.is_some_and(|found| found.file.checksum != before));
        }
        if now.version.as_ref().is_none_or(|version| tip.is_listed_as(version)) {
            return Ok(false);
        }
        // A trailer does not show that its bytes are right.
        Ok(!self.files.loader.is_unchanged(tip, now).await? && self.files.loader.header(now).await? != tip.header)
    }

    /// Whether the store says that there is no such file at level 0.
    pub(super) async fn is_missing(&self, name: FileName) -> bool {
        let read = self.files.store.read(Level::ZERO, name, 0..0, None).await;
        read.is_err_and(|error| error.kind() == StoreErrorKind::NotFound)
    }
}

/// Returns the transaction of the first file that must be there: the one before the base, or that of the base if its file has every page.
pub(super) fn first_needed(base: &View) -> Txid {
    let tip = base.tip();
    let has_every_page = tip.name.min == Txid(1) || base.files().all(|file| Arc::ptr_eq(file, tip));
    if has_every_page { base.txid() } else { Txid(base.txid().0 - 1) }
}

/// Whether a listing shows a file that ends with a transaction.
pub(super) fn shows(listed: &[Listed], txid: Txid) -> bool {
    listed.iter().any(|listed| listed.name.max == txid)
}

/// Whether one of some files contains a transaction.
pub(super) fn contain(files: &[Listed], txid: Txid) -> bool {
    files.iter().any(|file| file.name.min <= txid && txid <= file.name.max)
}

/// Whether a listing shows no later file than this one.
pub(super) fn is_newest(listed: &[Listed], name: FileName) -> bool {
    listed.iter().all(|other| other.name.max <= name.max)
}
