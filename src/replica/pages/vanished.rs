//! Reads pages from other files if their own file has vanished or is damaged.

use crate::error::{Error, ErrorKind};
use crate::replica::cache::Page;
use crate::replica::fetch::FetchError;
use crate::replica::files::load_error::LoadError;
use crate::replica::files::{STALE_LISTINGS, listing};
use crate::replica::follow::poll::FAILURE_STAYS;
use crate::replica::pages::PageReader;
use crate::replica::view::View;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long a page is searched for in other files.
const SEARCH_LIMIT: Duration = Duration::from_secs(30);

/// The last search in a listing. A transaction whose files have vanished misses many pages, and all of them would be searched for in vain.
pub(super) struct Search {
    /// The view whose page was missing.
    of: Weak<View>,
    ended: Instant,
    /// The views that the listing gives.
    views: Result<Vec<Arc<View>>, Error>,
}

impl Search {
    /// Returns the views that the search has given, if it is new and was for this view.
    fn views_for(&self, view: &Arc<View>) -> Option<Result<Vec<Arc<View>>, Error>> {
        let is_new = self.ended.elapsed() < FAILURE_STAYS;
        (is_new && std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(view))).then(|| self.views.clone())
    }
}

/// Whether a page is requested again from its own file, if a listing still shows the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnSource {
    /// It seemed to be missing.
    Again,
    /// It is damaged.
    Excluded,
}

/// What a search for a page in some views has found.
enum Sought {
    Found(Page),
    /// No view has the same version of the page.
    Nowhere,
    /// A view has it, in a file that is no longer there as it was listed: the listing is stale.
    Moved,
}

impl PageReader {
    /// Returns a page of a view whose file seems to have vanished: from another file that has the same version of the page, or from its own
    /// file if that is still there.
    pub(super) async fn vanished_page(&self, view: &Arc<View>, pgno: u32) -> Result<Page, Error> {
        let found = self.search(view, pgno, OwnSource::Again).await?;
        found.ok_or_else(|| self.too_old(view))
    }

    /// Returns a page that is damaged in its file, from another file that has the same version of the page.
    pub(super) async fn damaged_page(&self, view: &Arc<View>, pgno: u32, damage: Error) -> Result<Page, Error> {
        match self.search(view, pgno, OwnSource::Excluded).await {
            Ok(Some(page)) => Ok(page),
            // The damage is the error to report, even if the search for another file failed.
            Ok(None) | Err(_) => Err(damage),
        }
    }

    /// Returns a page of a view from another file than its own, or None if no file has it.
    async fn search(&self, view: &Arc<View>, pgno: u32, own: OwnSource) -> Result<Option<Page>, Error> {
        // Readers of the newest view should not need this.
        self.follower.set_outdated();
        let searched = timeout(SEARCH_LIMIT, async {
            let known = [self.head.view(), self.fallback.lock().clone()];
            match self.page_from_any(known.into_iter().flatten(), view, pgno).await? {
                Sought::Found(page) => Ok(Some(page)),
                Sought::Nowhere | Sought::Moved => self.search_listings(view, pgno, own).await,
            }
        });
        searched.await.unwrap_or_else(|_| Err(self.search_timed_out(view, pgno)))
    }

