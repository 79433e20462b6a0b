//! How long opens and readers wait while the store does not respond.

use crate::config::Target;
use crate::error::ErrorKind;
use crate::ltx::{Level, Txid};
use crate::replica::follow::waiting::OpenTime;
use crate::replica::testing::flaky::{DEADLINE, Flaky, FlakyState};
use crate::replica::testing::one_page::{file, name};
use crate::replica::{CacheLimits, Replica};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// Less than any wait for the store.
const AT_ONCE: Duration = Duration::from_millis(5);

fn replica(files: u64) -> (Arc<Flaky>, Arc<Replica>) {
    let store = Flaky::new(false);
    (1..=files).for_each(|txid| store.files.insert(Level::ZERO, name(txid), file(txid)));
    let replica = Arc::new(Replica::new(store.clone(), CacheLimits { memory: 0, disk: 0 }, SECOND));
    (store, replica)
}

/// Returns a replica that has been open and followed for a while.
async fn followed() -> (Arc<Flaky>, Arc<Replica>) {
    let (store, replica) = replica(3);
    replica.open(Target::Latest, 5 * SECOND, true).await.expect("a view");
    drop(tokio::spawn(replica.follower.clone().poll_forever()));
    sleep(10 * SECOND).await;
    store.take_requests();
    (store, replica)
}

/// Opens the replica `count` times at once. Returns how long each open took, and its error.
async fn open(replica: &Arc<Replica>, count: usize, open_timeout: Duration) -> Vec<(Duration, Option<String>)> {
    join_all((0..count).map(|_| async {
        let started = Instant::now();
        let opened = replica.open(Target::Latest, open_timeout, false).await;
        (started.elapsed(), opened.err().map(|error| error.to_string()))
    }))
    .await
}

