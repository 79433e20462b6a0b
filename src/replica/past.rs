//! Other moments than the newest, and pages whose file is gone.

use super::build::BuildError;
use super::cache::Page;
use super::fetch::FetchError;
use super::library::LoadError;
use super::plan::{self, NoChain};
use super::renew::STALE_LISTINGS;
use super::view::{Epoch, View};
use super::{Replica, catalog};
use crate::config::Target;
use crate::error::{Error, Kind};
use crate::ltx::Txid;
use crate::store::Listed;
use crate::time;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Replica {
    /// The view of a moment. None for [`Target::Latest`], and for a time that has not come yet: such a reader follows.
    pub(crate) async fn view_of(&self, target: Target) -> Result<Option<Arc<View>>, Error> {
        if target == Target::Latest || matches!(target, Target::Time(ms) if ms >= time::now_ms()) {
            return Ok(None);
        }
        for _ in 0..STALE_LISTINGS {
            match self.find(target).await {
                Ok(view) => return Ok(Some(view)),
                Err(LoadError::Moved) => continue,
                Err(LoadError::Other(error)) => return Err(error),
            }
        }
        Err(Error::new(Kind::TooOld, format!("the files of that moment in {} are being deleted", self.store)))
    }

    async fn find(&self, target: Target) -> Result<Arc<View>, LoadError> {
        let listed = catalog::all(&*self.store).await?;
        let txid = match target {
            Target::Txid(txid) => txid,
            Target::Time(ms) => self.txid_at(ms, &listed).await?,
            Target::Latest => plan::newest(&listed).first().map(plan::Chain::end).unwrap_or_default(),
        };
        self.view_at(txid, &listed).await
    }

    async fn view_at(&self, txid: Txid, listed: &[Listed]) -> Result<Arc<View>, LoadError> {
        let epoch = self.epoch_of(listed).await?;
        if let Some(view) = self.known_view(epoch, txid) {
            return Ok(view);
        }
        let chain = plan::at(listed, txid).map_err(|near| LoadError::Other(self.no_such_txid(txid, near)))?;
        let view = match self.build(&chain, listed, epoch, None).await {
            Ok(view) => Arc::new(view),
            Err(BuildError::Load(error)) => return Err(error),
            Err(BuildError::NoBase) => return Err(LoadError::Other(self.no_base(txid))),
        };
        let mut past = self.past.lock();
        past.retain(|_, view| view.strong_count() > 0);
        past.insert((epoch, txid), Arc::downgrade(&view));
        Ok(view)
    }

    fn known_view(&self, epoch: Epoch, txid: Txid) -> Option<Arc<View>> {
        let head = self.head().filter(|head| (head.epoch(), head.txid()) == (epoch, txid));
        head.or_else(|| self.past.lock().get(&(epoch, txid))?.upgrade())
    }

    /// The last transaction at or before a time, of those that files end at: by bisection over their headers.
    async fn txid_at(&self, ms: i64, listed: &[Listed]) -> Result<Txid, LoadError> {
        let mut ends: Vec<&Listed> = listed.iter().collect();
        // Of files with the same end the lowest level has the time closest to the transaction.
        ends.sort_by_key(|file| (file.name.max, file.level));
        ends.dedup_by_key(|file| file.name.max);
        ends.retain(|file| plan::at(listed, file.name.max).is_ok_and(|chain| chain.start() == Txid(1)));
        let (mut low, mut high) = (0, ends.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let header = self.library.header(ends[middle]).await?;
            if header.timestamp_ms <= ms { low = middle + 1 } else { high = middle }
        }
        match low.checked_sub(1) {
            Some(found) => Ok(ends[found].name.max),
            None => Err(LoadError::Other(self.before_the_first(ms, ends.first().copied()).await?)),
        }
    }

    async fn before_the_first(&self, ms: i64, first: Option<&Listed>) -> Result<Error, LoadError> {
        let Some(first) = first else { return Ok(self.empty()) };
        let earliest = time::format(self.library.header(first).await?.timestamp_ms);
        let message = format!("{} holds no state as old as {}", self.store, time::format(ms));
        Ok(Error::new(Kind::Empty, message).remedy(format!("the earliest it holds is {earliest}")))
    }

    /// The replica holds no database.
    pub(super) fn empty(&self) -> Error {
        Error::new(Kind::Empty, format!("no backup is found at {}", self.store))
            .remedy("check the URL, and that `litestream replicate` is running and has finished its first sync")
    }

    fn no_base(&self, txid: Txid) -> Error {
        Error::new(Kind::Empty, format!("{} does not hold every page of the database at TXID {txid}", self.store))
            .remedy("wait for the next snapshot, or force one")
    }

    fn no_such_txid(&self, txid: Txid, near: NoChain) -> Error {
        let message = format!("{} holds no state that ends at TXID {txid}", self.store);
        let remedy = match (near.below, near.above) {
            (Some(below), Some(above)) => format!("the nearest are {below} below and {above} above"),
            (Some(below), None) => format!("the newest is {below}"),
            (None, Some(above)) => format!("the earliest is {above}"),
            (None, None) => return self.empty(),
        };
        Error::new(Kind::Empty, message).remedy(remedy)
    }

    /// A page of a view whose file is gone, from another file that holds the same version of it.
    pub(super) async fn moved_page(&self, view: &Arc<View>, pgno: u32) -> Result<Page, Error> {
        // Whoever reads the newest view from now on should not have to come here.
        self.outdated.store(true, Ordering::Relaxed);
        let known = [self.head(), self.spare.lock().clone()];
        for other in known.into_iter().flatten() {
            if let Some(page) = self.page_from(&other, view, pgno).await? {
                return Ok(page);
            }
        }
        for _ in 0..STALE_LISTINGS {
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
                    return Ok(page);
                }
            }
        }
        Err(self.too_old(view))
    }

    /// The page from another view, if that has the same version of it and its file is there.
    async fn page_from(&self, other: &Arc<View>, view: &View, pgno: u32) -> Result<Option<Page>, Error> {
        if !self.is_same_version(other, view, pgno) {
            return Ok(None);
        }
        match self.fetcher.page(other, pgno).await {
            Ok(page) => Ok(page),
            Err(FetchError::Moved) => Ok(None),
            Err(FetchError::Other(error)) => Err(error),
        }
    }

    /// Whether a page is in two views of one history the same.
    ///
    /// It is if the file in which the other has it ends at or before this view: had the page been written since, its newest
    /// version would lie in a later file. And it is if the newest view still has it from the same file as this one, so
    /// that it was not written in between, and is newer than the file in which the other has it.
    fn is_same_version(&self, other: &View, view: &View, pgno: u32) -> bool {
        let (Some(there), Some(here)) = (other.locate(pgno), view.locate(pgno)) else { return false };
        if other.epoch() != view.epoch() || other.txid() < view.txid() || there.file.number == here.file.number {
            return false;
        }
        let proves = |head: &Arc<View>| {
            let unwritten = head.locate(pgno).is_some_and(|now| now.file.number == here.file.number);
            unwritten && head.epoch() == view.epoch() && head.txid() >= there.file.name.max
        };
        there.file.name.max <= view.txid() || self.head().as_ref().is_some_and(proves)
    }

    /// Views from a fresh listing, of the history of `view`, at its transaction and at the newest.
    async fn holders(&self, view: &View) -> Result<Vec<Arc<View>>, LoadError> {
        let listed = catalog::all(&*self.store).await?;
        let epoch = self.epoch_of(&listed).await?;
        if epoch != view.epoch() {
            return Ok(Vec::new());
        }
        let newest = plan::newest(&listed).into_iter().next().filter(|chain| chain.end() > view.txid());
        let mut holders = Vec::new();
        for chain in plan::at(&listed, view.txid()).into_iter().chain(newest) {
            match self.build(&chain, &listed, epoch, Some(view)).await {
                Ok(built) => holders.push(Arc::new(built)),
                Err(BuildError::NoBase) => {}
                Err(BuildError::Load(error)) => return Err(error),
            }
        }
        Ok(holders)
    }

    fn too_old(&self, view: &View) -> Error {
        let message =
            format!("the snapshot at TXID {} is too old: {} no longer holds its pages", view.txid(), self.store);
        Error::new(Kind::TooOld, message)
            .remedy("end the transaction and start another, or lengthen Litestream's retention")
    }
}
