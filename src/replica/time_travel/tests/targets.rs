//! The views of times and TXIDs, and the requests that finding them takes.

use crate::config::Target;
use crate::error::ErrorKind;
use crate::ltx::Txid;
use crate::replica::time_travel::tests::dated_replica::DatedReplica;
use crate::replica::time_travel::tests::{at, history_of, requests_since};
use crate::time;
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn requests_grow_with_the_logarithm_of_the_files() {
    let mut costs = Vec::new();
    for transactions in [64, 4096] {
        let dated = DatedReplica::healthy(transactions);
        let replica = dated.open().await;
        dated.store.listed.store(0, Ordering::Relaxed);
        let before = replica.files.store.counts();
        let middle = transactions / 3;
        assert_eq!(at(&replica, middle as i64 * 1000 + 999).await, Some(Txid(middle)));
        costs.push((requests_since(&replica, before), dated.store.listed.load(Ordering::Relaxed)));

        let before = replica.files.store.counts();
        assert_eq!(at(&replica, middle as i64 * 1000 + 999).await, Some(Txid(middle)), "the same time again");
        assert_eq!(replica.view_of(Target::Latest).await.expect("no search").map(|_| ()), None);
        assert!(replica.view_of(Target::Txid(Txid(middle))).await.is_ok());
        assert_eq!(requests_since(&replica, before), 0, "known states make no request");
    }
    // 64 times as many files take less than twice as many requests.
    assert_eq!(costs, RECORDED);
}

/// The measured numbers of requests and of listed files of level 0, with 64 and with 4096 transactions.
const RECORDED: [(u64, u64); 2] = [(37, 17), (58, 17)];

/// The replica was lost and the primary was reset: files begin again with a complete one, after a hole.
#[tokio::test]
async fn states_begin_again_with_a_complete_file_after_a_hole() {
    for old in [0, 40] {
        let mut dated = DatedReplica::new((1..=1000).map(|number| number * 10).collect());
        dated.reset = 500;
        (1..=old).for_each(|txid| dated.write(0, txid, txid));
        (500..=1000).for_each(|txid| dated.write(0, txid, txid));
        for (level, min, max) in [(1, 500, 531), (1, 532, 563), (2, 500, 563)] {
            dated.write(level, min, max);
        }
        let replica = dated.open().await;
        let expected: Vec<u64> = (500..=1000).rev().chain((1..=old).rev()).collect();
        assert_eq!(history_of(&replica).await.into_iter().map(|(txid, _)| txid).collect::<Vec<_>>(), expected);
        for ms in [5000, 5009, 5310, 5631, 7777, 10_000] {
            assert_eq!(at(&replica, ms).await, Some(Txid(ms as u64 / 10)), "at {ms}");
        }
        assert_eq!(at(&replica, 4999).await, (old > 0).then_some(Txid(old)));
        assert!(replica.view_of(Target::Txid(Txid(501))).await.is_ok());
        let error = replica.view_of(Target::Txid(Txid(300))).await.expect_err("no such state").to_string();
        assert!(error.contains(&Txid(500).to_string()), "{error}");
    }
}

/// The first file after a hole tells whether states begin there. While it cannot be read, the last state before the hole is the wrong answer.
#[tokio::test]
async fn no_state_before_a_hole_is_served_while_the_file_after_it_cannot_be_read() {
    let mut dated = DatedReplica::new((1..=9).map(|number| number * 1000).collect());
    dated.reset = 5;
    [1, 2, 5, 6, 7].into_iter().for_each(|txid| dated.write(0, txid, txid));
    let replica = dated.open().await;
    let fail = |fails| dated.store.reads_fail.store(fails, Ordering::Relaxed);
    fail(true);
    let last = Txid(7);
    assert_eq!(
        replica.view_of(Target::Time(6500)).await.map(|_| ()).map_err(|error| error.kind()),
        Err(ErrorKind::Unreachable)
    );
    assert_eq!(
        replica.time_travel.states_until(last).await.map(|_| ()).map_err(|error| error.kind()),
        Err(ErrorKind::Unreachable)
    );
    fail(false);
    assert_eq!(at(&replica, 6500).await, Some(Txid(6)));
    let states = replica.time_travel.states_until(last).await.expect("states");
    assert_eq!(states.iter().map(|state| state.txid.0).collect::<Vec<_>>(), [1, 2, 5, 6, 7]);
}

/// Retention deletes level 0 file by file, so its first remaining file can contain every page (after VACUUM) while a
/// file of level 1 bridges the gap before it. A search by time once found a state there that neither the history nor
/// `litestream restore` knows.
#[tokio::test]
async fn no_states_begin_with_a_complete_file_in_a_gap_that_another_file_bridges() {
    let mut dated = DatedReplica::new((1..=20).map(|number| number * 10).collect());
    dated.reset = 12;
    for (level, min, max) in [(1, 1, 5), (1, 6, 10), (1, 11, 14), (0, 12, 12), (0, 13, 13), (0, 14, 14), (0, 15, 15)] {
        dated.write(level, min, max);
    }
    let replica = dated.open().await;
    assert_eq!(history_of(&replica).await, [(15, 0), (14, 0), (10, 1), (5, 1)]);
    for (ms, txid) in [(109, 10), (120, 10), (139, 10), (140, 14), (150, 15)] {
        assert_eq!(at(&replica, ms).await, Some(Txid(txid)), "at {ms}");
    }
}

