//! Bringing pages into the cache: one request for neighbours, one request for all who ask at once.
//!
//! What a reader waits for is asked for at once, with its neighbours. What it may want soon ([`Fetcher::guess`]) waits for one
//! of fewer places, so that guesses never stand in the way; until it has one nobody joins it, and it is dropped if
//! whoever guessed has thought better of it. Guesses are counted in bytes of files: those that were fetched, and
//! those of them that were read.

mod pace;
mod request;
mod run;

use super::cache::{Bounds, Page, PageCache, PageKey};
use super::freelist::FreeList;
use super::reading::Reading;
use super::rent::Rents;
use super::view::{Extent, View};
use crate::error::Error;
use crate::lock::{Mutex, RwLock};
use crate::ltx;
use crate::store::Store;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, join_all};
use pace::Pace;
use run::{Frame, Run};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Requests for pages in flight at once; a store that is asked for more slows each of them down.
const IN_FLIGHT: usize = 16;

/// How many of them may be for guesses.
const GUESSES_IN_FLIGHT: usize = 12;

/// Fetches pages of one store.
pub(super) struct Fetcher {
    store: Arc<dyn Store>,
    cache: PageCache,
    flights: Mutex<Flights>,
    permits: Semaphore,
    guesses: Semaphore,
    pace: Pace,
    /// The pages that are free, as far as that is known.
    free: RwLock<FreeList>,
    /// What waiting has cost so far, by table and index.
    pub(super) rents: Mutex<Rents>,
    guessed: AtomicU64,
    used: AtomicU64,
    /// Runs guesses that threads of the host make. There is none before somebody has waited for a page.
    runtime: OnceLock<Handle>,
}

/// A request under way. It goes on whether or not anybody waits for it: others may have joined.
type Flight = Shared<BoxFuture<'static, Result<Arc<Landing>, FetchError>>>;

/// By page; the pages that one request brings share it.
type Flights = HashMap<PageKey, Flight>;

/// What a request brought: the pages that somebody asked for, and those that could not be read. The others are in the
/// cache.
struct Landing {
    run: Run,
    pages: Vec<Landed>,
}

/// A page that a request brought, or why it could not be read.
struct Landed {
    pgno: u32,
    page: Result<Page, ltx::Error>,
}

/// Why a page could not be had.
#[derive(Clone, Debug)]
pub(super) enum FetchError {
    /// The file that held it is gone; another may hold it.
    Moved,
    /// Anything else.
    Other(Error),
}

/// Bytes of files that were fetched before anybody asked for them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Guesses {
    /// All of them.
    pub fetched: u64,
    /// Those whose pages were read since.
    pub used: u64,
}

/// A page that is fetched already, or the request that brings it.
enum Boarding {
    Here(Page),
    Own(Flight),
    Joined(Flight),
}

/// Whoever guesses holds one, and lets go of it when the guess is worth nothing any more.
pub(super) type Wish = Arc<()>;

