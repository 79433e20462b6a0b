//! Fetches the page that a reader waits for.

use crate::error::{Error, ErrorKind};
use crate::replica::cache::{Page, PageKey};
use crate::replica::dbformat::freelist::FreeList;
use crate::replica::fetch::decode::Receipt;
use crate::replica::fetch::in_flight::{Claimed, Fetched};
use crate::replica::fetch::run::{self, FetchRun, FrameRange};
use crate::replica::fetch::speculation::PendingPages;
use crate::replica::fetch::{FetchError, Fetcher, request};
use crate::replica::view::{Extent, View};
use std::sync::Arc;

/// The maximum number of requests for a page that a reader waits for, including those it shares with other readers.
const MAX_ATTEMPTS: u32 = 6;

impl Fetcher {
    /// Returns a page from the cache, or fetches it with its neighbours except those in `free`. Returns None if the view
    /// does not have the page.
    pub(in crate::replica) async fn page(
        self: &Arc<Self>,
        view: &View,
        pgno: u32,
        free: &FreeList,
    ) -> Result<Option<Page>, FetchError> {
        self.use_current_runtime();
        let Some(file) = view.file_of(pgno) else { return Ok(None) };
        if let Some(cause) = file.integrity.spoiled().filter(|_| file.body.is_none()) {
            return Err(request::spoiled(&*self.store, file, cause));
        }
        self.read_index_of(view, &[pgno]).await?;
        let unlocated = || FetchError::Other(Error::internal("the index says nothing about a page"));
        let extent = view.locate(pgno).ok_or_else(unlocated)?;
        if file.body.is_some() {
            return self.page_in_memory(view, pgno, &extent).map(Some);
        }
        let mut is_retry = false;
        for _ in 0..MAX_ATTEMPTS {
            let (request, is_own) = match self.claim(view, pgno, &extent, is_retry, free) {
                Claimed::Cached(page) => return Ok(Some(page)),
                Claimed::Own(request) => (request, true),
                Claimed::Joined(request) => (request, false),
            };
            match self.fetched_page(request.await, pgno) {
                // The transport may have corrupted the bytes, so a damaged page is requested a second time.
                Err(FetchError::Damaged(error)) if is_own && is_retry => {
                    extent.file.integrity.doubt();
                    return Err(FetchError::Damaged(error));
                }
                Err(FetchError::Damaged(_)) => is_retry = true,
                // Another reader's request may have been larger. One for this page may succeed.
                Err(FetchError::Other(_)) if !is_own => {}
                result => return result.map(Some),
            }
        }
        Err(FetchError::Other(Error::internal(&format!("a page was not received in {MAX_ATTEMPTS} attempts"))))
    }

    /// Finds a page in the result of a request.
    fn fetched_page(&self, result: Result<Arc<Fetched>, FetchError>, pgno: u32) -> Result<Page, FetchError> {
        let fetched = result?;
        match fetched.pages.iter().find(|fetched| fetched.pgno == pgno).map(|fetched| fetched.page.clone()) {
            Some(Ok(page)) => Ok(page),
            Some(Err(cause)) => Err(request::damaged(&*self.store, &fetched.run.file, cause)),
            None => self
                .cache
                .get(PageKey { file: fetched.run.file.number, pgno })
                .ok_or_else(|| FetchError::Other(Error::internal("a page left the cache before it was read"))),
        }
    }

    /// Returns the page if it is cached, else the request for it: the one in flight, or a new one.
    fn claim(
        self: &Arc<Self>,
        view: &View,
        pgno: u32,
        extent: &Extent<'_>,
        is_retry: bool,
        free: &FreeList,
    ) -> Claimed {
        let key = PageKey { file: extent.file.number, pgno };
        let mut in_flight = self.in_flight.lock();
        // Checked under the lock: a request fills the cache before its pages leave the table.
        if let Some(page) = self.cache.get(key) {
            return Claimed::Cached(page);
        }
        if let Some(request) = in_flight.get(&key) {
            return Claimed::Joined(request.clone());
        }
        let is_wanted =
            |key: PageKey| !self.cache.contains(key) && !in_flight.contains_key(&key) && !free.contains(key.pgno);
        let max_pages = usize::try_from(self.max_neighbours(view.page_size())).unwrap_or(usize::MAX);
        let limits = (self.pace.neighbour_bytes(), max_pages);
        let run = FetchRun { is_retry, ..run::around(view, pgno, extent, limits, is_wanted) };
        let pending = PendingPages::new(self, run.frames.len() - 1);
        Claimed::Own(self.send(run, pending, &mut in_flight))
    }

    /// Decodes a page of a file whose bytes are in memory or in the journal.
    fn page_in_memory(&self, view: &View, pgno: u32, extent: &Extent<'_>) -> Result<Page, FetchError> {
        let frame = FrameRange::of(pgno, extent);
        let run = FetchRun::new(view, extent.file, vec![frame]);
        let read = run.file.body.as_ref().map(|body| body.read(frame.offset..frame.end())).transpose();
        let bytes = read.map_err(|cause| FetchError::Other(unreadable(cause)))?.unwrap_or_default();
        // The whole file was verified, so another receipt would give the same page.
        let page = self.decode(&run.file, pgno, &bytes, 0, Receipt::Second).map(|(page, _)| page);
        let page = page.map_err(|cause| request::damaged(&*self.store, &run.file, cause))?;
        self.cache.insert(run.key(&frame), page.clone());
        Ok(page)
    }
}

/// Returns the error for a transaction in the journal that cannot be read.
fn unreadable(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Exhausted, format!("the journal of this process cannot be read: {cause}")).caused_by(cause)
}