#[tokio::test]
async fn errors_name_the_nearest_available_states() {
    let mut dated = DatedReplica::new((1..=30).map(|number| number * 1000).collect());
    for (level, min, max) in [(9, 1, 10), (1, 11, 20), (0, 21, 21), (0, 22, 22), (0, 25, 25)] {
        dated.write(level, min, max);
    }
    let replica = dated.open().await;
    let error = |target| {
        let replica = replica.clone();
        async move { replica.view_of(target).await.expect_err("no such state").to_string() }
    };
    let early = error(Target::Time(9_999)).await;
    assert!(early.ends_with("the earliest state is of 1970-01-01T00:00:10.000Z"), "{early}");
    assert_eq!(at(&replica, 10_000).await, Some(Txid(10)));
    let [ten, twenty, newest] = [10, 20, 22].map(Txid);
    for (txid, text) in [
        (1, format!("the earliest state is at TXID {ten}")),
        (15, format!("the nearest TXIDs with a state are {ten} and {twenty}")),
        (23, format!("the newest state is at TXID {newest}")),
        // A file ends there, but there is a hole before it.
        (25, format!("the newest state is at TXID {newest}")),
        (u64::MAX, format!("the newest state is at TXID {newest}")),
    ] {
        let found = error(Target::Txid(Txid(txid))).await;
        assert!(found.contains(&format!("{}", Txid(txid))) && found.ends_with(&text), "{found}");
    }
}

/// So the two share pages, indexes and SQLite's own cache.
#[tokio::test]
async fn the_time_of_the_newest_state_returns_the_newest_view() {
    let dated = DatedReplica::healthy(100);
    let replica = dated.open().await;
    let found = replica.view_of(Target::Time(100_000)).await.expect("a view").expect("a past state");
    assert!(Arc::ptr_eq(&found, &replica.head().expect("a view")));
}

/// If the primary's clock is ahead of this host's, all times that it wrote still count as past.
#[tokio::test]
async fn the_future_begins_after_the_newest_state() {
    let ahead = time::now_ms() + 3_600_000;
    let mut dated = DatedReplica::new((1..=5).map(|number| ahead + number * 1000).collect());
    (1..=3).for_each(|txid| dated.write(0, txid, txid));
    let replica = dated.open().await;
    let found = async |target| replica.view_of(target).await.expect("a view").map(|view| view.txid().0);
    for (ms, txid) in [(1000, Some(1)), (1999, Some(1)), (2000, Some(2)), (3000, Some(3)), (3001, None)] {
        assert_eq!(found(Target::Time(ahead + ms)).await, txid, "{ms} ms");
    }
    assert_eq!(found(Target::Now).await, Some(3));
    let error = replica.view_of(Target::Time(ahead)).await.expect_err("before the first").to_string();
    assert!(error.contains("the earliest state is of"), "{error}");

    // Newer states, which this replica has not found by a poll yet.
    dated.write(0, 4, 4);
    assert_eq!(found(Target::Time(ahead + 4000)).await, Some(4));
    dated.write(0, 5, 5);
    assert_eq!(found(Target::Now).await, Some(5));
    assert_eq!(found(Target::Latest).await, None);
}

/// The time of the newest state leads to it, whatever times earlier states have. So does `now`.
#[tokio::test]
async fn the_newest_state_is_found_by_its_time_after_a_clock_was_set_back() {
    let mut dated = DatedReplica::new(vec![9000, 8000, 5000]);
    (1..=3).for_each(|txid| dated.write(0, txid, txid));
    let replica = dated.open().await;
    assert_eq!(at(&replica, 5000).await, Some(Txid(3)));
    assert_eq!(at(&replica, 8000).await, None, "every state is later or follows a later one");
    assert_eq!(at(&replica, 9000).await, Some(Txid(3)));
    let now = replica.view_of(Target::Now).await.expect("a view").expect("a past state");
    assert_eq!(now.txid(), Txid(3));
}

#[tokio::test]
async fn now_is_the_newest_known_state_while_the_store_does_not_answer() {
    let mut dated = DatedReplica::new(vec![1000]);
    dated.write(0, 1, 1);
    let replica = dated.open().await;
    dated.store.lists_fail.store(true, Ordering::Relaxed);
    dated.store.reads_fail.store(true, Ordering::Relaxed);
    let now = replica.view_of(Target::Now).await.expect("a view").expect("a past state");
    assert_eq!(now.txid(), Txid(1));
}
