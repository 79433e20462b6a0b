//! Reads the pages of a view, even if their files have vanished or are damaged.

mod vanished;

use crate::error::Error;
use crate::lock::Mutex;
use crate::replica::cache::Page;
use crate::replica::fetch::FetchError;
use crate::replica::files::Files;
use crate::replica::follow::Follower;
use crate::replica::follow::head::Head;
use crate::replica::follow::health::Health;
use crate::replica::follow::history::Histories;
use crate::replica::follow::view_loader::ViewLoader;
use crate::replica::prefetch::SharedPrefetch;
use crate::replica::view::View;
use std::sync::Arc;
use std::time::Duration;
use vanished::Search;

/// Reads pages of views.
pub(in crate::replica) struct PageReader {
    files: Arc<Files>,
    prefetch: Arc<SharedPrefetch>,
    views: Arc<ViewLoader>,
    histories: Arc<Histories>,
    head: Arc<Head>,
    health: Arc<Health>,
    follower: Arc<Follower>,
    /// The view that last supplied a page whose own file has vanished.
    fallback: Mutex<Option<Arc<View>>>,
    /// Locked while the replica is listed for a page.
    last_search: tokio::sync::Mutex<Option<Search>>,
}

impl PageReader {
    pub(in crate::replica) fn new(
        files: Arc<Files>,
        prefetch: Arc<SharedPrefetch>,
        views: Arc<ViewLoader>,
        histories: Arc<Histories>,
        head: Arc<Head>,
        health: Arc<Health>,
        follower: Arc<Follower>,
    ) -> PageReader {
        let (fallback, last_search) = Default::default();
        PageReader { files, prefetch, views, histories, head, health, follower, fallback, last_search }
    }

    /// Returns a page of a view from the cache, or fetches it with its neighbours. Returns None if the view does not
    /// have it.
    pub(in crate::replica) async fn page(&self, view: &Arc<View>, pgno: u32) -> Result<Option<Page>, Error> {
        match self.prefetch.page(view, pgno).await {
            Ok(page) => Ok(page),
            Err(FetchError::Other(error)) => Err(error),
            Err(FetchError::Moved) => self.vanished_page(view, pgno).await.map(Some),
            Err(FetchError::Damaged(error)) => self.damaged_page(view, pgno, error).await.map(Some),
            Err(FetchError::Spoiled(error)) => {
                self.replace_spoiled(view, pgno).await;
                if self.head.view().is_some_and(|head| head.is_spoiled()) {
                    self.health.record_error(error.to_string());
                }
                Err(error)
            }
        }
    }

    /// Returns pages of a view, in the order of their numbers in `pages`; None for those that the view does not have.
    pub(in crate::replica) async fn pages(&self, view: &Arc<View>, pages: &[u32]) -> Result<Vec<Option<Page>>, Error> {
        // Cached pages are there at once. A job that reads only such pages must be able to be cancelled, and leave its thread to others.
        tokio::task::coop::consume_budget().await;
        self.prefetch.fetch_missing(view, pages).await;
        let mut found = Vec::with_capacity(pages.len());
        for pgno in pages {
            found.push(self.page(view, *pgno).await?);
        }
        Ok(found)
    }

    /// Replaces the newest view after wrong bytes of a file were read, so that the next transaction reads correct
    /// pages: from the same file, if its bytes are correct when it is read again, or from other files. The current
    /// transaction fails, because it may have read wrong rows.
    async fn replace_spoiled(&self, view: &View, pgno: u32) {
        let loader = &self.files.loader;
        let is_known = view
            .file_of(pgno)
            .is_some_and(|file| loader.checked.damage(file.level, file.name, &file.version).is_some());
        if is_known {
            return;
        }
        self.follower.set_outdated();
        if let Err(error) = self.follower.poll(Duration::ZERO).await {
            tracing::debug!("cannot replace the view whose file has wrong bytes: {error}");
        }
    }
}
