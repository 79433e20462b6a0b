//! A scan of a database whose index is read in parts, directly after it was opened.

use crate::ltx::Level;
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::testing::budgets::far::Far;
use crate::replica::testing::budgets::huge_store::{Huge, MEGABYTE, NAME};
use crate::replica::testing::budgets::*;
use std::collections::VecDeque;

/// The whole index is read when the file is opened.
const WHOLE_INDEX: FetchSizes = FetchSizes { partial_index: u64::MAX, ..FetchSizes::USUAL };

/// How many pages are requested at once.
const WINDOW: u32 = 2048;

/// Opens a database and reads every page in ascending order, two windows behind the requests for them, as the prefetcher does once it
/// knows the order.
async fn scan(far: &Arc<Far>, huge: &Huge, sizes: FetchSizes) -> Cost {
    let started = Instant::now();
    let cache = CacheLimits { memory: 64 * MB, disk: 0 };
    let replica = Arc::new(Replica::with(far.clone(), cache, Duration::from_secs(1), sizes, None));
    replica.poll(Duration::ZERO).await.expect("a view");
    let view = replica.head().expect("a view");
    replica.page(&view, 1, &Prefetcher::new()).await.expect("page 1");
    let (fetcher, free) = (&replica.fetcher, Default::default());
    let window = |number: u32| -> Vec<u32> {
        let first = 2 + number * WINDOW;
        (first..(first + WINDOW).min(huge.pages() + 1)).collect()
    };
    let mut tokens = VecDeque::new();
    for number in 0..huge.pages().div_ceil(WINDOW) + 2 {
        tokens.push_back(Default::default());
        fetcher.speculate(&view, &window(number), tokens.back().expect("a token"), &free);
        for pgno in number.checked_sub(2).map(window).into_iter().flatten() {
            let page = fetcher.page(&view, pgno, &free).await.expect("no error").expect("a page");
            assert!(*page == *huge.page(pgno), "page {pgno}");
            fetcher.count_used(&page);
        }
        if tokens.len() == 3 {
            tokens.pop_front();
        }
    }
    let (time, after) = (started.elapsed(), replica.files.store.counts());
    // Requests for the index that nobody waited for end as well.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(view.is_verified(), "every page and every part of the index was read");
    Cost { requests: after.reads, bytes: after.bytes, time }
}

#[test]
fn a_scan_takes_as_long_as_with_the_whole_index() {
    let (far, huge) = (Arc::new(Far::default()), Huge::of(400 * MEGABYTE));
    far.insert(Level::SNAPSHOT, NAME, huge.file());
    with_model_clock(async {
        let whole = scan(&far, &huge, WHOLE_INDEX).await;
        let parts = scan(&far, &huge, FetchSizes::USUAL).await;
        assert!(parts.time <= whole.time * 102 / 100, "{parts:?} instead of {whole:?}");
        assert!(parts.bytes <= whole.bytes * 103 / 100, "{parts:?} instead of {whole:?}");
    });
}