impl Fetcher {
    pub(super) fn new(store: Arc<dyn Store>, cache: Bounds) -> Fetcher {
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

    /// How many bytes are fetched around a page that is asked for.
    pub(super) fn reach(&self) -> u64 {
        self.pace.reach()
    }

    /// What was fetched as a guess, and what of it was read.
    pub(super) fn guesses(&self) -> Guesses {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Guesses { fetched: load(&self.guessed), used: load(&self.used) }
    }

    /// A guess of so many bytes was read.
    pub(super) fn count_used(&self, bytes: u32) {
        self.used.fetch_add(bytes.into(), Ordering::Relaxed);
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

    /// Whether guesses wait for others.
    pub(super) fn is_busy(&self) -> bool {
        self.guesses.available_permits() == 0
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
        let own = match self.board(view, pgno, &extent) {
            Boarding::Here(page) => return Ok(Some(page)),
            Boarding::Own(flight) => flight,
            Boarding::Joined(flight) => match self.landed(flight.await, pgno) {
                // What went wrong with a larger request may not go wrong with one for this page.
                Err(FetchError::Other(_)) => match self.board(view, pgno, &extent) {
                    Boarding::Here(page) => return Ok(Some(page)),
                    Boarding::Own(flight) | Boarding::Joined(flight) => flight,
                },
                landed => return landed.map(Some),
            },
        };
        self.landed(own.await, pgno).map(Some)
    }

    fn landed(&self, landing: Result<Arc<Landing>, FetchError>, pgno: u32) -> Result<Page, FetchError> {
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

    fn board(self: &Arc<Self>, view: &View, pgno: u32, extent: &Extent<'_>) -> Boarding {
        let key = PageKey { file: extent.file.number, pgno };
        let mut flights = self.flights.lock();
        // Under the lock: a flight fills the cache before it leaves the table.
        if let Some(page) = self.cache.get(key) {
            return Boarding::Here(page);
        }
        if let Some(flight) = flights.get(&key) {
            return Boarding::Joined(flight.clone());
        }
        let free = self.free.read();
        let wanted =
            |key: PageKey| !self.cache.contains(key) && !flights.contains_key(&key) && !free.contains(key.pgno);
        let run = run::around(view, pgno, extent, self.pace.reach(), wanted);
        Boarding::Own(self.launch(run, &mut flights))
    }

    /// A page of a file that is kept in memory.
    fn kept_page(&self, view: &View, pgno: u32, extent: &Extent<'_>) -> Result<Page, FetchError> {
        let frame = Frame::of(pgno, extent);
        let run = Run { file: extent.file.clone(), page_size: view.page_size(), frames: vec![frame] };
        let bytes = run.file.body.as_deref().and_then(|body| body.get(frame.offset as usize..frame.end() as usize));
        let page = self.decode(bytes.unwrap_or_default(), pgno, run.page_size, 0);
        let page = page.map_err(|cause| request::damaged(&*self.store, &run, cause))?;
        self.cache.insert(run.key(&frame), page.clone());
        Ok(page)
    }

    /// Sends a request for a run whose pages are neither here nor under way.
    fn launch(self: &Arc<Self>, run: Run, flights: &mut Flights) -> Flight {
        let keys: Vec<PageKey> = run.frames.iter().map(|frame| run.key(frame)).collect();
        let asked: u64 = run.frames.iter().filter(|frame| frame.asked).map(|frame| u64::from(frame.size)).sum();
        self.guessed.fetch_add(run.len() - asked, Ordering::Relaxed);
        let (fetcher, landing) = (self.clone(), Descent { fetcher: self.clone(), keys: keys.clone() });
        let flight = async move {
            let _landing = landing;
            let _permit = fetcher.permits.acquire().await;
            let bytes = request::fetch(&*fetcher.store, &fetcher.pace, &run).await?;
            let pages = run.frames.iter().filter_map(|frame| fetcher.take_in(&run, frame, &bytes)).collect();
            Ok(Arc::new(Landing { run, pages }))
        };
        let flight = flight.boxed().shared();
        flights.extend(keys.into_iter().map(|key| (key, flight.clone())));
        if let Some(runtime) = self.runtime.get() {
            runtime.spawn(flight.clone().map(drop));
        }
        flight
    }

    /// Puts a page that came into the cache. Answers what somebody has to be told: the page itself if it was asked for, since
    /// a cache may not keep it, or what is wrong with it, which takes none of its neighbours along.
    fn take_in(&self, run: &Run, frame: &Frame, bytes: &[u8]) -> Option<Landed> {
        let range = (frame.offset - run.start()) as usize..(frame.end() - run.start()) as usize;
        let guess = if frame.asked { 0 } else { frame.size };
        let page = self.decode(bytes.get(range).unwrap_or_default(), frame.pgno, run.page_size, guess);
        if let Ok(page) = &page {
            self.cache.insert(run.key(frame), page.clone());
        }
        (frame.asked || page.is_err()).then_some(Landed { pgno: frame.pgno, page })
    }

    fn decode(&self, frame: &[u8], pgno: u32, page_size: u32, guess: u32) -> Result<Page, ltx::Error> {
        self.cache.page(page_size, guess, |buffer| ltx::decode_page(frame, pgno, buffer))
    }

    /// Fetches pages that somebody may want soon, in about this order, while `wish` is held. Does not wait.
    pub(super) fn guess(self: &Arc<Self>, view: &View, pages: &[u32], wish: &Wish) {
        let Some(runtime) = self.runtime.get() else { return };
        for run in self.gather(view, pages) {
            runtime.spawn(self.clone().fly(run, Arc::downgrade(wish)));
        }
    }

    /// Fetches pages as [`Fetcher::guess`] does, and waits until they are here or cannot be had.
    pub(super) async fn bring(self: &Arc<Self>, view: &View, pages: &[u32]) {
        let wish = Wish::default();
        let missing: Vec<u32> = pages.iter().copied().filter(|pgno| self.is_missing(view, *pgno)).collect();
        let runs = self.gather(view, &missing);
        join_all(runs.into_iter().map(|run| self.clone().fly(run, Arc::downgrade(&wish)))).await;
    }

    /// The bytes of the requests that bring pages.
    pub(super) fn cost(&self, view: &View, pages: &[u32]) -> u64 {
        run::total(&self.gather(view, pages))
    }

    fn gather(&self, view: &View, pages: &[u32]) -> Vec<Run> {
        let database = u64::from(view.commit()) * u64::from(view.page_size());
        // What comes along is kept in memory if it pushes nothing out, or little.
        let holds_all = database <= self.cache.capacity();
        let (mut gap, piece) = (self.pace.gap(), self.pace.piece());
        let most = if holds_all { self.pace.round_trip() / 3 } else { self.pace.reach() };
        let mut runs = run::gather(view, pages, gap, piece);
        // Requests that have to wait for each other cost more than what lies between them.
        while runs.len() > GUESSES_IN_FLIGHT && gap < most && run::total(&runs) / runs.len() as u64 <= piece / 2 {
            gap *= 2;
            runs = run::gather(view, pages, gap, piece);
        }
        if holds_all || run::total(&runs) <= self.cache.capacity() / 32 {
            let wanted = |key: PageKey| !self.is_free(key.pgno) && !self.cache.contains(key);
            runs.iter_mut().for_each(|run| run::fill(run, view, wanted));
        }
        runs
    }

    async fn fly(self: Arc<Self>, mut run: Run, wish: Weak<()>) {
        let _permit = self.guesses.acquire().await;
        if wish.strong_count() == 0 {
            return;
        }
        let (file, mut coming) = (run.file.number, Vec::new());
        let own = {
            let mut flights = self.flights.lock();
            run.frames.retain(|frame| {
                let key = PageKey { file, pgno: frame.pgno };
                let flight = flights.get(&key);
                coming.extend(flight.cloned());
                flight.is_none() && !self.cache.contains(key)
            });
            if run.frames.is_empty() { None } else { Some(self.launch(run, &mut flights)) }
        };
        // Whoever waits for a guess can do without it.
        join_all(own.into_iter().chain(coming)).await;
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

    /// Takes the pages of a view that came along with a file's index into the cache.
    pub(super) fn admit(&self, view: &View, reading: &Reading) {
        if let Ok(runtime) = Handle::try_current() {
            self.runtime.get_or_init(|| runtime);
        }
        let page_size = view.page_size();
        for (pgno, frame) in reading.frames() {
            let Some(key) = key(view, pgno).filter(|key| key.file == reading.file.number) else { continue };
            if !self.cache.contains(key)
                && let Ok(page) = self.decode(frame, pgno, page_size, frame.len() as u32)
            {
                self.guessed.fetch_add(frame.len() as u64, Ordering::Relaxed);
                self.cache.insert(key, page);
            }
        }
    }
}

/// Takes a flight's pages out of the table when it ends, however it does.
struct Descent {
    fetcher: Arc<Fetcher>,
    keys: Vec<PageKey>,
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

fn key(view: &View, pgno: u32) -> Option<PageKey> {
    Some(PageKey { file: view.locate(pgno)?.file.number, pgno })
}
