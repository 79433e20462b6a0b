//! Bringing pages into the cache: one request for neighbours, one request for all who ask at once.
//!
//! What a reader waits for is asked for at once, with its neighbours; what it may want soon comes in `guesses`.

mod arrivals;
mod in_flight;
mod pace;
mod request;
mod run;
mod speculation;

use speculation::Coming;
pub use speculation::Speculation;
pub(super) use speculation::SpeculationToken;

use crate::error::Error;
use crate::lock::{Mutex, RwLock};
use crate::progress;
use crate::replica::cache::{CacheLimits, Page, PageCache, PageKey};
use crate::replica::dbformat::freelist::FreeList;
use crate::replica::prefetch::waits::WaitCosts;
use crate::replica::view::{Extent, View};
use crate::store::Store;
use futures_util::FutureExt;
use in_flight::{Claimed, Fetched, InFlight, InFlightGuard, InFlightRequest};
use pace::Pace;
use run::{FetchRun, FrameRange};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Requests for pages in flight at once; a store that is asked for more slows each of them down.
const IN_FLIGHT: usize = 16;

/// How many of them may be for guesses.
const GUESSES_IN_FLIGHT: usize = 12;

/// Requests for a page that a reader waits for, those that it shares with others included.
const TRIES: u32 = 6;

/// Fetches pages of one store.
pub(super) struct Fetcher {
    store: Arc<dyn Store>,
    cache: PageCache,
    flights: Mutex<InFlight>,
    permits: Semaphore,
    guesses: Semaphore,
    pace: Pace,
    /// The pages that are free, as far as that is known.
    free: RwLock<FreeList>,
    /// What waiting has cost so far, by table and index.
    pub(super) rents: Mutex<WaitCosts>,
    guessed: AtomicU64,
    used: AtomicU64,
    /// Pages that are coming as guesses.
    coming: AtomicU64,
    /// Runs guesses that threads of the host make. There is none before somebody has waited for a page.
    runtime: OnceLock<Handle>,
}

/// Why a page could not be had.
#[derive(Clone, Debug)]
pub(super) enum FetchError {
    /// The file that held it is gone; another may hold it.
    Moved,
    /// It cannot be decoded, and did not come better when it was asked for again; another file may hold it.
    Damaged(Error),
    /// Pages of its file came with wrong bytes, so that none of it is to be believed.
    Spoiled(Error),
    /// Anything else.
    Other(Error),
}

impl Fetcher {
    pub(super) fn new(store: Arc<dyn Store>, cache: CacheLimits) -> Fetcher {
        Fetcher {
            store,
            cache: PageCache::new(cache),
            flights: Mutex::default(),
            permits: Semaphore::new(IN_FLIGHT),
            guesses: Semaphore::new(GUESSES_IN_FLIGHT),
            pace: Pace::new(),
            free: RwLock::default(),
            rents: Mutex::default(),
            guessed: AtomicU64::new(0),
            used: AtomicU64::new(0),
            coming: AtomicU64::new(0),
            runtime: OnceLock::new(),
        }
    }

    pub(super) fn cache(&self) -> &PageCache {
        &self.cache
    }

    /// What a round trip is worth, in bytes.
    pub(super) fn round_trip(&self) -> u64 {
        self.pace.round_trip()
    }

    /// How many bytes are fetched around a page that is asked for, at the most.
    pub(super) fn reach(&self, page_size: u32) -> u64 {
        self.pace.reach().min(self.neighbours(page_size) * u64::from(page_size))
    }

    /// The page from the cache, without I/O.
    #[inline]
    pub(super) fn cached(&self, view: &View, pgno: u32) -> Option<Page> {
        self.cache.get(key(view, pgno)?)
    }

    /// As [`Fetcher::cached`], without counting as a use.
    pub(super) fn peek(&self, view: &View, pgno: u32) -> Option<Page> {
        self.cache.peek(key(view, pgno)?)
    }

    /// Whether the view has the page, and it takes a request to have it here.
    pub(super) fn is_missing(&self, view: &View, pgno: u32) -> bool {
        view.locate(pgno).is_some_and(|extent| {
            extent.file.body.is_none() && !self.cache.contains(PageKey { file: extent.file.number, pgno })
        })
    }

    /// Whether the page is known to hold nothing.
    pub(super) fn is_free(&self, pgno: u32) -> bool {
        self.free.read().contains(pgno)
    }

    /// Whether a request for the page is under way.
    pub(super) fn is_coming(&self, view: &View, pgno: u32) -> bool {
        key(view, pgno).is_some_and(|key| self.flights.lock().contains_key(&key))
    }

