//! Pages whose file is gone.

use crate::error::{Error, ErrorKind};
use crate::replica::Replica;
use crate::replica::cache::Page;
use crate::replica::fetch::FetchError;
use crate::replica::files::listing;
use crate::replica::files::loader::LoadError;
use crate::replica::follow::relist::STALE_LISTINGS;
use crate::replica::view::View;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Replica {
    /// A page of a view whose file is gone, from another file that holds the same version of it.
    pub(in crate::replica) async fn moved_page(self: &Arc<Self>, view: &Arc<View>, pgno: u32) -> Result<Page, Error> {
        self.page_elsewhere(view, pgno, STALE_LISTINGS).await?.ok_or_else(|| self.too_old(view))
    }

    /// A page of a view in whose file it is damaged, from another file that holds the same version of it.
    pub(in crate::replica) async fn page_around(
        self: &Arc<Self>,
        view: &Arc<View>,
        pgno: u32,
        damage: Error,
    ) -> Result<Page, Error> {
        match self.page_elsewhere(view, pgno, 1).await {
            Ok(Some(page)) => Ok(page),
            // What else is wrong with the replica does not matter here.
            Ok(None) | Err(_) => Err(damage),
        }
    }

    /// A page of a view from another file than its own, which so many new listings may show.
    async fn page_elsewhere(
        self: &Arc<Self>,
        view: &Arc<View>,
        pgno: u32,
        listings: usize,
    ) -> Result<Option<Page>, Error> {
        // Whoever reads the newest view from now on should not have to come here.
        self.outdated.store(true, Ordering::Relaxed);
        let known = [self.head(), self.spare.lock().clone()];
        for other in known.into_iter().flatten() {
            if let Some(page) = self.page_from(&other, view, pgno).await? {
                return Ok(Some(page));
            }
        }
        for _ in 0..listings {
            // The head proves more the newer it is.
            self.poll(self.poll_interval()).await?;
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

    /// The page from another view, if that has the same version of it and its file is there.
    async fn page_from(&self, other: &Arc<View>, view: &View, pgno: u32) -> Result<Option<Page>, Error> {
        if !self.is_same_version(other, view, pgno) {
            return Ok(None);
        }
        match self.fetcher.page(other, pgno, &self.prefetch.free_list()).await {
            Ok(page) => Ok(page),
            Err(FetchError::Moved | FetchError::Damaged(_) | FetchError::Spoiled(_)) => Ok(None),
            Err(FetchError::Other(error)) => Err(error),
        }
    }

    /// Whether a page is in two views the same, whose histories are one up to the first.
    ///
    /// It is if the file in which the other has it ends at or before this view: had the page been written since, its newest
    /// version would lie in a later file. And it is if the newest view still has it from the same file as this one, so
    /// that it was not written in between, and is newer than the file in which the other has it.
    fn is_same_version(&self, other: &View, view: &View, pgno: u32) -> bool {
        let (Some(there), Some(here)) = (other.locate(pgno), view.locate(pgno)) else { return false };
        if there.file.number == here.file.number {
            // The same content, perhaps under another version by now: a copy of the replica, a file whose time was set.
            return !Arc::ptr_eq(there.file, here.file);
        }
        let (end, agree) =
            (there.file.name.max, |one: &View, until| self.lineage.agree(one.epoch(), other.epoch(), until));
        if !agree(view, view.txid()) || other.txid() < view.txid() {
            return false;
        }
        let proves = |head: &Arc<View>| {
            let unwritten = head.locate(pgno).is_some_and(|now| now.file.number == here.file.number);
            unwritten && head.txid() >= end && agree(head, end)
        };
        end <= view.txid() || self.head().as_ref().is_some_and(proves)
    }

    /// Views from a fresh listing, of the history of `view`, at its transaction and at the newest.
    async fn holders(&self, view: &View) -> Result<Vec<Arc<View>>, LoadError> {
        let listed = listing::all(&*self.store).await?;
        let epoch = self.epoch_of(&listed).await?;
        if !self.lineage.agree(epoch, view.epoch(), view.txid()) {
            return Ok(Vec::new());
        }
        let mut holders = Vec::new();
        holders.extend(self.build_around(view.txid(), &listed, epoch, Some(view)).await?.map(Arc::new));
        if listed.iter().any(|file| file.name.max > view.txid()) {
            holders.extend(self.newest_complete(&listed, Some(view), epoch).await?.map(Arc::new));
        }
        Ok(holders)
    }

    fn too_old(&self, view: &View) -> Error {
        let message =
            format!("the snapshot at TXID {} is too old: {} no longer holds its pages", view.txid(), self.store);
        Error::new(ErrorKind::TooOld, message)
            .remedy("end the transaction and start another, or lengthen Litestream's retention")
    }
}
