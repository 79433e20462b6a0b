//! What reading costs in requests, bytes and time, over a store that is far away.
//!
//! The store and the clock are models, so that every number is the same in every run: 20 ms to the first byte, 90 MB/s a
//! connection. The databases are SQLite's own, and so is the order in which their pages are read.

mod database;
mod far;
mod schema;
mod small_caches;

use crate::lock::Mutex;
use crate::replica::fetch::Speculation;
use crate::replica::prefetch::{Prefetcher, Source};
use crate::replica::{CacheLimits, Replica, View};
use database::ModelDatabase;
use far::{Far, LATENCY, transfer};
use futures_util::future::join;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

const MB: u64 = 1 << 20;

/// A cache larger than any database here.
const LARGE: u64 = 128 * MB;

/// One too small for the orders.
const SMALL: u64 = 16 * MB;

struct ModelReader {
    replica: Arc<Replica>,
    view: Arc<View>,
    foresight: Prefetcher,
}

/// What something cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cost {
    requests: u64,
    bytes: u64,
    time: Duration,
}

impl Cost {
    /// Twice what the bytes take over one connection, and four round trips.
    fn is_as_fast_as_promised(&self) -> bool {
        self.time <= 2 * (transfer(self.bytes) + 4 * LATENCY)
    }
}

impl ModelReader {
    /// Opens the replica, and reads the first page as SQLite does.
    async fn open(far: &Arc<Far>, memory: u64, database: &ModelDatabase) -> ModelReader {
        ModelReader::open_with(far, CacheLimits { memory, disk: 0 }, database).await
    }

    async fn open_with(far: &Arc<Far>, cache: CacheLimits, database: &ModelDatabase) -> ModelReader {
        let replica = Arc::new(Replica::new(far.clone(), cache, Duration::from_secs(1)));
        replica.poll(Duration::ZERO).await.expect("a view");
        let view = replica.head().expect("a view");
        let reader = ModelReader { replica, view, foresight: Prefetcher::new() };
        reader.read(database, 1).await;
        reader
    }

    /// Another reader of the same replica.
    fn another(&self) -> ModelReader {
        ModelReader { replica: self.replica.clone(), view: self.view.clone(), foresight: Prefetcher::new() }
    }

    /// Reads a page as a connection does, and compares it.
    async fn read(&self, database: &ModelDatabase, pgno: u32) {
        let source = Source { fetcher: &self.replica.fetcher, view: &self.view };
        let page = match self.replica.fetcher.cached(&self.view, pgno) {
            Some(page) => {
                self.foresight.reads(source, pgno, &page);
                page
            }
            None => {
                let page = self.replica.page(&self.view, pgno, &self.foresight).await;
                page.expect("a page").expect("a page of the view")
            }
        };
        assert!(*page == *database.page(pgno), "page {pgno}");
    }

    /// Reads pages one after the other, and counts what it cost.
    async fn read_all(&self, database: &ModelDatabase, pages: impl IntoIterator<Item = u32>) -> Cost {
        let (before, started) = (self.replica.files.store.counts(), Instant::now());
        for pgno in pages {
            self.read(database, pgno).await;
        }
        let time = started.elapsed();
        // What is on its way belongs to the cost.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let after = self.replica.files.store.counts();
        Cost { requests: after.reads - before.reads, bytes: after.bytes - before.bytes, time }
    }

    fn guesses(&self) -> Speculation {
        self.replica.fetcher.guesses()
    }

    /// The bytes of files that hold these pages.
    fn bytes_of(&self, pages: &[u32]) -> u64 {
        pages.iter().filter_map(|pgno| Some(u64::from(self.view.locate(*pgno)?.size))).sum()
    }
}

/// Runs a story by a clock that goes on when everything waits.
fn by_model_clock(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(story);
}

/// 150,000 orders in a table of 16 MB, and three indexes.
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

/// The leaves of a table in an order without order: neighbours lie far apart.
fn shuffled<T: Clone>(items: &[T], count: usize) -> Vec<T> {
    (1..=count).map(|turn| items[turn * 7919 % items.len()].clone()).collect()
}

#[test]
fn opening_takes_a_few_round_trips() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    by_model_clock(async {
        let started = Instant::now();
        let reader = ModelReader::open(&far, SMALL, &database).await;
        assert!(started.elapsed() <= 5 * LATENCY, "{:?}", started.elapsed());
        assert!(reader.replica.files.store.counts().reads <= 3, "{:?}", reader.replica.files.store.counts());
    });
}

