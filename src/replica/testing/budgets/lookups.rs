//! Lookups, and reads of cached pages.

use crate::replica::testing::budgets::*;

/// A lookup waits for the pages on its path. A few lookups fetch nothing in bulk; many in a table that fits into the cache
/// do. Without the bulk fetch they took 97 consecutive requests.
#[test]
fn lookups_wait_for_their_path_until_the_table_is_fetched_in_bulk() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    with_model_clock(async {
        let lookups = |count| shuffled(&database.paths("orders"), count).concat();
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

/// The cache has room for a fifth of the table, so that a bulk fetch would be useless.
#[test]
fn lookups_in_a_table_larger_than_the_cache_waste_little() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    with_model_clock(async {
        let reader = ModelReader::open(&far, 4 * MB, &database).await;
        let cost = reader.read_all(&database, shuffled(&database.paths("orders"), 2000).concat()).await;
        let wasted = reader.speculation().fetched - reader.speculation().used;
        assert!(wasted < 2000 * 250_000, "{cost:?}, {wasted} bytes wasted");
    });
}

/// With a disk cache for the rest, the table is fetched in bulk as with a large cache, and no page is fetched twice.
#[test]
fn pages_in_the_disk_cache_are_not_fetched_again() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    with_model_clock(async {
        let cache = CacheLimits { memory: 4 * MB, disk: LARGE };
        let reader = ModelReader::open_with(&far, cache, &database).await;
        let lookups = shuffled(&database.paths("orders"), 2000).concat();
        let cost = reader.read_all(&database, lookups.iter().copied()).await;
        assert!(cost.requests <= 60 && cost.bytes < 25 * MB, "{cost:?}");
        assert_eq!(reader.read_all(&database, lookups).await.requests, 0, "the same again");
        assert!(reader.speculation().used <= reader.speculation().fetched);
        let held = reader.replica.fetcher.cache().held();
        assert!(held.memory <= 4 * MB && held.disk > 4 * MB, "{held:?}");

        // A disk cache that is too small for the table evicts the oldest pages, and reads are still right.
        let small = ModelReader::open_with(&far, CacheLimits { memory: MB, disk: 2 * MB }, &database).await;
        small.read_all(&database, shuffled(&database.paths("orders"), 1000).concat()).await;
        let held = small.replica.fetcher.cache().held();
        assert!(held.memory <= MB && held.disk == 2 * MB, "{held:?}");
    });
}

#[test]
fn cached_pages_cost_nothing() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    with_model_clock(async {
        let reader = ModelReader::open(&far, LARGE, &database).await;
        let pages = database.scan("orders", false);
        reader.read_all(&database, pages.clone()).await;
        let nothing = Cost { requests: 0, bytes: 0, time: Duration::ZERO };
        assert_eq!(reader.read_all(&database, pages.clone()).await, nothing);
        assert_eq!(reader.another().read_all(&database, pages.into_iter().rev()).await, nothing);
    });
}

#[test]
fn a_small_database_is_fetched_at_once() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(5000, 200, "INSERT INTO t VALUES (?1, ?2)");
    database.snapshot(&far);
    with_model_clock(async {
        let reader = ModelReader::open(&far, LARGE, &database).await;
        let cost = reader.read_all(&database, database.scan("t", false)).await;
        assert!(cost.requests <= 3 && cost.time <= 2 * LATENCY, "{cost:?}");
    });
}
