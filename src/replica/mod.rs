//! One replica, shared by all connections of the process that read it.
//!
//! Each module imports only from those above it in this table:
//!
//! | module | contents |
//! |---|---|
//! | `folder` | folders on disk that only this user can change, for the cache directory and the journals |
//! | `dbformat` | the SQLite file format: the header, b-trees, free pages, records |
//! | `cache` | pages in memory and in a temporary file |
//! | `files` | lists the files of a replica, plans which make a state, reads their headers and indexes, checks their bytes |
//! | `view` | a view: which file holds each page of one state of the database |
//! | `fetch` | fetches pages of a view: requests, single flight, pace |
//! | `prefetch` | what is fetched before it is read |
//! | `follow` | polls the store and keeps the newest view |
//! | `pages` | reads pages, also if their file has vanished or is damaged |
//! | `schema` | the schema cookie that page 1 shows |
//! | `time_travel` | finds and builds the states at other times |
//! | `diff` | the pages that differ between two states, by table and index, and the rows |
//! | `hydration` | fetches the whole newest state into the cache directory |
//! | `write` | writes transactions; compacts a replica that is written without Litestream |
//! | `session` | the connections of this process, and the replicas that they share |

#[cfg(feature = "bench")]
pub mod bench;
mod cache;
mod dbformat;
mod diff;
mod fetch;
mod files;
mod folder;
mod follow;
mod hydration;
mod pages;
mod prefetch;
mod schema;
mod session;
#[cfg(test)]
mod testing;
mod time_travel;
mod view;
mod write;

pub use cache::{CacheLimits, Page};
#[doc(hidden)]
pub use dbformat::fuzzing;
pub(crate) use dbformat::header;
pub use dbformat::record::StoredValue;
pub use diff::{Affinity, Change, Collation, HistoryStep, KeyColumn, RowChange, RowDiff, RowHistory, RowVersion};
pub use diff::{TableColumn, TableLayout, TablePair, TableState};
pub use fetch::Speculation;
pub use follow::verification::{Verification, VerifiedFile};
pub use hydration::HydrationProgress;
pub use schema::unused_cookie;
pub use session::connection::Connection;
pub(crate) use session::memory::set_memory_release;
pub use session::status::{Status, age};
pub use session::wait::Interrupted;
pub use time_travel::{FileListing, FileListingRow, HistoryRow, MomentList};
pub use view::{View, unused_number};
pub use write::compaction::{CompactionReport, CompactionSettings, Compactor};
pub use write::journal::JournalStatus;
pub use write::lease::{Lease, LeaseState};
pub use write::{BasePage, Overlay, WriteLock, WriterStatus};

use crate::config::Target;
use crate::error::Error;
use crate::store::Store;
use cache::persistent::CacheDirectory;
use diff::Diff;
use fetch::Fetcher;
use files::Files;
use files::ltx_file::FetchSizes;
use follow::Follower;
use follow::head::Head;
use follow::health::Health;
use follow::history::Histories;
use follow::view_loader::ViewLoader;
use futures_util::future::join;
use hydration::Hydration;
use pages::PageReader;
use prefetch::{Arrival, Prefetcher, SharedPrefetch, Source};
use schema::Schemas;
use session::opening::FailedOpen;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use time_travel::TimeTravel;
use write::Writer;

/// A replica. A process has one for each URL and credentials. Each part owns its state, and holds references to the
/// parts above it that it uses.
pub(crate) struct Replica {
    files: Arc<Files>,
    fetcher: Arc<Fetcher>,
    prefetch: Arc<SharedPrefetch>,
    health: Arc<Health>,
    head: Arc<Head>,
    follower: Arc<Follower>,
    pages: Arc<PageReader>,
    schemas: Schemas,
    time_travel: Arc<TimeTravel>,
    diff: Diff,
    hydration: Arc<Hydration>,
    writer: Arc<Writer>,
    failed_open: FailedOpen,
}

impl Replica {
    /// Creates a replica without a cache directory.
    #[cfg(any(test, feature = "bench"))]
    pub(crate) fn new(store: Arc<dyn Store>, cache: CacheLimits, poll_interval: Duration) -> Replica {
        Replica::with(store, cache, poll_interval, FetchSizes::USUAL, None)
    }