/// A scan of 16 MB took 152 requests one after the other upwards, 894 downwards, when a miss brought its neighbours alone.
/// `orders_by_day` lies scattered among the pages of the table, so that all of them come along.
#[test]
fn scans_go_as_fast_as_the_line_in_either_direction() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    by_model_clock(async {
        for (name, requests, share) in
            [("orders", 60, 125), ("orders_by_day", 40, 1500), ("orders_by_customer", 16, 125)]
        {
            for backwards in [false, true] {
                let reader = ModelReader::open(&far, SMALL, &database).await;
                let pages = database.scan(name, backwards);
                let cost = reader.read_all(&database, pages.iter().copied()).await;
                assert!(cost.is_as_fast_as_promised(), "{name}, backwards {backwards}: {cost:?}");
                assert!(cost.requests <= requests, "{name}, backwards {backwards}: {cost:?}");
                let most = reader.bytes_of(&pages) * share / 100;
                assert!(cost.bytes <= most, "{name}, backwards {backwards}: {cost:?} for {most}");
            }
        }
        assert!(far.most_in_flight.load(Ordering::Relaxed) <= 16);
    });
}

/// One request a second while nothing happens. A new transaction takes three: its file, a byte of the one before to be sure
/// that this is still the same history, and whether there is another. Its pages came along.
#[test]
fn following_costs_a_request_a_poll_and_three_for_a_transaction() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(2000, 500, "INSERT INTO t VALUES (?1, ?2)");
    database.snapshot(&far);
    database.run("UPDATE t SET value = 'a' WHERE id = 1000");
    database.sync(&far);
    by_model_clock(async {
        let mut reader = ModelReader::open(&far, LARGE, &database).await;
        let pages = database.scan("t", false);
        reader.read_all(&database, pages.iter().copied()).await;
        let poll = async |reader: &ModelReader| {
            let before = reader.replica.files.store.counts();
            tokio::time::sleep(Duration::from_secs(1)).await;
            reader.replica.follower.take_turn().await.expect("an answer");
            let after = reader.replica.files.store.counts();
            (after.lists - before.lists + after.reads - before.reads, after.bytes - before.bytes)
        };
        // The first after a pause lists, and the first without news looks twice.
        poll(&reader).await;
        poll(&reader).await;
        for second in 0..60 {
            let (requests, bytes) = poll(&reader).await;
            assert!(requests == 1 && bytes <= 1, "second {second}: {requests} requests, {bytes} bytes");
        }
        for change in 0..8 {
            database.run(&format!("UPDATE t SET value = 'b' WHERE id = {}", 100 + change * 200));
            database.sync(&far);
            let (requests, bytes) = poll(&reader).await;
            assert!(requests <= 3 && bytes < 20_000, "change {change}: {requests} requests, {bytes} bytes");
            reader.view = reader.replica.head().expect("a view");
            let cost = reader.read_all(&database, pages.iter().copied()).await;
            assert_eq!(cost.requests, 0, "{cost:?}");
            // That took a minute, which is a pause.
            poll(&reader).await;
            poll(&reader).await;
        }
    });
}

#[test]
fn what_is_in_the_cache_costs_nothing() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    by_model_clock(async {
        let reader = ModelReader::open(&far, LARGE, &database).await;
        let pages = database.scan("orders", false);
        reader.read_all(&database, pages.clone()).await;
        let nothing = Cost { requests: 0, bytes: 0, time: Duration::ZERO };
        assert_eq!(reader.read_all(&database, pages.clone()).await, nothing);
        assert_eq!(reader.another().read_all(&database, pages.into_iter().rev()).await, nothing);
    });
}

/// Half a table, as an index range or a scan with a limit: whoever stops has paid for what he read, and some.
#[test]
fn a_reader_who_stops_wastes_no_more_than_some_times_what_it_read() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    by_model_clock(async {
        for leaves in [2, 40, 300] {
            let reader = ModelReader::open(&far, SMALL, &database).await;
            let pages = database.ways("orders")[900..900 + leaves].concat();
            let cost = reader.read_all(&database, pages.iter().copied()).await;
            let most = 5 * reader.bytes_of(&pages) + 5 * reader.replica.fetcher.reach(reader.view.page_size());
            assert!(cost.bytes <= most, "{leaves} leaves: {cost:?}, at most {most}");
        }
    });
}

/// A lookup costs its way down, and a few of them buy nothing. Many of them in a table that fits into the cache do; that
/// took 97 requests one after the other before.
#[test]
fn lookups_wait_for_their_way_down_and_then_for_nothing() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    by_model_clock(async {
        let lookups = |count| shuffled(&database.ways("orders"), count).concat();
        for cache in [SMALL, LARGE] {
            let reader = ModelReader::open(&far, cache, &database).await;
            let cost = reader.read_all(&database, lookups(1)).await;
            assert!(cost.requests <= 2 && cost.bytes < 250_000, "one: {cost:?}");
            let cost = reader.read_all(&database, lookups(1)).await;
            assert_eq!(cost.requests, 0, "the same again");
            let reader = ModelReader::open(&far, cache, &database).await;
            let cost = reader.read_all(&database, lookups(200)).await;
            let (time, requests) = if cache == LARGE { (200, 40) } else { (900, 100) };
            assert!(cost.time <= Duration::from_millis(time) && cost.requests <= requests, "200: {cost:?}");
            assert!(cost.bytes < 17 * MB, "200: {cost:?}");
        }
    });
}

