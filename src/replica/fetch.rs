//! Bringing pages into the cache: one request for neighbours, one request for all who ask at once.

use super::cache::{Page, PageCache, PageKey};
use super::library::{LoadError, LtxFile, Reading, place};
use super::view::{Extent, View};
use crate::error::Error;
use crate::lock::Mutex;
use crate::ltx;
use crate::store::Store;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How many bytes of a file are fetched around a page that is asked for, before it and from it on.
const BEFORE: u64 = 16 << 10;
const ONWARDS: u64 = 112 << 10;

/// Requests for pages in flight at once; a store that is asked for more slows each of them down.
const IN_FLIGHT: usize = 16;

/// Fetches pages of one store.
pub(super) struct Fetcher {
    store: Arc<dyn Store>,
    cache: PageCache,
    flights: Mutex<Flights>,
    permits: Semaphore,
}

/// A request under way. Shared: whoever waits drives it on, so one caller's interrupt does not end it for the others.
type Flight = Shared<BoxFuture<'static, Result<Arc<[Landed]>, FetchError>>>;

/// By page; the pages that one request brings share it.
type Flights = HashMap<PageKey, Flight>;

struct Landed {
    pgno: u32,
    page: Page,
}

/// Why a page could not be had.
#[derive(Clone, Debug)]
pub(super) enum FetchError {
    /// The file that held it is gone; another may hold it.
    Moved,
    /// Anything else.
    Other(Error),
}

/// The frames of neighbouring pages: one run of bytes of a file.
struct Run {
    file: Arc<LtxFile>,
    page_size: u32,
    start: u64,
    end: u64,
    frames: Vec<Frame>,
}

#[derive(Clone, Copy)]
struct Frame {
    pgno: u32,
    offset: u64,
    size: u32,
}

impl Frame {
    fn of(pgno: u32, extent: &Extent<'_>) -> Frame {
        Frame { pgno, offset: extent.offset, size: extent.size }
    }

    fn end(&self) -> u64 {
        self.offset + u64::from(self.size)
    }
}

impl Fetcher {
    pub(super) fn new(store: Arc<dyn Store>, cache_size: u64) -> Fetcher {
        Fetcher {
            store,
            cache: PageCache::new(cache_size),
            flights: Mutex::default(),
            permits: Semaphore::new(IN_FLIGHT),
        }
    }

    pub(super) fn cache(&self) -> &PageCache {
        &self.cache
    }

    /// The page from the cache, without I/O.
    #[inline]
    pub(super) fn cached(&self, view: &View, pgno: u32) -> Option<Page> {
        self.cache.get(PageKey { file: view.locate(pgno)?.file.number, pgno })
    }

    /// The page, fetched with its neighbours if it is not in the cache. None for a page the view does not have.
    pub(super) async fn page(self: &Arc<Self>, view: &View, pgno: u32) -> Result<Option<Page>, FetchError> {
        let Some(extent) = view.locate(pgno) else { return Ok(None) };
        let key = PageKey { file: extent.file.number, pgno };
        let flight = {
            let mut flights = self.flights.lock();
            // Under the lock: a flight fills the cache before it leaves the table.
            if let Some(page) = self.cache.get(key) {
                return Ok(Some(page));
            }
            match flights.get(&key) {
                Some(flight) => flight.clone(),
                None => self.launch(view, Frame::of(pgno, &extent), extent.file, &mut flights),
            }
        };
        let landed = flight.await?;
        Ok(landed.iter().find(|landed| landed.pgno == pgno).map(|landed| landed.page.clone()))
    }