/// A replica that is opened for writing may be empty.
#[tokio::test(start_paused = true)]
async fn an_open_that_waits_for_no_backup_has_the_same_limit() {
    for (seconds, took) in [(1, SECOND), (40, DEADLINE)] {
        let (store, replica) = replica(3);
        store.set_state(FlakyState::Hanging);
        let (started, limit) = (Instant::now(), seconds * SECOND);
        let time = OpenTime { backup: Duration::ZERO, ..limit.into() };
        let error = replica.open(Target::Latest, time, false).await.expect_err("it hangs");
        assert_eq!((error.kind(), started.elapsed().as_secs()), (ErrorKind::Unreachable, took.as_secs()), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_replica_opens_at_once_whatever_the_state_of_its_store() {
    for state in [FlakyState::Hanging, FlakyState::Down, FlakyState::Empty] {
        let (store, replica) = followed().await;
        store.set_state(state);
        for _ in 0..400 {
            for (took, error) in open(&replica, 3, 5 * SECOND).await {
                assert!(took < AT_ONCE && error.is_none(), "{state:?}: {took:?}, {error:?}");
            }
            sleep(SECOND / 10).await;
        }
        // The follower polls at most once a second, however many opens there are.
        let requests = store.take_requests();
        assert!(requests.len() < 90, "{state:?}: {} requests", requests.len());
    }
}

#[tokio::test(start_paused = true)]
async fn first_opens_take_at_most_open_timeout_and_share_one_poll() {
    let (store, replica) = replica(3);
    store.set_state(FlakyState::Hanging);
    for open_timeout in [SECOND, 3 * SECOND] {
        for (took, error) in open(&replica, 100, open_timeout).await {
            assert!(took <= open_timeout + AT_ONCE, "{took:?}");
            let error = error.expect("no response");
            assert!(error.contains("the listing of level 1 has not been answered"), "{error}");
            assert!(error.contains(&format!("within {} s", open_timeout.as_secs())), "{error}");
        }
        // An open within the next second returns the same error.
        for (took, error) in open(&replica, 3, open_timeout).await {
            assert!(took < AT_ONCE && error.is_some(), "{took:?}");
        }
    }
    assert_eq!(store.take_requests().len(), 9, "one poll, which lists nine levels first");
    // An open with a longer timeout returns the store's own error.
    for (took, error) in open(&replica, 3, 60 * SECOND).await {
        assert!(took <= DEADLINE && error.is_some_and(|error| error.contains("did not respond in time")), "{took:?}");
    }
    store.set_state(FlakyState::Healthy);
    sleep(SECOND).await;
    assert!(open(&replica, 3, SECOND).await.iter().all(|(_, error)| error.is_none()));
}

#[tokio::test(start_paused = true)]
async fn an_open_that_does_not_wait_for_a_first_backup_is_also_bounded() {
    let (store, replica) = replica(0);
    let (took, error) = open(&replica, 1, Duration::ZERO).await.remove(0);
    assert!(took < SECOND && error.is_some_and(|error| error.contains("no backup is found")), "{took:?}");
    store.set_state(FlakyState::Hanging);
    sleep(SECOND).await;
    let (took, error) = open(&replica, 1, Duration::ZERO).await.remove(0);
    assert!(took <= 10 * SECOND + AT_ONCE && error.is_some(), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn opens_that_wait_for_a_first_backup_share_their_polls() {
    let (store, replica) = replica(0);
    let (waiting, ()) = tokio::join!(open(&replica, 50, 60 * SECOND), async {
        sleep(10 * SECOND).await;
        store.files.insert(Level::ZERO, name(1), file(1));
    });
    for (took, error) in waiting {
        assert!(took > 10 * SECOND && took < 11 * SECOND && error.is_none(), "{took:?}, {error:?}");
    }
    let listed = store.take_requests().iter().filter(|request| *request == "list 0").count();
    assert!(listed <= 42, "{listed} polls in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn opening_a_moment_of_a_known_replica_takes_at_most_open_timeout() {
    let (store, replica) = followed().await;
    store.set_state(FlakyState::Hanging);
    let started = Instant::now();
    let error = replica.open(Target::Txid(Txid(2)), 2 * SECOND, false).await.expect_err("no response");
    assert_eq!((error.kind(), started.elapsed()), (ErrorKind::Unreachable, 2 * SECOND));
    let again = replica.open(Target::Txid(Txid(2)), 2 * SECOND, false).await.expect_err("no response");
    assert_eq!((again.to_string(), started.elapsed()), (error.to_string(), 2 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn opening_an_idle_replica_waits_as_long_as_a_poll_usually_takes() {
    let (store, replica) = replica(3);
    replica.open(Target::Latest, 5 * SECOND, true).await.expect("a view");
    sleep(30 * SECOND).await;
    store.files.insert(Level::ZERO, name(4), file(4));
    replica.open(Target::Latest, 5 * SECOND, true).await.expect("a view");
    assert_eq!(replica.head().map(|head| head.txid()), Some(Txid(4)));

    sleep(30 * SECOND).await;
    store.files.insert(Level::ZERO, name(5), file(5));
    store.set_state(FlakyState::Hanging);
    let started = Instant::now();
    replica.open(Target::Latest, 5 * SECOND, true).await.expect("the current view");
    assert!(started.elapsed() <= SECOND, "{:?}", started.elapsed());
    // The poll continues after the open has returned.
    sleep(SECOND).await;
    store.set_state(FlakyState::Healthy);
    sleep(SECOND).await;
    assert_eq!(replica.head().map(|head| head.txid()), Some(Txid(5)));
}

#[tokio::test(start_paused = true)]
async fn a_poll_is_shared_and_its_failure_is_remembered_for_a_second() {
    let (store, replica) = replica(3);
    store.set_state(FlakyState::Down);
    let polls = || join_all((0..20).map(|_| replica.poll(Duration::ZERO)));
    assert!(polls().await.iter().all(Result::is_err));
    let once = store.take_requests().len();
    assert!((1..=9).contains(&once), "{once} requests");
    sleep(SECOND / 2).await;
    assert!(polls().await.iter().all(Result::is_err));
    assert_eq!(store.take_requests().len(), 0);
    store.set_state(FlakyState::Healthy);
    sleep(SECOND / 2).await;
    assert!(polls().await.iter().all(Result::is_ok));
    // All of them were called before the poll began, or at the same time.
    assert_eq!(store.take_requests().iter().filter(|request| *request == "list 0").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_cancelled_does_not_cancel_the_shared_poll() {
    let (store, replica) = replica(3);
    let other = async {
        sleep(Duration::from_millis(1)).await;
        replica.poll(SECOND).await
    };
    let (cancelled, other) = tokio::join!(timeout(Duration::from_millis(2), replica.poll(Duration::ZERO)), other);
    assert!(cancelled.is_err() && other.is_ok());
    assert_eq!(store.take_requests().iter().filter(|request| *request == "list 0").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_only_the_first_reader_with_max_staleness_waits_for_the_deadline() {
    let (store, replica) = followed().await;
    store.set_state(FlakyState::Hanging);
    sleep(3 * SECOND).await;
    for attempt in 0..40 {
        let started = Instant::now();
        let error = replica.follower.freshen(SECOND).await.expect_err("no response").to_string();
        assert!(error.contains("max_staleness allows 1 s"), "{error}");
        // Only the first waits for the store's own deadline.
        let limit = if attempt == 0 { DEADLINE } else { SECOND };
        assert!(started.elapsed() <= limit, "attempt {attempt}: {:?}", started.elapsed());
        sleep(SECOND / 10).await;
    }
    let started = Instant::now();
    let errors = join_all((0..20).map(|_| replica.follower.freshen(SECOND))).await;
    assert!(errors.iter().all(Result::is_err) && started.elapsed() <= SECOND, "{:?}", started.elapsed());
    store.set_state(FlakyState::Healthy);
    sleep(12 * SECOND).await;
    assert!(replica.follower.freshen(SECOND).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn many_waiters_for_a_transaction_cost_as_much_as_one_and_return_together() {
    let mut cost = Vec::new();
    for count in [1, 100] {
        let (store, replica) = replica(3);
        replica.open(Target::Latest, 5 * SECOND, true).await.expect("a view");
        store.take_requests();
        let there = Instant::now() + 5 * SECOND;
        let waiting = join_all((0..count).map(|_| async {
            assert!(replica.follower.wait_for(Txid(4), 60 * SECOND).await);
            there.elapsed()
        }));
        let (woken, ()) = tokio::join!(waiting, async {
            sleep(5 * SECOND).await;
            store.files.insert(Level::ZERO, name(4), file(4));
        });
        assert!(woken.iter().all(|after| *after == woken[0] && *after < SECOND / 2), "{woken:?}");
        cost.push(store.take_requests().len());
        sleep(SECOND).await;
        store.take_requests();
        sleep(10 * SECOND).await;
        assert_eq!(store.take_requests().len(), 0, "no reader waits any more");
        assert!(!replica.follower.wait_for(Txid(5), SECOND).await);
    }
    assert_eq!(cost[0], cost[1]);
}
