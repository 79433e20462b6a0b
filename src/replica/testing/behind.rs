//! Readers that are behind: a fast writer, and states whose files have vanished.

use crate::error::ErrorKind;
use crate::ltx::{FileName, Level, Txid};
use crate::replica::testing::flaky::{Flaky, ROUND_TRIP};
use crate::replica::testing::noisy::{self, content_at};
use crate::replica::testing::one_page;
use crate::replica::{CacheLimits, Replica, View};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

fn replica(store: &Arc<Flaky>) -> Arc<Replica> {
    Arc::new(Replica::new(store.clone(), CacheLimits { memory: 0, disk: 0 }, Duration::from_secs(1)))
}

fn lists(requests: &[String]) -> usize {
    requests.iter().filter(|request| request.starts_with("list")).count()
}

/// Whoever waits for the newest state would wait for ever.
#[tokio::test(start_paused = true)]
async fn a_poll_ends_although_there_is_always_a_newer_file() {
    let store = Flaky::new(false);
    let insert = |store: &Flaky, txid| store.files.insert(Level::ZERO, one_page::name(txid), one_page::file(txid));
    insert(&store, 1);
    let replica = replica(&store);
    replica.poll(Duration::ZERO).await.expect("a view");
    // Where the reader is, the writer was.
    (2..=100).for_each(|txid| insert(&store, txid));
    let writer = store.clone();
    tokio::spawn(async move {
        for txid in 101.. {
            sleep(ROUND_TRIP / 2).await;
            insert(&writer, txid);
        }
    });
    store.take_requests();
    let began = Instant::now();
    timeout(Duration::from_secs(60), replica.poll(Duration::ZERO)).await.expect("an end").expect("a view");
    // One after the other, a hundred files would take two seconds.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(replica.head().expect("a view").txid() >= Txid(100));
    assert!(lists(&store.take_requests()) <= 2);
}

const SNAPSHOT: (Level, FileName) = (Level::SNAPSHOT, FileName { min: Txid(1), max: Txid(1) });

/// Returns a store with a snapshot, a replica that reads it, and its view.
async fn of_a_snapshot() -> (Arc<Flaky>, Arc<Replica>, Arc<View>) {
    let store = Flaky::new(false);
    store.files.insert(SNAPSHOT.0, SNAPSHOT.1, noisy::file(SNAPSHOT.1));
    let replica = replica(&store);
    replica.poll(Duration::ZERO).await.expect("a view");
    let view = replica.head().expect("a view");
    (store, replica, view)
}

#[tokio::test(start_paused = true)]
async fn a_page_whose_file_only_seemed_to_be_missing_is_read() {
    let (store, replica, view) = of_a_snapshot().await;
    for pgno in [1, 700, 1400] {
        for misses in [1, 2] {
            store.miss(misses);
            let page = replica.pages.page(&view, pgno).await.expect("a page").expect("a page of the view");
            assert_eq!(*page, *content_at(pgno, 1), "page {pgno}");
        }
    }
}

/// Litestream sets the time of a file after it has renamed it.
#[tokio::test(start_paused = true)]
async fn a_page_is_read_from_a_file_that_is_changed_while_it_is_found() {
    let mut last = 0;
    for reads in 0..12 {
        let store = Flaky::new(false);
        let second = FileName::of(Txid(2));
        store.files.insert(SNAPSHOT.0, SNAPSHOT.1, noisy::file(SNAPSHOT.1));
        store.files.insert(Level::ZERO, second, noisy::file(second));
        let replica = replica(&store);
        replica.poll(Duration::ZERO).await.expect("a view");
        let view = replica.head().expect("a view");
        let newer = FileName { min: Txid(1), max: Txid(2) };
        store.files.insert(Level::SNAPSHOT, newer, noisy::file(newer));
        store.files.remove(SNAPSHOT.0, SNAPSHOT.1);
        store.take_requests();
        store.rewrite_after(reads);
        let page = replica.pages.page(&view, 701).await;
        let page = page.unwrap_or_else(|error| panic!("after {reads} reads: {error}")).expect("a page of the view");
        assert_eq!(*page, *content_at(701, 2), "after {reads} reads");
        last = store.take_requests().iter().filter(|request| request.starts_with("read")).count();
    }
    assert!(last < 12, "{last} reads");
}

/// A check of the database goes on after each error.
#[tokio::test(start_paused = true)]
async fn pages_that_no_file_has_any_more_are_searched_for_once_a_second() {
    let (store, replica, view) = of_a_snapshot().await;
    let newer = FileName { min: Txid(1), max: Txid(2) };
    store.files.insert(Level::SNAPSHOT, newer, noisy::file(newer));
    store.files.remove(SNAPSHOT.0, SNAPSHOT.1);
    store.take_requests();
    let began = Instant::now();
    for pgno in 10..60 {
        let error = replica.pages.page(&view, pgno).await.expect_err("no file has it");
        assert_eq!(error.kind(), ErrorKind::TooOld, "{error}");
    }
    let seconds = 1 + began.elapsed().as_secs() as usize;
    let listed = lists(&store.take_requests());
    assert!(listed <= 25 * seconds, "{listed} listings in {seconds} s");
}
