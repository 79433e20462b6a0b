//! One replica, shared by all who read it: what files there are, which of them make a view, the pages of a view,
//! following the primary.
//!
//! | module | what it knows |
//! |---|---|
//! | `catalog` | what files lie in the replica |
//! | `plan` | which of them make a state (pure) |
//! | `reading`, `library` | their headers and indexes |
//! | `integrity`, `whole`, `damage`, `verification` | whether their bytes are right, and what happens if not |
//! | `pages`, `view` | which bytes hold which page of a state |
//! | `build` | from a plan to a view |
//! | `cache`, `fetch` | bringing pages into memory |
//! | `foresight`, `btree`, `cells` | what a reader will read next |
//! | `rent`, `freelist` | when to fetch all of a table, and what not to fetch |
//! | `lineage` | which histories have a past in common |
//! | `poll`, `schedule` | who polls when, and what for |
//! | `follow`, `renew` | from one view to the next, by name and by listing |
//! | `moments` | other moments than the newest: which there are, and their views |
//! | `schema` | the schema cookie that page 1 shows |
//! | `changes` | what differs between two moments, by table and index |
//! | `past` | pages whose file is gone |
//! | `status` | how it is doing |
//! | `registry`, `connection` | who reads what |
//! | `opening`, `waiters` | what opens and readers wait for |
//! | `reports` | what a connection tells of its replica |

#[cfg(feature = "bench")]
pub mod bench;
mod cache;
mod dbformat;
mod diff;
mod fetch;
mod files;
mod follow;
mod prefetch;
mod schema;
mod session;
#[cfg(test)]
mod testing;
mod time_travel;
mod view;

pub use cache::{CacheLimits, Page};
pub use diff::Change;
pub use fetch::Speculation;
pub use follow::status::{Status, age};
pub use session::connection::{Connection, Interrupted};
pub(crate) use session::registry::gives_memory_back_by;
pub use session::verification::{Verification, VerifiedFile};
pub use time_travel::{FileListing, FileListingRow, HistoryRow, MomentList};
pub use view::View;

use crate::error::Error;
use crate::lock::{Mutex, RwLock};
use crate::store::{Counting, Store};
use fetch::{FetchError, Fetcher};
use files::loader::FileLoader;
use files::ltx_file::{FetchSizes, LtxFile};
use follow::opening::FailedOpen;
use follow::poll::Polls;
use follow::schedule::PollProgress;
use follow::status::SharedCondition;
use follow::waiters::Waiters;
use futures_util::future::join;
use prefetch::{Arrival, Prefetcher, SharedPrefetch, Source};
use schema::Schemas;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use time_travel::TimeTravel;
use tokio::time::Instant;
use view::epoch::Epochs;

/// A replica as this process knows it. There is one for each place and credentials.
pub(crate) struct Replica {
    store: Arc<Counting>,
    library: FileLoader,
    fetcher: Arc<Fetcher>,
    prefetch: Arc<SharedPrefetch>,
    head: RwLock<Head>,
    condition: SharedCondition,
    polls: Polls,
    progress: tokio::sync::Mutex<PollProgress>,
    waiters: Waiters,
    failed_open: FailedOpen,
    moments: TimeTravel,
    /// Where pages were last found whose own files are gone.
    spare: Mutex<Option<Arc<View>>>,
    /// Files of the newest view are gone, so it has to be made of others.
    outdated: AtomicBool,
    lineage: Epochs,
    schemas: Schemas,
    poll_interval_ms: AtomicU64,
    bounds: Mutex<CacheLimits>,
}

/// The newest view, when the replica last confirmed that it is, and when there was a first one.
#[derive(Default)]
struct Head {
    view: Option<Arc<View>>,
    confirmed: Option<Instant>,
    since: Option<Instant>,
}

impl Replica {
    pub(crate) fn new(store: Arc<dyn Store>, cache: CacheLimits, poll_interval: Duration) -> Replica {
        Replica::with_portions(store, cache, poll_interval, FetchSizes::USUAL)
    }

    fn with_portions(
        store: Arc<dyn Store>,
        cache: CacheLimits,
        poll_interval: Duration,
        portions: FetchSizes,
    ) -> Replica {
        let store = Arc::new(Counting::new(store));
        let fetcher = Arc::new(Fetcher::new(store.clone(), cache));
        Replica {
            library: FileLoader::new(store.clone(), portions),
            prefetch: Arc::new(SharedPrefetch::new(fetcher.clone())),
            fetcher,
            store,
            head: RwLock::default(),
            condition: SharedCondition::default(),
            polls: Polls::default(),
            progress: tokio::sync::Mutex::default(),
            waiters: Waiters::default(),
            failed_open: FailedOpen::default(),
            moments: TimeTravel::default(),
            spare: Mutex::default(),
            outdated: AtomicBool::new(false),
            lineage: Epochs::default(),
            schemas: Schemas::new(),
            poll_interval_ms: AtomicU64::new(poll_interval.as_millis() as u64),
            bounds: Mutex::new(cache),
        }
    }