    /// Returns a page from the views of a new listing. One caller lists at a time, and those that wait for it use what it has
    /// found.
    async fn search_listings(&self, view: &Arc<View>, pgno: u32, own: OwnSource) -> Result<Option<Page>, Error> {
        let mut last = self.last_search.lock().await;
        // Damage is reported only if a new listing shows no way around it.
        if own == OwnSource::Again
            && let Some(views) = last.as_ref().and_then(|last| last.views_for(view))
        {
            match self.page_from_listed(&views?, view, pgno, own).await? {
                Sought::Found(page) => return Ok(Some(page)),
                Sought::Nowhere => return Ok(None),
                Sought::Moved => {}
            }
        }
        let (mut found, mut views) = (Ok(None), Ok(Vec::new()));
        for _ in 0..STALE_LISTINGS {
            views = match self.list_again(view).await {
                // A file of the listing has vanished meanwhile, or is being written.
                Err(LoadError::Moved) => continue,
                Err(LoadError::Other(error)) if error.kind() == ErrorKind::Damaged => continue,
                Err(LoadError::Other(error)) => Err(error),
                Ok(views) => Ok(views),
            };
            let Ok(listed) = &views else { break };
            match self.page_from_listed(listed, view, pgno, own).await {
                Ok(Sought::Moved) => continue,
                Ok(Sought::Found(page)) => found = Ok(Some(page)),
                Ok(Sought::Nowhere) => {}
                Err(error) => found = Err(error),
            }
            break;
        }
        *last = Some(Search { of: Arc::downgrade(view), ended: Instant::now(), views: views.clone() });
        views.and(found)
    }

    /// Returns a page of `view` from the views of a listing, or from its own file if that is listed.
    async fn page_from_listed(
        &self,
        listed: &[Arc<View>],
        view: &Arc<View>,
        pgno: u32,
        own: OwnSource,
    ) -> Result<Sought, Error> {
        let is_listed = || listed.iter().any(|listed| is_in_same_file(listed, view, pgno));
        match self.page_from_any(listed.iter().cloned(), view, pgno).await? {
            Sought::Nowhere if own == OwnSource::Again && is_listed() => {}
            sought => return Ok(sought),
        }
        match self.prefetch.page(view, pgno).await {
            Ok(page) => Ok(page.map_or(Sought::Nowhere, Sought::Found)),
            // A file that is damaged after it was missing is being replaced.
            Err(FetchError::Moved | FetchError::Damaged(_)) => Ok(Sought::Moved),
            Err(FetchError::Spoiled(error) | FetchError::Other(error)) => Err(error),
        }
    }

    async fn list_again(&self, view: &View) -> Result<Vec<Arc<View>>, LoadError> {
        // The newer the newest view is, the more versions of pages it proves to be the same.
        self.follower.poll(self.follower.poll_interval()).await.map_err(LoadError::Other)?;
        self.views_from_listing(view).await
    }

    /// Returns a page of `view` from the first of other views that has it.
    async fn page_from_any(
        &self,
        others: impl Iterator<Item = Arc<View>>,
        view: &View,
        pgno: u32,
    ) -> Result<Sought, Error> {
        let mut sought = Sought::Nowhere;
        for other in others {
            match self.page_from(&other, view, pgno).await? {
                Sought::Nowhere => {}
                Sought::Moved => sought = Sought::Moved,
                found => {
                    *self.fallback.lock() = Some(other);
                    return Ok(found);
                }
            }
        }
        Ok(sought)
    }

    /// Returns the page from another view, if that has the same version of it in a file that exists.
    async fn page_from(&self, other: &Arc<View>, view: &View, pgno: u32) -> Result<Sought, Error> {
        if !self.is_same_version(other, view, pgno) {
            return Ok(Sought::Nowhere);
        }
        match self.prefetch.page(other, pgno).await {
            Ok(page) => Ok(page.map_or(Sought::Nowhere, Sought::Found)),
            Err(FetchError::Moved) => Ok(Sought::Moved),
            Err(FetchError::Damaged(_) | FetchError::Spoiled(_)) => Ok(Sought::Nowhere),
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

    fn search_timed_out(&self, view: &View, pgno: u32) -> Error {
        let store = &self.files.store;
        let message = format!(
            "the file of page {pgno} at TXID {} is missing in {store}, and within {SEARCH_LIMIT:?} the store has not shown whether another \
             one has it",
            view.txid()
        );
        Error::new(ErrorKind::Unreachable, message).remedy("check the network, and run the transaction again")
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

/// Whether two views have a page in the same version of the same file.
fn is_in_same_file(one: &View, other: &View, pgno: u32) -> bool {
    one.file_of(pgno).zip(other.file_of(pgno)).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
}