    /// How many pages are on their way.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.flights.lock().len()
    }

    /// The page, fetched with its neighbours if it is not in the cache. None for a page the view does not have.
    pub(super) async fn page(self: &Arc<Self>, view: &View, pgno: u32) -> Result<Option<Page>, FetchError> {
        self.runtime.get_or_init(Handle::current);
        let Some(extent) = view.locate(pgno) else { return Ok(None) };
        if extent.file.body.is_some() {
            return self.kept_page(view, pgno, &extent).map(Some);
        }
        if let Some(cause) = extent.file.integrity.spoiled() {
            return Err(request::spoiled(&*self.store, extent.file, cause));
        }
        let mut is_again = false;
        for _ in 0..TRIES {
            let (flight, is_own) = match self.board(view, pgno, &extent, is_again) {
                Claimed::Here(page) => return Ok(Some(page)),
                Claimed::Own(flight) => (flight, true),
                Claimed::Joined(flight) => (flight, false),
            };
            match self.landed(flight.await, pgno) {
                // A byte can go wrong on the way.
                Err(FetchError::Damaged(error)) if is_own && is_again => {
                    extent.file.integrity.doubt();
                    return Err(FetchError::Damaged(error));
                }
                Err(FetchError::Damaged(_)) => is_again = true,
                // What went wrong with a larger request may not go wrong with one for this page.
                Err(FetchError::Other(_)) if !is_own => {}
                landed => return landed.map(Some),
            }
        }
        Err(FetchError::Other(Error::internal("a page was asked for again and again")))
    }

    fn landed(&self, landing: Result<Arc<Fetched>, FetchError>, pgno: u32) -> Result<Page, FetchError> {
        let landing = landing?;
        match landing.pages.iter().find(|landed| landed.pgno == pgno).map(|landed| landed.page.clone()) {
            Some(Ok(page)) => Ok(page),
            Some(Err(cause)) => Err(request::damaged(&*self.store, &landing.run, cause)),
            None => self
                .cache
                .get(PageKey { file: landing.run.file.number, pgno })
                .ok_or_else(|| FetchError::Other(Error::internal("a page did not stay until it was read"))),
        }
    }

    fn board(self: &Arc<Self>, view: &View, pgno: u32, extent: &Extent<'_>, is_again: bool) -> Claimed {
        let key = PageKey { file: extent.file.number, pgno };
        let mut flights = self.flights.lock();
        // Under the lock: a flight fills the cache before it leaves the table.
        if let Some(page) = self.cache.get(key) {
            return Claimed::Here(page);
        }
        if let Some(flight) = flights.get(&key) {
            return Claimed::Joined(flight.clone());
        }
        let free = self.free.read();
        let wanted =
            |key: PageKey| !self.cache.contains(key) && !flights.contains_key(&key) && !free.contains(key.pgno);
        let most = usize::try_from(self.neighbours(view.page_size())).unwrap_or(usize::MAX);
        let run = FetchRun { is_again, ..run::around(view, pgno, extent, (self.pace.reach(), most), wanted) };
        let coming = Coming::new(self, run.frames.len() - 1);
        Claimed::Own(self.launch(run, coming, &mut flights))
    }

    /// A page of a file that is kept in memory.
    fn kept_page(&self, view: &View, pgno: u32, extent: &Extent<'_>) -> Result<Page, FetchError> {
        let frame = FrameRange::of(pgno, extent);
        let run = FetchRun::new(view, extent.file, vec![frame]);
        let bytes = run.file.body.as_deref().and_then(|body| body.get(frame.offset as usize..frame.end() as usize));
        let page = self.decode(bytes.unwrap_or_default(), pgno, run.page_size, 0).map(|(page, _)| page);
        let page = page.map_err(|cause| request::damaged(&*self.store, &run, cause))?;
        self.cache.insert(run.key(&frame), page.clone());
        Ok(page)
    }

    /// Sends a request for a run whose pages are neither here nor under way.
    fn launch(self: &Arc<Self>, run: FetchRun, coming: Coming, flights: &mut InFlight) -> InFlightRequest {
        let keys: Vec<PageKey> = run.frames.iter().map(|frame| run.key(frame)).collect();
        let asked: u64 = run.frames.iter().filter(|frame| frame.asked).map(|frame| u64::from(frame.size)).sum();
        self.guessed.fetch_add(run.len() - asked, Ordering::Relaxed);
        let (fetcher, landing) = (self.clone(), InFlightGuard { fetcher: self.clone(), keys: keys.clone() });
        let flight = async move {
            let (_landing, _coming) = (landing, coming);
            let _permit = fetcher.permits.acquire().await;
            let bytes = request::fetch(&*fetcher.store, &fetcher.pace, &run).await?;
            let (mut pages, mut sums) = (Vec::new(), Vec::with_capacity(run.frames.len()));
            for frame in &run.frames {
                pages.extend(fetcher.take_in(&run, frame, &bytes, &mut sums));
            }
            fetcher.judge(&run.file, &sums)?;
            Ok(Arc::new(Fetched { run, pages }))
        };
        let flight = progress::part_of_current(flight).boxed().shared();
        flights.extend(keys.into_iter().map(|key| (key, flight.clone())));
        if let Some(runtime) = self.runtime.get() {
            runtime.spawn(flight.clone().map(drop));
        }
        flight
    }

    /// Learns which pages are free, if the list of them changed.
    pub(super) async fn learn_free(self: Arc<Self>, view: Arc<View>) {
        let Some(page_1) = view.locate(1).and_then(|extent| {
            let key = PageKey { file: extent.file.number, pgno: 1 };
            Some((key, self.cache.peek(key)?))
        }) else {
            return;
        };
        if self.free.read().is_of(page_1.0) {
            return;
        }
        let mut list = FreeList::begin(page_1.0, &page_1.1, view.commit());
        while let Some(trunk) = list.next_trunk() {
            self.bring(&view, &[trunk]).await;
            let Some(page) = self.peek(&view, trunk) else { break };
            list.take(&page);
        }
        *self.free.write() = list;
    }

    /// Starts a task that works for several readers.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = self.runtime.get() {
            runtime.spawn(task);
        }
    }
}

fn key(view: &View, pgno: u32) -> Option<PageKey> {
    Some(PageKey { file: view.locate(pgno)?.file.number, pgno })
}
