//! Scans of tables and indexes, and of long values.

use crate::replica::testing::budgets::*;
use std::sync::atomic::Ordering;

/// When a miss only fetched its neighbours, a scan of 16 MB took 152 consecutive requests forwards and 894 backwards. The
/// pages of `orders_by_day` are scattered among those of the table, which are therefore fetched along with them.
#[test]
fn scans_in_either_direction_are_near_bandwidth() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    with_model_clock(async {
        for (name, requests, share) in
            [("orders", 60, 125), ("orders_by_day", 40, 1500), ("orders_by_customer", 16, 125)]
        {
            for backwards in [false, true] {
                let reader = ModelReader::open(&far, SMALL, &database).await;
                let pages = database.scan(name, backwards);
                let cost = reader.read_all(&database, pages.iter().copied()).await;
                assert!(cost.is_near_bandwidth(), "{name}, backwards {backwards}: {cost:?}");
                assert!(cost.requests <= requests, "{name}, backwards {backwards}: {cost:?}");
                let most = reader.bytes_of(&pages) * share / 100;
                assert!(cost.bytes <= most, "{name}, backwards {backwards}: {cost:?} for {most}");
            }
        }
        assert!(far.max_in_flight.load(Ordering::Relaxed) <= 16);
    });
}

/// Reads a part of a table, as an index range or a scan with a limit does.
#[test]
fn a_scan_that_stops_wastes_a_bounded_multiple_of_what_it_read() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    with_model_clock(async {
        for leaves in [2, 40, 300] {
            let reader = ModelReader::open(&far, SMALL, &database).await;
            let pages = database.paths("orders")[900..900 + leaves].concat();
            let cost = reader.read_all(&database, pages.iter().copied()).await;
            let most =
                5 * reader.bytes_of(&pages) + 5 * reader.replica.fetcher.neighbour_bytes(reader.view.page_size());
            assert!(cost.bytes <= most, "{leaves} leaves: {cost:?}, at most {most}");
        }
    });
}

/// Rows are inserted out of key order, so that adjacent leaves are scattered over the file. Then every tenth row is updated,
/// in other files.
#[test]
fn a_scan_follows_the_key_order_across_several_files() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(40_000, 150, "INSERT INTO t VALUES (?1 * 7919 % 40009, ?2)");
    database.snapshot(&far);
    for change in 0..3 {
        database.run(&format!("UPDATE t SET value = zeroblob(120) WHERE id / 100 % 10 = {change}"));
        database.changes(&far);
    }
    with_model_clock(async {
        for backwards in [false, true] {
            let reader = ModelReader::open(&far, SMALL, &database).await;
            let pages = database.scan("t", backwards);
            let cost = reader.read_all(&database, pages.iter().copied()).await;
            assert!(cost.is_near_bandwidth(), "{cost:?}");
            assert!(cost.bytes <= 3 * reader.bytes_of(&pages), "{cost:?} for {}", reader.bytes_of(&pages));
        }
    });
}

/// The pages of a dropped table remain in the database as free pages.
#[test]
fn free_pages_are_not_fetched() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE gone (value BLOB); CREATE TABLE t (value BLOB);");
    database.run_for_each(6000, 900, "INSERT INTO gone VALUES (?2)");
    database.run_for_each(3000, 900, "INSERT INTO t VALUES (?2)");
    database.run("DROP TABLE gone");
    database.snapshot(&far);
    with_model_clock(async {
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
            assert_eq!(free, 0, "{range:?} contains free pages");
        }
    });
}

#[test]
fn long_values_are_read_with_few_requests() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(4, 3_000_000, "INSERT INTO t VALUES (?1, ?2)");
    database.run_for_each(100, 50_000, "INSERT INTO t VALUES (?1 + 10, ?2)");
    database.snapshot(&far);
    with_model_clock(async {
        let reader = ModelReader::open(&far, SMALL, &database).await;
        let pages = database.scan_with_values("t");
        let cost = reader.read_all(&database, pages.iter().copied()).await;
        assert!(cost.is_near_bandwidth(), "{cost:?}");
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
        with_model_clock(async {
            for name in ["t", "i"] {
                let reader = ModelReader::open(&far, SMALL, &database).await;
                let pages = database.scan(name, name == "i");
                let cost = reader.read_all(&database, pages.iter().copied()).await;
                assert!(cost.is_near_bandwidth(), "{name}, pages of {}: {cost:?}", 1 << bits);
                let most = reader.bytes_of(&pages) * 3;
                assert!(cost.bytes <= most, "{name}, pages of {}: {cost:?}, {most}", 1 << bits);
            }
        });
    }
}
