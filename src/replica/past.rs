//! Other moments than the newest, and pages whose file is gone.

use super::build::{self, BuildError};
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

impl Replica {
    /// The view of a moment. None for [`Target::Latest`], and for a time that has not come yet: such a reader follows.
    pub(crate) async fn view_of(&self, target: Target) -> Result<Option<Arc<View>>, Error> {
        if target == Target::Latest || matches!(target, Target::Time(ms) if ms >= now_ms()) {
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
        let view = match build::from_chain(&self.library, &chain, listed, epoch, None).await {
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
        for _ in 0..STALE_LISTINGS {
            let other = match self.holder(view, pgno).await {
                Ok(Some(other)) => other,
                Ok(None) => break,
                Err(LoadError::Moved) => continue,
                Err(LoadError::Other(error)) => return Err(error),
            };
            match self.fetcher.page(&other, pgno).await {
                Ok(Some(page)) => return Ok(page),
                Ok(None) => break,
                Err(FetchError::Moved) => continue,
                Err(FetchError::Other(error)) => return Err(error),
            }
        }
        Err(self.too_old(view))
    }

    /// A view from a fresh listing in which the page has the version it has in `view`.
    ///
    /// One of the same history at the same transaction has; so has a newer one in which the page lies in a file that ends
    /// at or before `view`: had it been written since, its newest version would lie in a later file.
    async fn holder(&self, view: &Arc<View>, pgno: u32) -> Result<Option<Arc<View>>, LoadError> {
        let listed = catalog::all(&*self.store).await?;
        let epoch = self.epoch_of(&listed).await?;
        if epoch != view.epoch() {
            return Ok(None);
        }
        let newest = plan::newest(&listed).into_iter().next().filter(|chain| chain.end() > view.txid());
        for chain in plan::at(&listed, view.txid()).into_iter().chain(newest) {
            let built = match build::from_chain(&self.library, &chain, &listed, epoch, Some(view)).await {
                Ok(built) => Arc::new(built),
                Err(BuildError::NoBase) => continue,
                Err(BuildError::Load(error)) => return Err(error),
            };
            if built.locate(pgno).is_some_and(|extent| extent.file.name.max <= view.txid()) {
                return Ok(Some(built));
            }
        }
        Ok(None)
    }

    fn too_old(&self, view: &View) -> Error {
        let message =
            format!("the snapshot at TXID {} is too old: {} no longer holds its pages", view.txid(), self.store);
        Error::new(Kind::TooOld, message)
            .remedy("end the transaction and start another, or lengthen Litestream's retention")
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}
