//! Databases of many gigabytes: opening one costs the same whatever its size, because only parts of its index are read.

use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::testing::budgets::far::{LATENCY, transfer};
use crate::replica::testing::budgets::huge_store::{Huge, MEGABYTE};
use crate::replica::testing::budgets::*;

const GIGABYTE: u64 = 1024 * MEGABYTE;

/// A reader of a database that a [`Huge`] store generates.
struct HugeReader {
    store: Arc<Huge>,
    replica: Arc<Replica>,
    view: Arc<View>,
    prefetcher: Prefetcher,
}

impl HugeReader {
    async fn open(store: &Arc<Huge>, sizes: FetchSizes) -> HugeReader {
        let cache = CacheLimits { memory: 64 * MB, disk: 0 };
        let replica = Arc::new(Replica::with(store.clone(), cache, Duration::from_secs(1), sizes, None));
        replica.poll(Duration::ZERO).await.expect("a view");
        let view = replica.head().expect("a view");
        let reader = HugeReader { store: store.clone(), replica, view, prefetcher: Prefetcher::new() };
        reader.read(1).await;
        reader
    }

    async fn read(&self, pgno: u32) {
        let source = Source { shared: &self.replica.prefetch, view: &self.view };
        let page = match self.replica.fetcher.cached(&self.view, pgno) {
            Some(page) => {
                self.prefetcher.on_hit(source, pgno, &page);
                page
            }
            None => self.replica.page(&self.view, pgno, &self.prefetcher).await.expect("no error").expect("a page"),
        };
        assert!(*page == *self.store.page(pgno), "page {pgno}");
    }

    /// Reads pages one after the other, and returns the cost.
    async fn read_all(&self, pages: impl IntoIterator<Item = u32>) -> Cost {
        let (before, started) = (self.replica.files.store.counts(), Instant::now());
        for pgno in pages {
            self.read(pgno).await;
        }
        let (time, after) = (started.elapsed(), self.replica.files.store.counts());
        Cost { requests: after.reads - before.reads, bytes: after.bytes - before.bytes, time }
    }
}

/// At 100 GB, the index has 190 MB. Reading it took two seconds, and 300 MB of memory.
#[test]
fn opening_costs_the_same_whatever_the_size() {
    for gigabytes in [1, 4, 100] {
        let store = Arc::new(Huge::of(gigabytes * GIGABYTE));
        with_model_clock(async {
            let started = Instant::now();
            let reader = HugeReader::open(&store, FetchSizes::USUAL).await;
            let (time, counts) = (started.elapsed(), reader.replica.files.store.counts());
            assert!(time <= 5 * LATENCY + transfer(counts.bytes), "{gigabytes} GB: {time:?}");
            assert!(counts.bytes <= 1_000_000, "{gigabytes} GB: {counts:?}");
            assert!(counts.reads <= 64, "{gigabytes} GB: {counts:?}");
            assert!(reader.view.map_bytes() < MB, "{gigabytes} GB: {} bytes", reader.view.map_bytes());
        });
    }
}

fn view_has(view: &View, pgno: u32) -> bool {
    view.file_of(pgno).is_some()
}

/// A page whose entry has not been read costs a second round trip. Its neighbours do not.
#[test]
fn a_page_costs_at_most_one_round_trip_for_the_index() {
    for gigabytes in [1, 4, 100] {
        let store = Arc::new(Huge::of(gigabytes * GIGABYTE));
        with_model_clock(async {
            let reader = HugeReader::open(&store, FetchSizes::USUAL).await;
            let (mut twice, mut unlocated) = (0, 0);
            for position in 1..=200u64 {
                let pgno = (position * 7919 * 7919 % u64::from(store.pages()) + 1) as u32;
                if pgno == reader.view.lock_page() {
                    continue;
                }
                let is_unlocated = reader.view.is_unlocated(pgno);
                let cost = reader.read_all([pgno]).await;
                let trips = 1 + u32::from(is_unlocated);
                unlocated += u32::from(is_unlocated);
                let expected = |trips: u32| trips * LATENCY + LATENCY / 2 + transfer(cost.bytes);
                twice += u32::from(cost.time > expected(trips));
                assert!(cost.time <= expected(trips + 1), "page {pgno}: {cost:?}");
                assert!(cost.bytes <= 700_000, "page {pgno}: {cost:?}");
                let neighbour = if pgno > 2 { pgno - 1 } else { pgno + 1 };
                if view_has(&reader.view, neighbour) && !reader.view.is_unlocated(neighbour) {
                    assert!(reader.read_all([neighbour]).await.time <= LATENCY * 3 / 2, "page {neighbour}");
                }
            }
            assert!(unlocated > 0, "{gigabytes} GB");
            assert!(twice <= 4, "{gigabytes} GB: {twice} of {unlocated} reads of the index were repeated");
        });
    }
}
