//! Pages whose file has vanished or is damaged.

use crate::error::{Error, ErrorKind};
use crate::replica::cache::Page;
use crate::replica::fetch::FetchError;
use crate::replica::files::loader::LoadError;
use crate::replica::files::{STALE_LISTINGS, listing};
use crate::replica::pages::PageReader;
use crate::replica::view::View;
use std::sync::Arc;

impl PageReader {
    /// Returns a page of a view whose file has vanished, from another file that has the same version of the page.
    pub(super) async fn vanished_page(&self, view: &Arc<View>, pgno: u32) -> Result<Page, Error> {
        self.page_elsewhere(view, pgno, STALE_LISTINGS).await?.ok_or_else(|| self.too_old(view))
    }

    /// Returns a page that is damaged in its file, from another file that has the same version of the page.
    pub(super) async fn damaged_page(&self, view: &Arc<View>, pgno: u32, damage: Error) -> Result<Page, Error> {
        match self.page_elsewhere(view, pgno, 1).await {
            Ok(Some(page)) => Ok(page),
            // Other errors of the replica do not matter here.
            Ok(None) | Err(_) => Err(damage),
        }
    }

    /// Returns a page of a view from another file than its own, after up to `listings` new listings.
    async fn page_elsewhere(&self, view: &Arc<View>, pgno: u32, listings: usize) -> Result<Option<Page>, Error> {
        // Readers of the newest view should not need this.
        self.follower.set_outdated();
        let known = [self.head.view(), self.spare.lock().clone()];
        for other in known.into_iter().flatten() {
            if let Some(page) = self.page_from(&other, view, pgno).await? {
                return Ok(Some(page));
            }
        }
        for _ in 0..listings {
            // The newer the newest view is, the more it proves.
            self.follower.poll(self.follower.poll_interval()).await?;
            let holders = match self.holders(view).await {
                Ok(holders) => holders,
                Err(LoadError::Moved) => continue,
                Err(LoadError::Other(error)) => return Err(error),
            };
            for other in holders {
                if let Some(page) = self.page_from(&other, view, pgno).await? {
                    *self.spare.lock() = Some(other);
                    return Ok(Some(page));
                }
            }
        }
        Ok(None)
    }

    /// Returns the page from another view, if that has the same version of it in a file that exists.
    async fn page_from(&self, other: &Arc<View>, view: &View, pgno: u32) -> Result<Option<Page>, Error> {
        if !self.is_same_version(other, view, pgno) {
            return Ok(None);
        }
        match self.fetcher.page(other, pgno).await {
            Ok(page) => Ok(page),
            Err(FetchError::Moved | FetchError::Damaged(_) | FetchError::Spoiled(_)) => Ok(None),
            Err(FetchError::Other(error)) => Err(error),
        }
    }

    /// Whether a page is the same in two views that share a history up to the older one.
    ///
    /// It is the same if the file that contains it in `other` ends at or before `view`: had the page been written later, its newest
    /// version would be in a later file. It is also the same if the newest view still has it from the same file as `view`, so
    /// that it was not written in between, and the newest view is newer than the file that contains it in `other`.
    fn is_same_version(&self, other: &View, view: &View, pgno: u32) -> bool {
        let (Some(there), Some(here)) = (other.locate(pgno), view.locate(pgno)) else { return false };
        if there.file.number == here.file.number {
            // The same content, perhaps under another version: a copy of the replica, or a file whose time was set.
            return !Arc::ptr_eq(there.file, here.file);
        }
        let (end, agree) =
            (there.file.name.max, |one: &View, until| self.histories.epochs.agree(one.epoch(), other.epoch(), until));
        if !agree(view, view.txid()) || other.txid() < view.txid() {
            return false;
        }
        let proves = |head: &Arc<View>| {
            let unwritten = head.locate(pgno).is_some_and(|now| now.file.number == here.file.number);
            unwritten && head.txid() >= end && agree(head, end)
        };
        end <= view.txid() || self.head.view().as_ref().is_some_and(proves)
    }

    /// Builds views from a new listing, of the history of `view`, at its transaction and at the newest.
    async fn holders(&self, view: &View) -> Result<Vec<Arc<View>>, LoadError> {
        let listed = listing::all(&*self.files.store).await?;
        let epoch = self.histories.epoch_of(self.head.view(), &listed).await?;
        if !self.histories.epochs.agree(epoch, view.epoch(), view.txid()) {
            return Ok(Vec::new());
        }
        let mut holders = Vec::new();
        holders.extend(self.views.build_around(view.txid(), &listed, epoch, Some(view)).await?.map(Arc::new));
        if listed.iter().any(|file| file.name.max > view.txid()) {
            holders.extend(self.views.newest_complete(&listed, Some(view), epoch).await?.map(Arc::new));
        }
        Ok(holders)
    }

    fn too_old(&self, view: &View) -> Error {
        let message =
            format!("the snapshot at TXID {} is too old: {} no longer holds its pages", view.txid(), self.files.store);
        Error::new(ErrorKind::TooOld, message)
            .remedy("end the transaction and start another, or lengthen Litestream's retention")
    }
}