/// The cache holds a fifth of the table, so that nothing bought stays.
#[test]
fn lookups_that_no_guess_can_help_pay_for_few() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    by_model_clock(async {
        let reader = ModelReader::open(&far, 4 * MB, &database).await;
        let cost = reader.read_all(&database, shuffled(&database.ways("orders"), 2000).concat()).await;
        let wasted = reader.guesses().fetched - reader.guesses().used;
        assert!(wasted < 2000 * 250_000, "{cost:?}, {wasted} bytes wasted");
    });
}

/// The same with a file that holds the rest of the table: it is bought as with a large cache, and nothing is fetched twice.
#[test]
fn what_memory_has_no_room_for_is_not_fetched_again() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    by_model_clock(async {
        let cache = CacheLimits { memory: 4 * MB, disk: LARGE };
        let reader = ModelReader::open_with(&far, cache, &database).await;
        let lookups = shuffled(&database.ways("orders"), 2000).concat();
        let cost = reader.read_all(&database, lookups.iter().copied()).await;
        assert!(cost.requests <= 60 && cost.bytes < 25 * MB, "{cost:?}");
        assert_eq!(reader.read_all(&database, lookups).await.requests, 0, "the same again");
        assert!(reader.guesses().used <= reader.guesses().fetched);
        let held = reader.replica.fetcher.cache().held();
        assert!(held.memory <= 4 * MB && held.disk > 4 * MB, "{held:?}");

        // One that is too small for the table forgets the oldest, and reads are right all the same.
        let small = ModelReader::open_with(&far, CacheLimits { memory: MB, disk: 2 * MB }, &database).await;
        small.read_all(&database, shuffled(&database.ways("orders"), 1000).concat()).await;
        let held = small.replica.fetcher.cache().held();
        assert!(held.memory <= MB && held.disk == 2 * MB, "{held:?}");
    });
}

#[test]
fn a_small_database_comes_at_once() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(5000, 200, "INSERT INTO t VALUES (?1, ?2)");
    database.snapshot(&far);
    by_model_clock(async {
        let reader = ModelReader::open(&far, LARGE, &database).await;
        let cost = reader.read_all(&database, database.scan("t", false)).await;
        assert!(cost.requests <= 3 && cost.time <= 2 * LATENCY, "{cost:?}");
    });
}

/// Rows come in an order of their own, so that neighbours in the table lie anywhere in the file; then every tenth is written
/// anew, into other files.
#[test]
fn a_scan_follows_the_order_of_keys_through_several_files() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(40_000, 150, "INSERT INTO t VALUES (?1 * 7919 % 40009, ?2)");
    database.snapshot(&far);
    for change in 0..3 {
        database.run(&format!("UPDATE t SET value = zeroblob(120) WHERE id / 100 % 10 = {change}"));
        database.changes(&far);
    }
    by_model_clock(async {
        for backwards in [false, true] {
            let reader = ModelReader::open(&far, SMALL, &database).await;
            let pages = database.scan("t", backwards);
            let cost = reader.read_all(&database, pages.iter().copied()).await;
            assert!(cost.is_as_fast_as_promised(), "{cost:?}");
            assert!(cost.bytes <= 3 * reader.bytes_of(&pages), "{cost:?} for {}", reader.bytes_of(&pages));
        }
    });
}

/// Pages of a table that was dropped stay in the file. They are never fetched.
#[test]
fn free_pages_are_left_where_they_are() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE gone (value BLOB); CREATE TABLE t (value BLOB);");
    database.run_for_each(6000, 900, "INSERT INTO gone VALUES (?2)");
    database.run_for_each(3000, 900, "INSERT INTO t VALUES (?2)");
    database.run("DROP TABLE gone");
    database.snapshot(&far);
    by_model_clock(async {
        let reader = ModelReader::open(&far, LARGE, &database).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        far.take_log();
        let pages = database.scan("t", false);
        let cost = reader.read_all(&database, pages.iter().copied()).await;
        assert!(cost.bytes <= reader.bytes_of(&pages) * 11 / 10, "{cost:?} for {}", reader.bytes_of(&pages));
        let live: std::collections::HashSet<u32> = database.live().into_iter().collect();
        for (_, range) in far.take_log() {
            let touched = |pgno: &u32| {
                let frame = reader.view.locate(*pgno).expect("a page");
                frame.offset < range.end && range.start < frame.offset + u64::from(frame.size)
            };
            let free = (1..=reader.view.commit()).filter(|pgno| !live.contains(pgno)).filter(touched).count();
            assert_eq!(free, 0, "{range:?} holds free pages");
        }
    });
}

