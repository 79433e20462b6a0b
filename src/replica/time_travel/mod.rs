//! Other moments than the newest: which there are, and the views of them.
//!
//! Levels 1 to 9 are listed whole, and show the coarse moments. Of level 0, which may hold a file for every second of
//! the replica's life, only the part between two of those is listed.
//!
//! | module | what it knows |
//! |---|---|
//! | `reachable` | which moments files lead to (pure) |
//! | `bases` | files that moments begin anew with |
//! | `stamps` | when files say that they were written |
//! | `search` | finding a time among moments |
//! | `history` | all moments, newest first, a few at a time |
//! | `inventory` | all files, a few at a time |

mod bases;
mod history;
mod inventory;
mod reachable;
mod search;
mod stamps;
#[cfg(test)]
mod tests;

pub use history::{HistoryRow, MomentList};
pub use inventory::{FileListing, FileListingRow};
pub(super) use reachable::ReachableMoment;
use stamps::Stamps;

use crate::config::Target;
use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::ltx::{Level, Txid};
use crate::replica::files::loader::LoadError;
use crate::replica::files::{Files, StaleListings, listing};
use crate::replica::follow::Follower;
use crate::replica::follow::head::Head;
use crate::replica::follow::history::Histories;
use crate::replica::follow::view_loader::ViewLoader;
use crate::replica::view::{Epoch, View};
use crate::store::{self, Listed, Store};
use crate::time;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The states of a replica at other times than now.
pub(super) struct TimeTravel {
    files: Arc<Files>,
    views: Arc<ViewLoader>,
    histories: Arc<Histories>,
    head: Arc<Head>,
    follower: Arc<Follower>,
    known: Mutex<HashMap<(Epoch, Txid), Weak<View>>>,
    /// Views that were used last, so that going back and forth does not read their indexes again.
    recent: Mutex<VecDeque<Arc<View>>>,
    /// Times that were looked up, and the transactions found for them.
    found: Mutex<VecDeque<(Epoch, i64, Txid)>>,
    stamps: Stamps,
}

/// How many of the times that were looked for are remembered.
const FOUND: usize = 256;

/// Bytes that a view takes for each page of its database.
const BYTES_A_PAGE: u64 = 16;

impl TimeTravel {
    pub(super) fn new(
        files: Arc<Files>,
        views: Arc<ViewLoader>,
        histories: Arc<Histories>,
        head: Arc<Head>,
        follower: Arc<Follower>,
    ) -> TimeTravel {
        TimeTravel {
            files,
            views,
            histories,
            head,
            follower,
            known: Mutex::default(),
            recent: Mutex::default(),
            found: Mutex::default(),
            stamps: Stamps::default(),
        }
    }

    /// A view that is in use, or was a short while ago.
    fn view(&self, epoch: Epoch, txid: Txid) -> Option<Arc<View>> {
        self.known.lock().get(&(epoch, txid))?.upgrade()
    }

    /// Remembers a view, and others that were used before it as far as all together take no more than `bound` bytes.
    fn remember(&self, view: &Arc<View>, bound: u64) {
        let mut recent = self.recent.lock();
        recent.retain(|other| !Arc::ptr_eq(other, view));
        recent.push_front(view.clone());
        let weight = |view: &Arc<View>| u64::from(view.commit()) * BYTES_A_PAGE + view.held();
        let mut sum = 0;
        let fitting = recent.iter().take_while(|view| {
            sum += weight(view);
            sum <= bound
        });
        let fitting = fitting.count().max(1);
        let forgotten = recent.split_off(fitting);
        drop(recent);
        drop(forgotten);
        let mut known = self.known.lock();
        known.retain(|_, view| view.strong_count() > 0);
        known.insert((view.epoch(), view.txid()), Arc::downgrade(view));
    }
}

/// A part of a listing that suffices for a moment.
struct ListingPart {
    txid: Txid,
    files: Vec<Listed>,
    /// Whether files show that the time which was asked for belongs to no later transaction, also of those to come.
    is_final: bool,
}