    /// Bounds of what is kept: in memory pages and files, on disk pages.
    fn bounds(&self) -> CacheLimits {
        *self.bounds.lock()
    }

    /// Moves those bounds.
    fn resize_cache(&self, bounds: CacheLimits) {
        *self.bounds.lock() = bounds;
        self.share_memory(self.head().map_or(0, |head| head.held()));
    }

    /// Gives the cache what the newest view's files leave of the bound, and half of it at least: a view that holds more
    /// is planned anew soon.
    fn share_memory(&self, held: u64) {
        let CacheLimits { memory, disk } = self.bounds();
        self.fetcher.cache().resize(CacheLimits { memory: memory.saturating_sub(held).max(memory / 2), disk });
    }

    /// The newest view; None before the first.
    pub(crate) fn head(&self) -> Option<Arc<View>> {
        self.head.read().view.clone()
    }

    /// Time since the replica last confirmed the newest view, or, if it never has, since there was a first one.
    pub(crate) fn lag(&self) -> Option<Duration> {
        let head = self.head.read();
        head.confirmed.or(head.since).map(|at| at.elapsed())
    }

    /// When the replica last confirmed the newest view.
    fn confirmed(&self) -> Option<Instant> {
        self.head.read().confirmed
    }

    fn publish(&self, view: View) -> Arc<View> {
        tracing::debug!(replica = %self.store, txid = %view.txid(), pages = view.commit(), "new view");
        self.share_memory(view.held());
        let view = Arc::new(view);
        let mut head = self.head.write();
        head.view = Some(view.clone());
        head.since.get_or_insert_with(Instant::now);
        drop(head);
        self.waiters.publish(view.txid());
        view
    }

    /// The newest view was the newest state at that time.
    fn confirm(&self, at: Instant) {
        self.head.write().confirmed = Some(at);
    }

    /// A page of `view`, from the cache, or fetched with its neighbours and with what `prefetcher` expects to be read next.
    /// None for a page that the view does not have.
    async fn page(
        self: &Arc<Self>,
        view: &Arc<View>,
        pgno: u32,
        prefetcher: &Prefetcher,
    ) -> Result<Option<Page>, Error> {
        let source = Source { shared: &self.prefetch, view };
        let arrival = self.arrival(view, pgno);
        // In this order: what is asked for goes before what is guessed.
        let (page, ()) = join(self.fetch(view, pgno), async { prefetcher.on_miss(source, pgno) }).await;
        let page = page?;
        if let Some(page) = &page {
            prefetcher.on_fetched(source, pgno, page, arrival);
        }
        Ok(page)
    }

    /// How a page that is not in the cache will come.
    fn arrival(&self, view: &View, pgno: u32) -> Arrival {
        let in_memory = view.locate(pgno).is_none_or(|extent| extent.file.body.is_some());
        if in_memory || self.fetcher.is_in_flight(view, pgno) { Arrival::Prefetched } else { Arrival::OnDemand }
    }

    async fn fetch(self: &Arc<Self>, view: &Arc<View>, pgno: u32) -> Result<Option<Page>, Error> {
        match self.fetcher.page(view, pgno, &self.prefetch.free_list()).await {
            Ok(page) => Ok(page),
            Err(FetchError::Other(error)) => Err(error),
            Err(FetchError::Moved) => self.moved_page(view, pgno).await.map(Some),
            Err(FetchError::Damaged(error)) => self.page_around(view, pgno, error).await.map(Some),
            Err(FetchError::Spoiled(error)) => {
                self.replace_spoiled(view, pgno).await;
                if self.head().is_some_and(|head| head.is_spoiled()) {
                    self.note_error(error.to_string());
                }
                Err(error)
            }
        }
    }

    /// Sees to it that the next transaction finds a view without the file of a page, which came with wrong bytes: from the
    /// same file, if that is right when it is read again, or from others. This transaction may have seen wrong rows.
    async fn replace_spoiled(self: &Arc<Self>, view: &View, pgno: u32) {
        let is_known = |file: &LtxFile| self.library.checked.damage(file.level, file.name, &file.version).is_some();
        if view.locate(pgno).is_some_and(|extent| is_known(extent.file)) {
            return;
        }
        self.outdated.store(true, Ordering::Relaxed);
        if let Err(error) = self.poll(Duration::ZERO).await {
            tracing::debug!("no other view than one of which wrong bytes came: {error}");
        }
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replica({})", self.store)
    }
}
