//! Who has written the newest transaction of a replica, and as whose successor the next one is written.
//!
//! Both are in the newest file at level 0. A state that was built from a compacted file does not have it, so it is read once.

use super::Writer;
use super::transaction::Author;
use crate::error::{Error, ErrorKind};
use crate::ltx::{FileName, Level, Txid};
use crate::replica::View;
use crate::replica::files::load_error::LoadError;
use crate::replica::files::ltx_file::LoadedFile;
use crate::store::Store;

/// The file of the newest transaction at level 0.
#[derive(Clone, Copy)]
pub(super) struct LastFile {
    /// 0 if there is no such file.
    pub(super) checksum: u64,
    /// 0 if it was not written by this library.
    pub(super) node_id: u64,
}

impl Writer {
    /// Fails if Litestream has written the newest transaction of a state, unless this is a takeover.
    pub(super) async fn check_author(&self, base: &View, takeover: bool) -> Result<(), Error> {
        if !self.is_ours(base).await? && !takeover {
            let message = format!("the newest transaction of {} was written by Litestream", self.files.store);
            return Err(Error::new(ErrorKind::ReadOnly, message)
                .remedy("stop `litestream replicate` for good, and open the replica once with write_takeover=1"));
        }
        Ok(())
    }

    /// Returns the last file at level 0 of a state, if that is known.
    pub(super) fn known_last_file(&self, view: &View) -> Option<LastFile> {
        let tip = view.tip();
        if tip.level == Level::ZERO {
            return Some(LastFile { checksum: tip.checksum, node_id: tip.header.node_id });
        }
        let (epoch, txid, last) = self.state.lock().last_file?;
        ((epoch, txid) == (view.epoch(), view.txid())).then_some(last)
    }

    /// Returns the last file at level 0 of a state. Reads that file if it is not known.
    pub(super) async fn last_file(&self, view: &View) -> Result<LastFile, LoadError> {
        if let Some(known) = self.known_last_file(view) {
            return Ok(known);
        }
        let name = FileName::of(view.txid());
        let listed = self.files.store.list(Level::ZERO, view.txid()).await?;
        let mut last = LastFile { checksum: 0, node_id: 0 };
        if listed.iter().any(|listed| listed.name == name) {
            let LoadedFile { file, .. } =
                self.files.loader.load_verified(Level::ZERO, name).await?.ok_or(LoadError::Moved)?;
            last = LastFile { checksum: file.checksum, node_id: file.header.node_id };
        }
        self.state.lock().last_file = Some((view.epoch(), view.txid(), last));
        Ok(last)
    }

    pub(super) fn author(&self, base: Option<&View>) -> Result<Author, Error> {
        let previous = match base {
            Some(base) => {
                let last = self.known_last_file(base);
                last.ok_or_else(|| Error::internal("a transaction was not prepared"))?.checksum
            }
            None => 0,
        };
        Ok(Author { node_id: self.node_id, txid: base.map_or(Txid(1), |base| base.txid().next()), previous })
    }

    /// Whether this library has written the newest transaction of a state.
    pub(in crate::replica) async fn is_ours(&self, view: &View) -> Result<bool, Error> {
        let last = self.last_file(view).await.map_err(|error| self.files.failure(error))?;
        Ok(last.node_id != 0)
    }
}