impl TimeTravel {
    /// The view of a moment. None for [`Target::Latest`], and for a time that has not come yet: such a reader follows.
    pub(in crate::replica) async fn view_of(&self, target: Target) -> Result<Option<Arc<View>>, Error> {
        match target {
            Target::Latest => return Ok(None),
            Target::Now => return self.newest().await.map(Some),
            Target::Time(ms) if self.is_to_come(ms).await => return Ok(None),
            Target::Time(_) | Target::Txid(_) => {}
        }
        if let Some(view) = self.remembered(target) {
            self.remember(&view, self.head.limits().memory / 4);
            return Ok(Some(view));
        }
        let deleted = || {
            let message = format!("the files of that moment in {} are being deleted", self.files.store);
            Error::new(ErrorKind::TooOld, message).remedy("try again")
        };
        let mut listings = StaleListings::default();
        loop {
            if let Some(found) = listings.settle(self.find(target).await, deleted) {
                return found.map(Some);
            }
        }
    }

    /// The newest view, after a look for a newer one. If the replica does not answer, that is the one which readers who follow see.
    async fn newest(&self) -> Result<Arc<View>, Error> {
        let polled = self.follower.poll(Duration::ZERO).await;
        match self.head.view() {
            Some(head) => Ok(head),
            None => Err(polled.err().unwrap_or_else(|| self.files.empty())),
        }
    }

    /// Whether a time has not come yet: neither by this host's clock nor by the primary's, which may be ahead of it and which shows in
    /// the time of the newest state.
    async fn is_to_come(&self, ms: i64) -> bool {
        let is_after_head = || self.head.view().is_none_or(|head| head.time_ms() < ms);
        if ms <= time::now_ms() || !is_after_head() {
            return false;
        }
        // The state may be newer than the last poll. A failure shows in the status, and leaves the reader following.
        let _ = self.follower.poll(Duration::ZERO).await;
        is_after_head()
    }

    /// The view of a moment that was asked for a short while ago, or the newest by its own time. Asks for nothing.
    fn remembered(&self, target: Target) -> Option<Arc<View>> {
        let head = self.head.view()?;
        let epoch = head.epoch();
        let txid = match target {
            // Also if the primary's clock was set back before it, so that the search would end at an earlier one.
            Target::Time(ms) if ms == head.time_ms() => return Some(head),
            Target::Txid(txid) => txid,
            Target::Time(ms) => self.found.lock().iter().find(|found| (found.0, found.1) == (epoch, ms))?.2,
            Target::Latest | Target::Now => return None,
        };
        self.known_view(epoch, txid)
    }

    async fn find(&self, target: Target) -> Result<Arc<View>, LoadError> {
        let compacted = listing::compacted(&*self.files.store).await?;
        let coarse = self.moments_of(compacted.clone(), Txid(0), Txid(u64::MAX)).await?;
        let part = match target {
            Target::Time(ms) => self.part_until(ms, compacted, &coarse).await?,
            Target::Txid(txid) => self.part_to(txid, compacted, &coarse).await?,
            Target::Latest | Target::Now => {
                return Err(LoadError::Other(Error::internal("the newest moment was looked for")));
            }
        };
        let view = self.view_at(part.txid, &part.files).await?;
        if let (Target::Time(ms), true) = (target, part.is_final) {
            let mut found = self.found.lock();
            found.truncate(FOUND - 1);
            found.push_front((view.epoch(), ms, part.txid));
        }
        Ok(view)
    }

    /// The last moment at or before a time.
    async fn part_until(
        &self,
        ms: i64,
        compacted: Vec<Listed>,
        coarse: &[ReachableMoment],
    ) -> Result<ListingPart, LoadError> {
        let until = self.count_until(coarse, ms).await?;
        let floor = until.checked_sub(1).map_or(Txid(0), |last| coarse[last].txid);
        let ceiling = coarse.get(until).map_or(Txid(u64::MAX), |later| later.txid);
        // With what tells the time of the floor.
        let fine = self.level_0(floor..ceiling).await?;
        let files = compacted.iter().chain(&fine).cloned().collect();
        let moments = self.moments_of(files, floor, ceiling).await?;
        let count = self.count_until(&moments, ms).await?;
        let txid = count.checked_sub(1).map_or(floor, |last| moments[last].txid);
        if txid == Txid(0) {
            let first = moments.first().or(coarse.first());
            return Err(LoadError::Other(self.before_the_first(ms, first).await?));
        }
        let is_final = count < moments.len() || until < coarse.len();
        Ok(ListingPart { txid, files: self.with_head(compacted, fine).await?, is_final })
    }

