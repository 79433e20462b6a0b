//! Opening and following, and requests that are shared, get stuck, or return a damaged page.

use crate::replica::testing::budgets::*;
use futures_util::future::join;

#[test]
fn opening_takes_a_few_round_trips() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    with_model_clock(async {
        let started = Instant::now();
        let reader = ModelReader::open(&far, SMALL, &database).await;
        assert!(started.elapsed() <= 5 * LATENCY, "{:?}", started.elapsed());
        assert!(reader.replica.files.store.counts().reads <= 3, "{:?}", reader.replica.files.store.counts());
    });
}

/// A poll that finds nothing takes one request. A new transaction takes three: its file, a byte of the previous file to
/// confirm the history, and the file after it, which does not exist. Its pages are read together with its file.
#[test]
fn following_takes_one_request_per_poll_and_three_per_transaction() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(2000, 500, "INSERT INTO t VALUES (?1, ?2)");
    database.snapshot(&far);
    database.run("UPDATE t SET value = 'a' WHERE id = 1000");
    database.sync(&far);
    with_model_clock(async {
        let mut reader = ModelReader::open(&far, LARGE, &database).await;
        let pages = database.scan("t", false);
        reader.read_all(&database, pages.iter().copied()).await;
        let poll = async |reader: &ModelReader| {
            let before = reader.replica.files.store.counts();
            tokio::time::sleep(Duration::from_secs(1)).await;
            reader.replica.follower.take_turn().await.expect("a poll");
            let after = reader.replica.files.store.counts();
            (after.lists - before.lists + after.reads - before.reads, after.bytes - before.bytes)
        };
        // The first poll after a pause lists, and the first that finds nothing sends two requests.
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
            // The reads took a minute, which is a pause.
            poll(&reader).await;
            poll(&reader).await;
        }
    });
}

#[test]
fn readers_share_requests_for_the_same_pages_and_do_not_slow_each_other_down() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    with_model_clock(async {
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
        assert!(one.is_near_bandwidth() && other.is_near_bandwidth(), "{one:?}, {other:?}");
    });
}

#[test]
fn a_stuck_request_is_hedged() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    with_model_clock(async {
        for first in [0, 1, 7, 20] {
            let reader = ModelReader::open(&far, SMALL, &database).await;
            far.stick(first, 1);
            let cost = reader.read_all(&database, database.scan("orders", false)).await;
            assert!(cost.time < Duration::from_secs(1), "stuck after {first}: {cost:?}");
        }
    });
}

/// A reader may be interrupted. Its request continues, because others may have joined it.
#[test]
fn a_request_continues_when_its_reader_is_interrupted() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    with_model_clock(async {
        let reader = ModelReader::open(&far, SMALL, &database).await;
        for pgno in 2000..2040 {
            let read = tokio::time::timeout(LATENCY / 2, reader.read(&database, pgno * 2)).await;
            assert!(read.is_err() || pgno > 2000);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(reader.read_all(&database, [4000]).await.requests, 0, "it was received all the same");
        assert_eq!(reader.replica.fetcher.pages_in_flight(), 0);
    });
}

#[test]
fn a_damaged_page_does_not_affect_its_neighbours() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    let damaged = 2000;
    database.snapshot_with_damage(&far, damaged);
    with_model_clock(async {
        let reader = ModelReader::open(&far, SMALL, &database).await;
        for pgno in damaged - 5..damaged + 5 {
            if pgno == damaged {
                let page = reader.replica.page(&reader.view, pgno, &reader.prefetcher).await;
                assert_eq!(page.expect_err("damage").kind(), crate::error::ErrorKind::Damaged);
            } else {
                reader.read(&database, pgno).await;
            }
        }
    });
}
