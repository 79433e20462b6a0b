//! Requests that have not finished, by the pages that they fetch.

use crate::replica::cache::{Page, PageKey};
use crate::replica::fetch::run::FetchRun;
use crate::replica::fetch::speculation::PendingPages;
use crate::replica::fetch::{FetchError, Fetcher};
use crate::{ltx, progress};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A request that has not finished. It runs to its end even if no reader waits for it, because others may have joined it.
pub(super) type InFlightRequest = Shared<BoxFuture<'static, Result<Arc<Fetched>, FetchError>>>;

/// The requests in flight, by page. All pages of one request share it.
pub(super) type InFlight = HashMap<PageKey, InFlightRequest>;

/// The result of a request: the page that a reader waits for, and the pages that could not be decoded. All other pages are
/// only in the cache, or were not fetched, because another process has fetched the page that the reader waits for.
pub(super) struct Fetched {
    pub run: FetchRun,
    pub pages: Vec<FetchedPage>,
}

/// A page of a response, or why it could not be decoded.
pub(super) struct FetchedPage {
    pub pgno: u32,
    pub page: Result<Page, ltx::LtxError>,
}

/// A cached page, or the request that fetches it.
pub(super) enum Claimed {
    Cached(Page),
    Own(InFlightRequest),
    Joined(InFlightRequest),
}

/// Removes the pages of a request from the table when it finishes or is dropped.
struct InFlightGuard {
    fetcher: Arc<Fetcher>,
    keys: Vec<PageKey>,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let mut in_flight = self.fetcher.in_flight.lock();
        let removed: Vec<Option<InFlightRequest>> = self.keys.iter().map(|key| in_flight.remove(key)).collect();
        drop(in_flight);
        // Dropping the last handle of a request also drops its pages, which should not happen under the lock.
        drop(removed);
    }
}

impl Fetcher {
    /// Sends a request for a run whose pages are neither cached nor in flight, unless another process fetches them.
    pub(super) fn send(
        self: &Arc<Self>,
        mut run: FetchRun,
        pending: PendingPages,
        in_flight: &mut InFlight,
    ) -> InFlightRequest {
        let keys: Vec<PageKey> = run.frames.iter().map(|frame| run.key(frame)).collect();
        let (fetcher, guard) = (self.clone(), InFlightGuard { fetcher: self.clone(), keys: keys.clone() });
        let request = async move {
            let (_guard, _pending) = (guard, pending);
            let found = fetcher.wait_for_others(&mut run).await;
            if !found.is_empty() || run.frames.is_empty() {
                return Ok(Arc::new(Fetched { run, pages: found }));
            }
            let _permit = fetcher.permits.acquire().await;
            let mut announcement = fetcher.announce(&run);
            let on_demand = run.frames.iter().filter(|frame| frame.on_demand).map(|frame| u64::from(frame.size));
            fetcher.speculative_bytes.fetch_add(run.len() - on_demand.sum::<u64>(), Ordering::Relaxed);
            let bytes = Fetcher::announced(&mut announcement, fetcher.request(&run.file, run.range())).await?;
            let (mut pages, mut sums) = (Vec::new(), Vec::with_capacity(run.frames.len()));
            for frame in &run.frames {
                pages.extend(fetcher.cache_frame(&run, frame, &bytes, &mut sums));
            }
            fetcher.add_sums(&run.file, &sums)?;
            Ok(Arc::new(Fetched { run, pages }))
        };
        let request = progress::part_of_current(request).boxed().shared();
        in_flight.extend(keys.into_iter().map(|key| (key, request.clone())));
        if let Some(runtime) = self.runtime.get() {
            runtime.spawn(request.clone().map(drop));
        }
        request
    }
}