    fn with(
        store: Arc<dyn Store>,
        cache: CacheLimits,
        poll_interval: Duration,
        sizes: FetchSizes,
        directory: Option<Arc<CacheDirectory>>,
    ) -> Replica {
        let files = Arc::new(Files::new(store, sizes, directory.clone()));
        let fetcher = Arc::new(Fetcher::new(files.store.clone(), cache, directory));
        let prefetch = Arc::new(SharedPrefetch::new(fetcher.clone()));
        let health = Arc::new(Health::new(files.store.clone()));
        let head = Arc::new(Head::new(fetcher.clone(), cache));
        let views = Arc::new(ViewLoader::new(files.clone(), fetcher.clone(), health.clone()));
        let histories = Arc::new(Histories::new(files.clone()));
        let follower = Arc::new(Follower::new(
            files.clone(),
            fetcher.clone(),
            views.clone(),
            histories.clone(),
            head.clone(),
            health.clone(),
        ));
        follower.set_poll_interval(poll_interval);
        let pages = Arc::new(PageReader::new(
            files.clone(),
            prefetch.clone(),
            views.clone(),
            histories.clone(),
            head.clone(),
            health.clone(),
            follower.clone(),
        ));
        let writer = Writer::new(files.clone(), views.clone(), histories.clone(), head.clone(), follower.clone());
        let schemas = Schemas::new(pages.clone(), histories.clone());
        let time_travel = Arc::new(TimeTravel::new(files.clone(), views, histories, head.clone(), follower.clone()));
        Replica {
            writer: Arc::new(writer),
            schemas,
            hydration: Arc::new(Hydration::new(files.clone(), fetcher.clone(), follower.clone(), head.clone())),
            diff: Diff { files: files.clone(), pages: pages.clone(), time_travel: time_travel.clone() },
            time_travel,
            failed_open: FailedOpen::default(),
            files,
            fetcher,
            prefetch,
            health,
            head,
            follower,
            pages,
        }
    }

    /// The view that transactions which start now read; None before the first.
    pub(crate) fn head(&self) -> Option<Arc<View>> {
        self.head.served()
    }

    /// Time since the replica last confirmed the newest view, or since the first view if it never has.
    pub(crate) fn lag(&self) -> Option<Duration> {
        self.head.lag()
    }

    /// Ensures that the newest view was compared with the store no longer ago than `fresh`.
    #[cfg(any(test, feature = "bench"))]
    pub(crate) async fn poll(&self, fresh: Duration) -> Result<(), Error> {
        self.follower.poll(fresh).await
    }

    /// Returns the view of `target`. Returns None for [`Target::Latest`] and for a time in the future: a reader of
    /// those follows the primary.
    pub(crate) async fn view_of(&self, target: Target) -> Result<Option<Arc<View>>, Error> {
        self.time_travel.view_of(target).await
    }

    /// Returns a page of `view` from the cache, or fetches it with its neighbours and with the pages that `prefetcher`
    /// expects to be read next. Returns None for a page that the view does not have.
    async fn page(&self, view: &Arc<View>, pgno: u32, prefetcher: &Prefetcher) -> Result<Option<Page>, Error> {
        let source = Source { shared: &self.prefetch, view };
        let arrival = self.arrival(view, pgno);
        // In this order: the page that is read is requested before those that are prefetched.
        let (page, ()) = join(self.pages.page(view, pgno), async { prefetcher.on_miss(source, pgno) }).await;
        let page = page?;
        if let Some(page) = &page {
            prefetcher.on_fetched(source, pgno, page, arrival);
        }
        Ok(page)
    }

    /// How a page that is not in the cache arrives.
    fn arrival(&self, view: &View, pgno: u32) -> Arrival {
        let in_memory = view.file_of(pgno).is_none_or(|file| file.body.is_some());
        if in_memory || self.fetcher.is_in_flight(view, pgno) { Arrival::Prefetched } else { Arrival::OnDemand }
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replica({})", self.files.store)
    }
}
