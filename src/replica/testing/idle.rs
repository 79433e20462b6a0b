//! The cost of following an idle replica, and which changes it detects.

use crate::config::Target;
use crate::ltx::{FileName, Level, Txid};
use crate::replica::testing::flaky::{Flaky, FlakyState};
use crate::replica::testing::one_page::{file, merged, name, other};
use crate::replica::{CacheLimits, Replica};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

/// A replica that is open and followed.
struct Followed {
    store: Arc<Flaky>,
    replica: Arc<Replica>,
    follower: JoinHandle<()>,
}

impl Followed {
    /// Opens and follows a replica until its polls are regular.
    async fn new(store: Arc<Flaky>) -> Followed {
        let replica = Arc::new(Replica::new(store.clone(), CacheLimits { memory: 1 << 20, disk: 0 }, SECOND));
        replica.open(Target::Latest, 5 * SECOND, true).await.expect("a view");
        let follower = tokio::spawn(replica.follower.clone().poll_forever());
        sleep(5 * SECOND).await;
        store.take_requests();
        Followed { store, replica, follower }
    }

    async fn with_files(untagged: bool, files: u64) -> Followed {
        let store = Flaky::new(untagged);
        (1..=files).for_each(|txid| store.files.insert(Level::ZERO, name(txid), file(txid)));
        Followed::new(store).await
    }

    fn lag(&self) -> Duration {
        self.replica.lag().expect("there is a view")
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Returns the number of listings among some requests.
fn lists(requests: &[String]) -> usize {
    requests.iter().filter(|request| request.starts_with("list")).count()
}

#[tokio::test(start_paused = true)]
async fn an_idle_minute_costs_one_get_per_poll_and_two_listings_also_without_listed_versions() {
    for untagged in [false, true] {
        let followed = Followed::with_files(untagged, 3).await;
        let head = followed.replica.head().expect("a view");
        for minute in 0..4 {
            for _ in 0..60 {
                sleep(SECOND).await;
                assert!(followed.lag() < 3 * SECOND, "{:?}", followed.lag());
            }
            let requests = followed.store.take_requests();
            assert!(requests.len() <= 61, "minute {minute}: {} requests", requests.len());
            assert!(lists(&requests) <= 2, "minute {minute}: {requests:?}");
            let [next, own] = [4, 3].map(|txid| format!("read 0 {}", name(txid)));
            let expected = |request: &&String| **request == next || **request == own || *request == "list 0";
            assert_eq!(requests.iter().filter(expected).count(), requests.len(), "{requests:?}");
            assert!(requests.iter().filter(|request| **request == own).count() >= 8, "{requests:?}");
        }
        // The whole replica is listed every 300 polls, which must not publish a new view.
        sleep(120 * SECOND).await;
        assert!((10..=14).contains(&lists(&followed.store.take_requests())));
        assert!(Arc::ptr_eq(&head, &followed.replica.head().expect("a view")), "an unchanged state was published");
    }
}

/// A copy of a replica may not contain the files of level 0 from which its other files were compacted.
#[tokio::test(start_paused = true)]
async fn a_copy_without_level_0_costs_the_same() {
    for untagged in [false, true] {
        let store = Flaky::new(untagged);
        let snapshot = FileName { min: Txid(1), max: Txid(7) };
        store.files.insert(Level::SNAPSHOT, snapshot, merged(1, 7));
        let followed = Followed::new(store).await;
        sleep(60 * SECOND).await;
        let requests = followed.store.take_requests();
        assert!(lists(&requests) <= 2 && requests.len() <= 63, "{requests:?}");
        assert!(followed.lag() < 3 * SECOND, "{:?}", followed.lag());
        followed.store.files.insert(Level::ZERO, name(8), file(8));
        sleep(3 * SECOND).await;
        assert_eq!(followed.replica.head().map(|head| head.txid()), Some(Txid(8)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_deleted_confirms_nothing_until_it_is_restored() {
    for untagged in [false, true] {
        let followed = Followed::with_files(untagged, 3).await;
        followed.store.set_state(FlakyState::Empty);
        sleep(60 * SECOND).await;
        assert!(followed.lag() > 50 * SECOND, "{:?}", followed.lag());
        let error =
            followed.replica.follower.freshen(2 * SECOND).await.expect_err("the view is not confirmed").to_string();
        assert!(error.contains("the replica is empty") && error.contains("max_staleness allows 2 s"), "{error}");
        followed.store.take_requests();
        sleep(60 * SECOND).await;
        let requests = followed.store.take_requests();
        assert!(requests.len() <= 85, "{} requests in a minute", requests.len());
        followed.store.set_state(FlakyState::Healthy);
        sleep(3 * SECOND).await;
        assert!(followed.lag() < 3 * SECOND, "{:?}", followed.lag());
        assert!(followed.replica.follower.freshen(2 * SECOND).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn another_history_under_the_same_names_is_detected_within_five_polls() {
    for untagged in [false, true] {
        let followed = Followed::with_files(untagged, 3).await;
        let head = followed.replica.head().expect("a view");
        (1..=3).for_each(|txid| followed.store.files.insert(Level::ZERO, name(txid), other(txid)));
        sleep(7 * SECOND).await;
        let now = followed.replica.head().expect("a view");
        assert_ne!((now.counter(), now.epoch()), (head.counter(), head.epoch()));
        assert_eq!(now.txid(), Txid(3));
        assert!(followed.lag() < 3 * SECOND, "{:?}", followed.lag());
    }
}

/// Files may be uploaded again, with other versions and the same bytes.
#[tokio::test(start_paused = true)]
async fn a_copy_of_the_same_files_is_the_same_state() {
    for untagged in [false, true] {
        let followed = Followed::with_files(untagged, 3).await;
        let head = followed.replica.head().expect("a view");
        (1..=3).for_each(|txid| followed.store.files.insert(Level::ZERO, name(txid), file(txid)));
        sleep(60 * SECOND).await;
        let now = followed.replica.head().expect("a view");
        assert_eq!((now.counter(), now.epoch()), (head.counter(), head.epoch()));
        assert!(followed.lag() < 3 * SECOND, "{:?}", followed.lag());
        let requests = followed.store.take_requests();
        assert!(requests.len() < 90, "{} requests", requests.len());
    }
}
