//! Reads pages from other files if their own file has vanished or is damaged.

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
        self.page_from_another_file(view, pgno, STALE_LISTINGS).await?.ok_or_else(|| self.too_old(view))
    }

    /// Returns a page that is damaged in its file, from another file that has the same version of the page.
    pub(super) async fn damaged_page(&self, view: &Arc<View>, pgno: u32, damage: Error) -> Result<Page, Error> {
        match self.page_from_another_file(view, pgno, 1).await {
            Ok(Some(page)) => Ok(page),
            // The damage is the error to report, even if the search for another file failed.
            Ok(None) | Err(_) => Err(damage),
        }
    }

    /// Returns a page of a view from another file than its own, after up to `listings` new listings.
    async fn page_from_another_file(
        &self,
        view: &Arc<View>,
        pgno: u32,
        listings: usize,
    ) -> Result<Option<Page>, Error> {
        // Readers of the newest view should not need this.
        self.follower.set_outdated();
        let known = [self.head.view(), self.fallback.lock().clone()];
        for other in known.into_iter().flatten() {
            if let Some(page) = self.page_from(&other, view, pgno).await? {
                return Ok(Some(page));
            }
        }
        for _ in 0..listings {
            // The newer the newest view is, the more versions of pages it proves to be the same.
            self.follower.poll(self.follower.poll_interval()).await?;
            let others = match self.views_from_listing(view).await {
                Ok(others) => others,
                Err(LoadError::Moved) => continue,
                Err(LoadError::Other(error)) => return Err(error),
            };
            for other in others {
                if let Some(page) = self.page_from(&other, view, pgno).await? {
                    *self.fallback.lock() = Some(other);
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
        match self.prefetch.page(other, pgno).await {
            Ok(page) => Ok(page),
            Err(FetchError::Moved | FetchError::Damaged(_) | FetchError::Spoiled(_)) => Ok(None),
            Err(FetchError::Other(error)) => Err(error),
        }
    }

    /// Whether a page is the same in two views that share a history up to the older one.
    ///
    /// It is the same if the file that contains it in `other` ends at or before `view`: had the page been written
    /// later, its newest version would be in a later file. It is also the same if the newest view still has it from the
    /// same file as `view`, so that it was not written in between, and the newest view is newer than the file that
    /// contains it in `other`.
    fn is_same_version(&self, other: &View, view: &View, pgno: u32) -> bool {
        let (Some(there), Some(here)) = (other.file_of(pgno), view.file_of(pgno)) else { return false };
        if there.number == here.number {
            // The same content, perhaps under another version: a copy of the replica, or a file whose time was set. Or the
            // whole index was read since, because a part of it was damaged.
            return !Arc::ptr_eq(there, here) || view.is_unlocated(pgno) && !other.is_unlocated(pgno);
        }
        let (end, agree) =
            (there.name.max, |one: &View, until| self.histories.epochs.agree(one.epoch(), other.epoch(), until));
        if !agree(view, view.txid()) || other.txid() < view.txid() {
            return false;
        }
        let proves = |head: &Arc<View>| {
            let unwritten = head.file_of(pgno).is_some_and(|now| now.number == here.number);
            unwritten && head.txid() >= end && agree(head, end)
        };
        end <= view.txid() || self.head.view().as_ref().is_some_and(proves)
    }

    /// Lists the replica and builds the views at the transaction of `view` and at the newest one. Returns none if the
    /// listed files belong to another history.
    async fn views_from_listing(&self, view: &View) -> Result<Vec<Arc<View>>, LoadError> {
        let listed = listing::all(&*self.files.store).await?;
        let epoch = self.histories.epoch_of(self.head.view(), &listed).await?;
        if !self.histories.epochs.agree(epoch, view.epoch(), view.txid()) {
            return Ok(Vec::new());
        }
        let mut others = Vec::new();
        others.extend(self.views.build_around(view.txid(), &listed, epoch, Some(view)).await?.map(Arc::new));
        if listed.iter().any(|file| file.name.max > view.txid()) {
            others.extend(self.views.newest_complete(&listed, Some(view), epoch).await?.map(Arc::new));
        }
        Ok(others)
    }

    fn too_old(&self, view: &View) -> Error {
        let message = format!(
            "the snapshot at TXID {} is too old: {} no longer contains its pages",
            view.txid(),
            self.files.store
        );
        Error::new(ErrorKind::TooOld, message)
            .remedy("end the transaction and start another, or set a longer retention in Litestream")
    }
}