#[test]
fn long_values_come_in_long_strides() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(4, 3_000_000, "INSERT INTO t VALUES (?1, ?2)");
    database.run_for_each(100, 50_000, "INSERT INTO t VALUES (?1 + 10, ?2)");
    database.snapshot(&far);
    by_model_clock(async {
        let reader = ModelReader::open(&far, SMALL, &database).await;
        let pages = database.scan_with_values("t");
        let cost = reader.read_all(&database, pages.iter().copied()).await;
        assert!(cost.is_as_fast_as_promised(), "{cost:?}");
        assert!(cost.requests <= 80, "{cost:?}");
        assert!(cost.bytes <= reader.bytes_of(&pages) * 5 / 4, "{cost:?} for {}", reader.bytes_of(&pages));
    });
}

#[test]
fn every_page_size_is_scanned_with_few_requests() {
    for bits in 9..=16 {
        let far = Arc::new(Far::default());
        let mut database = ModelDatabase::new(1 << bits, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
        database.run_for_each(60_000, 80, "INSERT INTO t VALUES (?1, ?2)");
        database.run("CREATE INDEX i ON t (value)");
        database.snapshot(&far);
        by_model_clock(async {
            for name in ["t", "i"] {
                let reader = ModelReader::open(&far, SMALL, &database).await;
                let pages = database.scan(name, name == "i");
                let cost = reader.read_all(&database, pages.iter().copied()).await;
                assert!(cost.is_as_fast_as_promised(), "{name}, pages of {}: {cost:?}", 1 << bits);
                let most = reader.bytes_of(&pages) * 3;
                assert!(cost.bytes <= most, "{name}, pages of {}: {cost:?}, {most}", 1 << bits);
            }
        });
    }
}

#[test]
fn readers_who_want_the_same_share_its_requests_and_do_not_disturb_each_other() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    by_model_clock(async {
        let alone = ModelReader::open(&far, LARGE, &database).await;
        let alone = alone.read_all(&database, database.scan("orders", false)).await;
        let first = ModelReader::open(&far, LARGE, &database).await;
        let second = first.another();
        let before = first.replica.files.store.counts();
        let pages = database.scan("orders", false);
        let (one, _) = join(first.read_all(&database, pages.clone()), second.read_all(&database, pages)).await;
        let requests = first.replica.files.store.counts().reads - before.reads;
        assert!(requests <= alone.requests + 4 && one.time <= alone.time * 2, "{requests}, {one:?} after {alone:?}");

        let first = ModelReader::open(&far, SMALL, &database).await;
        let second = first.another();
        let (up, down) = (database.scan("orders", false), database.scan("orders_by_customer", true));
        let (one, other) = join(first.read_all(&database, up), second.read_all(&database, down)).await;
        assert!(one.is_as_fast_as_promised() && other.is_as_fast_as_promised(), "{one:?}, {other:?}");
    });
}

#[test]
fn a_request_that_is_stuck_is_asked_again() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    by_model_clock(async {
        for first in [0, 1, 7, 20] {
            let reader = ModelReader::open(&far, SMALL, &database).await;
            far.stick(first, 1);
            let cost = reader.read_all(&database, database.scan("orders", false)).await;
            assert!(cost.time < Duration::from_secs(1), "stuck after {first}: {cost:?}");
        }
    });
}

/// Whoever asked may be interrupted; the request goes on for those who joined, and nobody is left waiting.
#[test]
fn a_reader_who_gives_up_leaves_the_request_to_the_others() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    by_model_clock(async {
        let reader = ModelReader::open(&far, SMALL, &database).await;
        for pgno in 2000..2040 {
            let hurried = tokio::time::timeout(LATENCY / 2, reader.read(&database, pgno * 2)).await;
            assert!(hurried.is_err() || pgno > 2000);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(reader.read_all(&database, [4000]).await.requests, 0, "it came all the same");
        assert_eq!(reader.replica.fetcher.under_way(), 0);
    });
}

#[test]
fn a_damaged_page_takes_none_of_its_neighbours_along() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    let damaged = 2000;
    database.snapshot_with_damage(&far, damaged);
    by_model_clock(async {
        let reader = ModelReader::open(&far, SMALL, &database).await;
        for pgno in damaged - 5..damaged + 5 {
            if pgno == damaged {
                let page = reader.replica.page(&reader.view, pgno, &reader.foresight).await;
                assert_eq!(page.expect_err("damage").kind(), crate::error::ErrorKind::Damaged);
            } else {
                reader.read(&database, pgno).await;
            }
        }
    });
}
