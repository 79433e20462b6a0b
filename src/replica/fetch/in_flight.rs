//! Requests under way, by the pages that they bring.

use crate::ltx;
use crate::replica::cache::{Page, PageKey};
use crate::replica::fetch::run::FetchRun;
use crate::replica::fetch::{FetchError, Fetcher};
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::sync::Arc;

/// A request under way. It goes on whether or not anybody waits for it: others may have joined.
pub(super) type InFlightRequest = Shared<BoxFuture<'static, Result<Arc<Fetched>, FetchError>>>;

/// By page; the pages that one request brings share it.
pub(super) type InFlight = HashMap<PageKey, InFlightRequest>;

/// What a request brought: the pages that somebody asked for, and those that could not be read. The others are in the
/// cache.
pub(super) struct Fetched {
    pub run: FetchRun,
    pub pages: Vec<FetchedPage>,
}

/// A page that a request brought, or why it could not be read.
pub(super) struct FetchedPage {
    pub pgno: u32,
    pub page: Result<Page, ltx::LtxError>,
}

/// A page that is fetched already, or the request that brings it.
pub(super) enum Claimed {
    Here(Page),
    Own(InFlightRequest),
    Joined(InFlightRequest),
}

/// Takes a flight's pages out of the table when it ends, however it does.
pub(super) struct InFlightGuard {
    pub fetcher: Arc<Fetcher>,
    pub keys: Vec<PageKey>,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let mut flights = self.fetcher.flights.lock();
        let gone: Vec<Option<InFlightRequest>> = self.keys.iter().map(|key| flights.remove(key)).collect();
        drop(flights);
        // The last handle of a flight takes its pages along, which no lock should wait for.
        drop(gone);
    }
}
