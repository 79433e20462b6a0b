//! Past states: which states the replica has, and the views of them.
//!
//! A state is available at a transaction at which files end, if files lead there without a hole. Levels 1 to 9 are
//! listed completely and give the coarse states. Level 0 can contain a file for every second of the replica's life, so
//! only the part of it between two coarse states is listed.
//!
//! | module | contents |
//! |---|---|
//! | `reachable` | the states that the files of a listing lead to (a pure function) |
//! | `headers` | reads and caches the times and database sizes in file headers |
//! | `states` | the states of a listing, including those that begin after a hole |
//! | `search` | finds the last state at or before a time |
//! | `recent` | views and search results that were used recently |
//! | `resolve` | finds the state of a time or a TXID, and builds its view |
//! | `history` | lists all states in batches, newest first |
//! | `file_listing` | lists all files in batches |

mod file_listing;
mod headers;
mod history;
mod reachable;
mod recent;
mod resolve;
mod search;
mod states;
#[cfg(test)]
mod tests;

pub use file_listing::{FileListing, FileListingRow};
pub use history::{HistoryRow, MomentList};
pub(super) use reachable::ReachableState;

use crate::config::Target;
use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::replica::files::{Files, StaleListings};
use crate::replica::follow::Follower;
use crate::replica::follow::head::Head;
use crate::replica::follow::history::Histories;
use crate::replica::follow::view_loader::ViewLoader;
use crate::replica::view::{Epoch, View};
use crate::time;
use headers::HeaderCache;
use recent::RecentStates;
use std::sync::Arc;
use std::time::Duration;

/// Finds the past states of a replica, and builds views of them.
pub(super) struct TimeTravel {
    files: Arc<Files>,
    views: Arc<ViewLoader>,
    histories: Arc<Histories>,
    head: Arc<Head>,
    follower: Arc<Follower>,
    recent: RecentStates,
    headers: HeaderCache,
}

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
            recent: RecentStates::default(),
            headers: HeaderCache::default(),
        }
    }

    /// Returns the view of `target`, or None for [`Target::Latest`] and for a time in the future: such a reader
    /// follows.
    pub(super) async fn view_of(&self, target: Target) -> Result<Option<Arc<View>>, Error> {
        match target {
            Target::Latest => return Ok(None),
            Target::Now => return self.newest().await.map(Some),
            Target::Time(ms) if self.is_in_future(ms).await => return Ok(None),
            Target::Time(_) | Target::Txid(_) => {}
        }
        if let Some(view) = self.recent_view_of(target) {
            self.keep(&view);
            return Ok(Some(view));
        }
        let mut listings = StaleListings::default();
        loop {
            let resolved = self.resolve(target, listings.is_first()).await;
            if let Some(resolved) = listings.settle(resolved, || self.deleted()) {
                return resolved.map(Some);
            }
        }
    }

    /// The error if the files of a state were deleted since they were listed.
    fn deleted(&self) -> Error {
        let message =
            format!("files of the requested state were deleted from {} while they were read", self.files.store);
        Error::new(ErrorKind::TooOld, message).remedy("try again")
    }

    /// Polls, and returns the newest view. If the poll fails, this is the view that following readers see.
    async fn newest(&self) -> Result<Arc<View>, Error> {
        let polled = self.follower.poll(Duration::ZERO).await;
        match self.head.view() {
            Some(head) => Ok(head),
            None => Err(polled.err().unwrap_or_else(|| self.files.empty())),
        }
    }

    /// Whether a time is later than both this host's clock and the newest state. The primary's clock, which wrote the
    /// time of that state, may be ahead of this host's.
    async fn is_in_future(&self, ms: i64) -> bool {
        let is_after_head = || self.head.view().is_none_or(|head| head.time_ms() < ms);
        if ms <= time::now_ms() || !is_after_head() {
            return false;
        }
        // There may be a newer state than the last poll found. If this poll fails, the status shows the error, and the
        // reader keeps following.
        let _ = self.follower.poll(Duration::ZERO).await;
        is_after_head()
    }

    /// Returns the view of a state that was used recently, or the newest view for its own time. Makes no request.
    fn recent_view_of(&self, target: Target) -> Option<Arc<View>> {
        let head = self.head.view()?;
        let epoch = head.epoch();
        let txid = match target {
            // If the primary's clock was set back, the search would find an earlier state for this time.
            Target::Time(ms) if ms == head.time_ms() => return Some(head),
            Target::Txid(txid) => txid,
            Target::Time(ms) => self.recent.txid_at(epoch, ms)?,
            Target::Latest | Target::Now => return None,
        };
        self.known_view(epoch, txid)
    }

    /// Returns the view of a transaction if it is the newest view, in use, or was used recently.
    fn known_view(&self, epoch: Epoch, txid: Txid) -> Option<Arc<View>> {
        let head = self.head.view().filter(|head| (head.epoch(), head.txid()) == (epoch, txid));
        head.or_else(|| self.recent.view(epoch, txid)).filter(|view| self.views.may_serve(view))
    }

    /// Keeps a view for later use. All kept views together take at most a quarter of the cache's limit.
    fn keep(&self, view: &Arc<View>) {
        self.recent.keep(view, self.head.limits().memory / 4);
    }
}
