//! Caches that hold little, and no file for the rest: what is fetched ahead must stay until it is read.

use crate::replica::testing::budgets::*;

const KB: u64 = 1 << 10;

/// 3,000 rows of 3,000 bytes, of which each takes a page.
fn large_rows() -> ModelDatabase {
    let mut database = ModelDatabase::new(4096, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(3000, 3000, "INSERT INTO t VALUES (?1, ?2)");
    database
}

/// With 256 KB a scan of 9 MB once fetched 80 MB, with 128 KB 300 MB.
#[test]
fn a_scan_fetches_each_page_about_once() {
    let (far, mut database) = (Arc::new(Far::default()), large_rows());
    database.snapshot(&far);
    by_model_clock(async {
        for (memory, time) in [(64, 70), (128, 40), (256, 20), (512, 10), (1024, 5), (2048, 4)] {
            for backwards in [false, true] {
                let reader = ModelReader::open(&far, memory * KB, &database).await;
                let pages = database.scan("t", backwards);
                let cost = reader.read_all(&database, pages.iter().copied()).await;
                let most = reader.bytes_of(&pages) * 5 / 4 + 256 * KB;
                assert!(cost.bytes <= most, "{memory} KB, backwards {backwards}: {cost:?} for {most}");
                assert!(cost.time <= Duration::from_secs(time), "{memory} KB, backwards {backwards}: {cost:?}");
            }
        }
    });
}

/// Several readers share what there is.
#[test]
fn scans_that_share_a_cache_do_not_push_each_other_out() {
    let (far, mut database) = (Arc::new(Far::default()), large_rows());
    database.snapshot(&far);
    by_model_clock(async {
        for memory in [128, 512, 1024] {
            let first = ModelReader::open(&far, memory * KB, &database).await;
            let (second, third) = (first.another(), first.another());
            let before = first.replica.files.store.counts();
            let pages = database.scan("t", false);
            let third_of = |at: usize| pages[pages.len() * at / 3..pages.len() * (at + 1) / 3].iter().copied();
            let one = join(first.read_all(&database, third_of(0)), second.read_all(&database, third_of(1)));
            join(one, third.read_all(&database, third_of(2))).await;
            let bytes = first.replica.files.store.counts().bytes - before.bytes;
            let most = first.bytes_of(&pages) * 3 / 2 + 256 * KB;
            assert!(bytes <= most, "{memory} KB: {bytes} bytes for {most}");
        }
    });
}

/// Lookups in a table that a cache holds nothing of pay for the pages that they read, and for little else.
#[test]
fn lookups_pay_for_little_else() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    by_model_clock(async {
        for memory in [64, 256, 512, 1024] {
            let reader = ModelReader::open(&far, memory * KB, &database).await;
            let pages = shuffled(&database.ways("orders"), 1000).concat();
            let cost = reader.read_all(&database, pages.iter().copied()).await;
            let read = reader.bytes_of(&pages);
            assert!(cost.bytes <= 8 * read, "{memory} KB: {cost:?} for {read}");
        }
    });
}

/// Long values, whose pages are read one after the other.
#[test]
fn long_values_are_fetched_about_once() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(100, 50_000, "INSERT INTO t VALUES (?1, ?2)");
    database.snapshot(&far);
    by_model_clock(async {
        for memory in [64, 256, 512, 1024] {
            let reader = ModelReader::open(&far, memory * KB, &database).await;
            let pages = database.scan_with_values("t");
            let cost = reader.read_all(&database, pages.iter().copied()).await;
            let most = reader.bytes_of(&pages) * 5 / 4 + 256 * KB;
            assert!(cost.bytes <= most, "{memory} KB: {cost:?} for {most}");
        }
    });
}
