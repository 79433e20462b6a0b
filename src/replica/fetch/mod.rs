//! Fetches pages into the cache.
//!
//! One request reads a page and its neighbours in the file. Readers that need the same page at the same time share one
//! request. A page that a reader waits for is requested at once, unless another process fetches it; speculative requests
//! wait for one of fewer permits.
//!
//! | module | contents |
//! |---|---|
//! | `page` | the page that a reader waits for |
//! | `speculation` | pages that may be read soon |
//! | `run` | which bytes one request reads |
//! | `index` | the parts of an index that say where pages are |
//! | `in_flight` | requests that have not finished |
//! | `shared` | waits for what other processes of the machine fetch |
//! | `outage` | remembers failures, so that an outage costs few requests |
//! | `request` | one request to the store, and its hedge |
//! | `decode` | from the bytes of a response to pages in the cache |
//! | `carry` | keeps cached pages when other files replace theirs |
//! | `hydrate` | fetches pages into the cache directory only |
//! | `pace` | the measured latency and bandwidth of the store |

mod carry;
mod decode;
mod hydrate;
mod in_flight;
mod index;
mod outage;
mod pace;
mod page;
mod request;
mod run;
mod shared;
mod speculation;

pub use speculation::Speculation;
pub(super) use speculation::SpeculationToken;

use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::cache::{CacheLimits, Page, PageCache, PageKey};
use crate::replica::files::load_error::LoadError;
use crate::replica::view::View;
use crate::store::Store;
use in_flight::InFlight;
use index::IndexRequests;
use outage::Outage;
use pace::Pace;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// The maximum number of requests for pages that are in flight at once. More would slow each of them down.
const MAX_REQUESTS: usize = 16;

/// The maximum number of speculative requests among them.
const MAX_SPECULATIVE_REQUESTS: usize = 12;

/// Fetches the pages of one store.
pub(super) struct Fetcher {
    store: Arc<dyn Store>,
    cache: PageCache,
    in_flight: Mutex<InFlight>,
    index_requests: Mutex<IndexRequests>,
    permits: Semaphore,
    speculative_permits: Semaphore,
    pace: Pace,
    outage: Outage,
    /// Bytes that were fetched speculatively, and those of them that were read.
    speculative_bytes: AtomicU64,
    used_bytes: AtomicU64,
    /// The number of pages that were requested speculatively and have not been received.
    pending_pages: AtomicU64,
    /// Runs the speculative requests that threads of the host make. Unset until [`Fetcher::use_current_runtime`].
    runtime: OnceLock<Handle>,
}

/// Why a page could not be fetched.
#[derive(Clone, Debug)]
pub(super) enum FetchError {
    /// Its file no longer exists. Another file may contain the page.
    Moved,
    /// It cannot be decoded, also after a second request. Another file may contain the page.
    Damaged(Error),
    /// The checksum of its file does not match the pages that were read, so that none of them can be trusted.
    Spoiled(Error),
    /// Anything else.
    Other(Error),
}

impl From<LoadError> for FetchError {
    fn from(error: LoadError) -> FetchError {
        match error {
            LoadError::Moved => FetchError::Moved,
            LoadError::Other(cause) if cause.kind() == ErrorKind::Damaged => FetchError::Damaged(cause),
            LoadError::Other(cause) => FetchError::Other(cause),
        }
    }
}

impl Fetcher {
    pub(super) fn new(store: Arc<dyn Store>, cache: CacheLimits, directory: Option<Arc<CacheDirectory>>) -> Fetcher {
        Fetcher {
            store,
            cache: PageCache::new(cache, directory),
            in_flight: Mutex::default(),
            index_requests: Mutex::default(),
            permits: Semaphore::new(MAX_REQUESTS),
            speculative_permits: Semaphore::new(MAX_SPECULATIVE_REQUESTS),
            pace: Pace::new(),
            outage: Outage::default(),
            speculative_bytes: AtomicU64::new(0),
            used_bytes: AtomicU64::new(0),
            pending_pages: AtomicU64::new(0),
            runtime: OnceLock::new(),
        }
    }

    pub(super) fn cache(&self) -> &PageCache {
        &self.cache
    }

    /// Returns how many bytes the store transfers during one round trip.
    pub(super) fn round_trip_bytes(&self) -> u64 {
        self.pace.round_trip_bytes()
    }

    /// Returns the maximum number of bytes that are fetched together with a page that a reader waits for.
    pub(super) fn neighbour_bytes(&self, page_size: u32) -> u64 {
        self.pace.neighbour_bytes().min(self.max_neighbours(page_size) * u64::from(page_size))
    }

    /// Returns a page from the cache. Does no I/O except to the cache's own file.
    #[inline]
    pub(super) fn cached(&self, view: &View, pgno: u32) -> Option<Page> {
        self.cache.get(key(view, pgno)?)
    }

    /// As [`Fetcher::cached`], but does not count as a use.
    pub(super) fn peek(&self, view: &View, pgno: u32) -> Option<Page> {
        self.cache.peek(key(view, pgno)?)
    }

    /// Returns true if the view has the page and reading it takes a request.
    pub(super) fn is_missing(&self, view: &View, pgno: u32) -> bool {
        view.file_of(pgno)
            .is_some_and(|file| file.body.is_none() && !self.cache.contains(PageKey { file: file.number, pgno }))
    }

    /// Returns true if a request for the page is in flight, or one for the index that may say where it is.
    pub(super) fn is_in_flight(&self, view: &View, pgno: u32) -> bool {
        key(view, pgno).is_some_and(|key| self.in_flight.lock().contains_key(&key))
            || view.is_unlocated(pgno) && !self.index_requests.lock().is_empty()
    }

    /// Returns the number of pages in flight.
    #[cfg(test)]
    pub(super) fn pages_in_flight(&self) -> usize {
        self.in_flight.lock().len()
    }

    /// Has the requests that threads of the host make run where this is called: in a task of this library. A thread of the host must not call
    /// it, because it may be one of another runtime.
    pub(in crate::replica) fn use_current_runtime(&self) {
        self.runtime.get_or_init(Handle::current);
    }

    /// Starts a task whose result several readers use.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = self.runtime.get() {
            runtime.spawn(task);
        }
    }
}

fn key(view: &View, pgno: u32) -> Option<PageKey> {
    Some(PageKey { file: view.file_of(pgno)?.number, pgno })
}