    fn launch(self: &Arc<Self>, view: &View, asked: Frame, file: &Arc<LtxFile>, flights: &mut Flights) -> Flight {
        let run = self.run_around(view, asked, file, flights);
        let keys: Vec<PageKey> =
            run.frames.iter().map(|frame| PageKey { file: run.file.number, pgno: frame.pgno }).collect();
        let (fetcher, landing) = (self.clone(), keys.clone());
        let flight = async move {
            let result = fetcher.fetch(&run).await;
            if let Ok(landed) = &result {
                landed.iter().zip(&landing).for_each(|(it, key)| fetcher.cache.insert(*key, it.page.clone()));
            }
            let mut flights = fetcher.flights.lock();
            landing.iter().for_each(|key| drop(flights.remove(key)));
            result
        };
        let flight = flight.boxed().shared();
        flights.extend(keys.into_iter().map(|key| (key, flight.clone())));
        flight
    }

    /// The page and those of its neighbours that lie beside it in the same file and are neither cached nor under way.
    fn run_around(&self, view: &View, asked: Frame, file: &Arc<LtxFile>, flights: &Flights) -> Run {
        let frame = |pgno: u32| {
            let extent = view.locate(pgno).filter(|extent| extent.file.number == file.number)?;
            Some(Frame::of(pgno, &extent))
        };
        let wanted = |frame: &Frame| {
            let key = PageKey { file: file.number, pgno: frame.pgno };
            !self.cache.contains(key) && !flights.contains_key(&key)
        };
        let mut frames = vec![asked];
        let mut first = asked;
        while let Some(before) = frame(first.pgno - 1).filter(&wanted) {
            if before.end() != first.offset || asked.offset - before.offset > BEFORE {
                break;
            }
            frames.insert(0, before);
            first = before;
        }
        let mut last = asked;
        while let Some(after) = last.pgno.checked_add(1).and_then(frame).filter(&wanted) {
            if after.offset != last.end() || after.end() - asked.offset > ONWARDS {
                break;
            }
            frames.push(after);
            last = after;
        }
        Run { page_size: view.page_size(), start: first.offset, end: last.end(), frames, file: file.clone() }
    }

    async fn fetch(&self, run: &Run) -> Result<Arc<[Landed]>, FetchError> {
        let file = &run.file;
        if let Some(body) = &file.body {
            let bytes = body.slice(run.start as usize..run.end as usize);
            return self.decode(run, &bytes).map_err(FetchError::Other);
        }
        let _permit = self.permits.acquire().await;
        let read = self.store.read(file.level, file.name, run.start..run.end, Some(&file.version)).await;
        let chunk = read.map_err(|error| match error.into() {
            LoadError::Moved => FetchError::Moved,
            LoadError::Other(error) => FetchError::Other(error),
        })?;
        self.decode(run, &chunk.bytes).map_err(FetchError::Other)
    }

    fn decode(&self, run: &Run, bytes: &Bytes) -> Result<Arc<[Landed]>, Error> {
        let decode = |frame: &Frame| {
            let range = (frame.offset - run.start) as usize..(frame.end() - run.start) as usize;
            let bytes = bytes.get(range).unwrap_or_default();
            let page = decode_page(bytes, frame.pgno, run.page_size);
            page.map(|page| Landed { pgno: frame.pgno, page })
        };
        let place = || place(&*self.store, run.file.level, run.file.name);
        run.frames.iter().map(decode).collect::<Result<_, _>>().map_err(|cause| Error::damaged(place(), cause))
    }

    /// Takes the pages of a file that came whole into the cache: what was just written is read next.
    pub(super) fn admit(&self, reading: &Reading) {
        let Some(body) = &reading.body else { return };
        let page_size = reading.file.header.page_size.get();
        for entry in &reading.entries {
            let range = entry.offset as usize..entry.offset as usize + entry.size as usize;
            let frame = body.get(range).unwrap_or_default();
            if let Ok(page) = decode_page(frame, entry.pgno, page_size) {
                self.cache.insert(PageKey { file: reading.file.number, pgno: entry.pgno }, page);
            }
        }
    }
}

fn decode_page(frame: &[u8], pgno: u32, page_size: u32) -> Result<Page, ltx::Error> {
    let mut page: Page = std::iter::repeat_n(0, page_size as usize).collect();
    if let Some(buffer) = Arc::get_mut(&mut page) {
        ltx::decode_page(frame, pgno, buffer)?;
    }
    Ok(page)
}
