//! What all readers of a replica share for prefetching.

use crate::lock::{Mutex, RwLock};
use crate::replica::cache::{Page, PageKey};
use crate::replica::dbformat::freelist::FreeList;
use crate::replica::fetch::{FetchError, Fetcher};
use crate::replica::prefetch::wait_costs::WaitCosts;
use crate::replica::view::View;
use std::sync::Arc;

/// The part of prefetching that is shared by all readers of a replica.
pub(in crate::replica) struct SharedPrefetch {
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) wait_costs: Mutex<WaitCosts>,
    free_list: RwLock<Arc<FreeList>>,
}

impl SharedPrefetch {
    pub(in crate::replica) fn new(fetcher: Arc<Fetcher>) -> SharedPrefetch {
        SharedPrefetch { fetcher, wait_costs: Mutex::default(), free_list: RwLock::default() }
    }

    /// Returns a page from the cache, or fetches it with its neighbours. Returns None if the view does not have the page.
    pub(in crate::replica) async fn page(&self, view: &View, pgno: u32) -> Result<Option<Page>, FetchError> {
        self.fetcher.page(view, pgno, &self.free_list()).await
    }

    /// Fetches the pages that are not in the cache, and waits until all requests have finished.
    pub(in crate::replica) async fn fetch_missing(&self, view: &View, pages: &[u32]) {
        self.fetcher.fetch_missing(view, pages, &self.free_list()).await;
    }

    /// Returns the free pages of the database, as far as they are known. They are never fetched along with other pages.
    pub(super) fn free_list(&self) -> Arc<FreeList> {
        self.free_list.read().clone()
    }

    /// Reads the free list of a view whose page 1 is in the cache, unless it is known already.
    pub(super) async fn load_free_list(self: Arc<Self>, view: Arc<View>) {
        let Some(file) = view.file_of(1) else { return };
        let key = PageKey { file: file.number, pgno: 1 };
        let Some(page_1) = self.fetcher.peek(&view, 1) else { return };
        if self.free_list.read().is_of(key) {
            return;
        }
        let mut list = FreeList::begin(key, &page_1, view.commit());
        while let Some(trunk) = list.next_trunk() {
            self.fetch_missing(&view, &[trunk]).await;
            let Some(page) = self.fetcher.peek(&view, trunk) else { break };
            list.take(&page);
        }
        *self.free_list.write() = Arc::new(list);
    }
}
