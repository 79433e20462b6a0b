//! Requests under way, by the pages that they bring.

use crate::ltx;
use crate::replica::cache::{Page, PageKey};
use crate::replica::fetch::run::Run;
use crate::replica::fetch::{FetchError, Fetcher};
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::sync::Arc;

/// A request under way. It goes on whether or not anybody waits for it: others may have joined.
pub(super) type Flight = Shared<BoxFuture<'static, Result<Arc<Landing>, FetchError>>>;

/// By page; the pages that one request brings share it.
pub(super) type Flights = HashMap<PageKey, Flight>;

/// What a request brought: the pages that somebody asked for, and those that could not be read. The others are in the
/// cache.
pub(super) struct Landing {
    pub run: Run,
    pub pages: Vec<Landed>,
}

/// A page that a request brought, or why it could not be read.
pub(super) struct Landed {
    pub pgno: u32,
    pub page: Result<Page, ltx::Error>,
}

/// A page that is fetched already, or the request that brings it.
pub(super) enum Boarding {
    Here(Page),
    Own(Flight),
    Joined(Flight),
}

/// Takes a flight's pages out of the table when it ends, however it does.
pub(super) struct Descent {
    pub fetcher: Arc<Fetcher>,
    pub keys: Vec<PageKey>,
}

impl Drop for Descent {
    fn drop(&mut self) {
        let mut flights = self.fetcher.flights.lock();
        let gone: Vec<Option<Flight>> = self.keys.iter().map(|key| flights.remove(key)).collect();
        drop(flights);
        // The last handle of a flight takes its pages along, which no lock should wait for.
        drop(gone);
    }
}
