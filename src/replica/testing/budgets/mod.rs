//! Asserts what reads of a remote store cost in requests, bytes and time.
//!
//! The store and the clock are models, so that every number is the same in every run: 20 ms to the first byte, 90 MB/s per
//! connection. SQLite writes the databases, and their pages are read in the order in which SQLite reads them.

pub(super) mod database;
pub(super) mod far;
mod huge;
mod huge_scan;
mod huge_store;
mod lookups;
mod requests;
mod rows;
mod scans;
mod schema;
mod small_caches;
mod together;

use crate::lock::{Mutex, MutexGuard};
use crate::replica::fetch::Speculation;
use crate::replica::prefetch::{Prefetcher, Source};
use crate::replica::{CacheLimits, Replica, View};
use crate::store::Counts;
use database::ModelDatabase;
use far::{Far, LATENCY, transfer};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::time::Instant;

const MB: u64 = 1 << 20;

/// The size of a cache that is larger than any database here.
const LARGE: u64 = 128 * MB;

/// The size of a cache that is too small for the orders.
const SMALL: u64 = 16 * MB;

struct ModelReader {
    replica: Arc<Replica>,
    view: Arc<View>,
    prefetcher: Prefetcher,
}

/// The cost of some reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cost {
    requests: u64,
    bytes: u64,
    time: Duration,
}

impl Cost {
    /// Returns true if the time is at most twice that of the bytes over one connection and four round trips.
    fn is_near_bandwidth(&self) -> bool {
        self.time <= 2 * (transfer(self.bytes) + 4 * LATENCY)
    }
}

impl ModelReader {
    /// Opens a replica and reads page 1.
    async fn open(far: &Arc<Far>, memory: u64, database: &ModelDatabase) -> ModelReader {
        ModelReader::open_with(far, CacheLimits { memory, disk: 0 }, database).await
    }

    async fn open_with(far: &Arc<Far>, cache: CacheLimits, database: &ModelDatabase) -> ModelReader {
        ModelReader::of(Replica::new(far.clone(), cache, Duration::from_secs(1)), database).await
    }

    async fn of(replica: Replica, database: &ModelDatabase) -> ModelReader {
        let replica = Arc::new(replica);
        replica.poll(Duration::ZERO).await.expect("a view");
        let view = replica.head().expect("a view");
        let reader = ModelReader { replica, view, prefetcher: Prefetcher::new() };
        reader.read(database, 1).await;
        reader
    }

    /// Returns another reader of the same replica.
    fn another(&self) -> ModelReader {
        ModelReader { replica: self.replica.clone(), view: self.view.clone(), prefetcher: Prefetcher::new() }
    }

    /// Reads a page as a connection does, and compares its content.
    async fn read(&self, database: &ModelDatabase, pgno: u32) {
        let source = Source { shared: &self.replica.prefetch, view: &self.view };
        let page = match self.replica.fetcher.cached(&self.view, pgno) {
            Some(page) => {
                self.prefetcher.on_hit(source, pgno, &page);
                page
            }
            None => {
                let page = self.replica.page(&self.view, pgno, &self.prefetcher).await;
                page.expect("a page").expect("a page of the view")
            }
        };
        assert!(*page == *database.page(pgno), "page {pgno}");
    }

    /// Reads pages one after the other, and returns the cost.
    async fn read_all(&self, database: &ModelDatabase, pages: impl IntoIterator<Item = u32>) -> Cost {
        let (before, started) = (self.replica.files.store.counts(), Instant::now());
        for pgno in pages {
            self.read(database, pgno).await;
        }
        let time = started.elapsed();
        // Requests that are still in flight count too.
        tokio::time::sleep(Duration::from_secs(60)).await;
        Cost { time, ..self.cost_since(before, started) }
    }

    /// Returns the cost since a moment at which the store had these counts.
    fn cost_since(&self, before: Counts, started: Instant) -> Cost {
        let (time, after) = (started.elapsed(), self.replica.files.store.counts());
        Cost { requests: after.reads - before.reads, bytes: after.bytes - before.bytes, time }
    }

    fn speculation(&self) -> Speculation {
        self.replica.fetcher.speculation()
    }

    /// Returns the length of the frames of some pages.
    fn bytes_of(&self, pages: &[u32]) -> u64 {
        pages.iter().filter_map(|pgno| Some(u64::from(self.view.locate(*pgno)?.size))).sum()
    }
}

/// Runs a test on a clock that advances when all tasks wait.
fn with_model_clock(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(test);
}

/// Returns a database of 150,000 orders in a table of 16 MB, with two indexes.
fn orders() -> MutexGuard<'static, ModelDatabase> {
    static ORDERS: LazyLock<Mutex<ModelDatabase>> = LazyLock::new(|| {
        let mut database = ModelDatabase::new(
            4096,
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, day TEXT, comment BLOB);
             CREATE INDEX orders_by_day ON orders (day);",
        );
        let insert = "INSERT INTO orders
                      VALUES (?1, ?1 * 7919 % 10007, date('2020-01-01', (?1 / 100) || ' days'), ?2 || hex(?2))";
        database.run_for_each(150_000, 26, insert);
        database.run("CREATE INDEX orders_by_customer ON orders (customer)");
        Mutex::new(database)
    });
    ORDERS.lock()
}

/// Returns `count` items in a scattered order.
fn shuffled<T: Clone>(items: &[T], count: usize) -> Vec<T> {
    (1..=count).map(|position| items[position * 7919 % items.len()].clone()).collect()
}