    /// The moment at a transaction.
    async fn part_to(
        &self,
        txid: Txid,
        compacted: Vec<Listed>,
        coarse: &[ReachableMoment],
    ) -> Result<ListingPart, LoadError> {
        let until = coarse.partition_point(|moment| moment.txid <= txid);
        let floor = until.checked_sub(1).map_or(Txid(0), |last| coarse[last].txid);
        let fine = self.level_0(floor..txid.next()).await?;
        Ok(ListingPart { txid, files: self.with_head(compacted, fine).await?, is_final: true })
    }

    async fn level_0(&self, range: Range<Txid>) -> Result<Vec<Listed>, store::StoreError> {
        if range.is_empty() { Ok(Vec::new()) } else { self.files.store.list_range(Level::ZERO, range).await }
    }

    /// A listing with what stands at level 0 from the newest view's transaction on, which tells its history.
    async fn with_head(&self, mut compacted: Vec<Listed>, fine: Vec<Listed>) -> Result<Vec<Listed>, store::StoreError> {
        if let Some(head) = self.head.view() {
            let newest = self.level_0(head.txid()..Txid(u64::MAX)).await?;
            compacted.extend(newest.into_iter().filter(|file| !fine.iter().any(|listed| listed.name == file.name)));
        }
        compacted.extend(fine);
        Ok(compacted)
    }

    /// The view at a transaction, of files that lead there.
    async fn view_at(&self, txid: Txid, listed: &[Listed]) -> Result<Arc<View>, LoadError> {
        let epoch = self.histories.epoch_of(self.head.view(), listed).await?;
        let view = match self.known_view(epoch, txid) {
            Some(view) => view,
            None => Arc::new(self.build_at(txid, listed, epoch).await?),
        };
        self.remember(&view, self.head.limits().memory / 4);
        Ok(view)
    }

    async fn build_at(&self, txid: Txid, listed: &[Listed], epoch: Epoch) -> Result<View, LoadError> {
        match self.views.build_around(txid, listed, epoch, None).await? {
            Some(view) => Ok(view),
            None => Err(LoadError::Other(self.no_such_txid(txid).await?)),
        }
    }

    fn known_view(&self, epoch: Epoch, txid: Txid) -> Option<Arc<View>> {
        let head = self.head.view().filter(|head| (head.epoch(), head.txid()) == (epoch, txid));
        head.or_else(|| self.view(epoch, txid)).filter(|view| self.views.may_serve(view))
    }

    async fn before_the_first(&self, ms: i64, first: Option<&ReachableMoment>) -> Result<Error, LoadError> {
        let Some(first) = first else { return Ok(self.files.empty()) };
        let earliest = time::format(self.stamp_of(first).await?.ms);
        let message = format!("{} holds no state as old as {}", self.files.store, time::format(ms));
        Ok(Error::new(ErrorKind::Empty, message).remedy(format!("the earliest it holds is of {earliest}")))
    }

    /// No state stands after exactly this transaction: an error that names the nearest.
    async fn no_such_txid(&self, txid: Txid) -> Result<Error, LoadError> {
        let moments = self.moments_of(listing::all(&*self.files.store).await?, Txid(0), Txid(u64::MAX)).await?;
        let next = moments.partition_point(|moment| moment.txid <= txid);
        let above = moments.get(next).map(|moment| moment.txid);
        let below = moments[..next].iter().rev().map(|moment| moment.txid).find(|below| *below < txid);
        let message = format!("{} holds no state that ends at TXID {txid}", self.files.store);
        let remedy = match (below, above) {
            (Some(below), Some(above)) => format!("the nearest are {below} below and {above} above"),
            (Some(below), None) => format!("the newest is {below}"),
            (None, Some(above)) => format!("the earliest is {above}"),
            (None, None) => return Ok(self.files.empty()),
        };
        Ok(Error::new(ErrorKind::Empty, message).remedy(remedy))
    }
}
