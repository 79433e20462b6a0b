//! One follower for the processes that share a cache directory.

use super::*;
use tokio::time::Instant;

/// Polls as the processes of a machine do, one task each.
fn follow(replicas: &[Arc<Replica>]) -> Vec<tokio::task::AbortHandle> {
    let tasks = replicas.iter().map(|replica| tokio::spawn(replica.follower.clone().poll_forever()));
    tasks.map(|task| task.abort_handle()).collect()
}

fn txids(replicas: &[Arc<Replica>]) -> Vec<u64> {
    replicas.iter().map(|replica| replica.head().expect("a view").txid().0).collect()
}

#[tokio::test(start_paused = true)]
async fn one_of_many_processes_polls_and_all_follow() {
    let replica = SharedReplicaFiles::up_to(6);
    let mut replicas = Vec::new();
    for _ in 0..10 {
        replicas.push(replica.opened().await);
    }
    follow(&replicas);
    tokio::time::sleep(10 * SECOND).await;
    replica.store.take_requests();
    tokio::time::sleep(60 * SECOND).await;
    let requests = replica.store.take_requests().len();
    assert!((50..80).contains(&requests), "{requests} requests in a minute");
    assert!(replicas.iter().all(|replica| replica.lag() < Some(5 * SECOND)));
    for end in 7..=9 {
        replica.write(Level::ZERO, end, end);
        tokio::time::sleep(4 * SECOND).await;
        assert_eq!(txids(&replicas), [end; 10]);
        replica.store.take_requests();
        for one in &replicas {
            replica.read(one, end).await;
        }
    }
}

/// Somebody deletes the newest states, and later another history goes on from there.
#[tokio::test(start_paused = true)]
async fn every_process_notices_that_the_replica_was_set_back() {
    let mut replica = SharedReplicaFiles::up_to(8);
    let replicas = [replica.opened().await, replica.opened().await, replica.opened().await];
    follow(&replicas);
    tokio::time::sleep(10 * SECOND).await;
    (7..=8).for_each(|txid| replica.remove(Level::ZERO, txid, txid));
    tokio::time::sleep(120 * SECOND).await;
    assert_eq!(txids(&replicas), [6; 3]);
    replica.history = 1;
    for end in 7..=9 {
        replica.write(Level::ZERO, end, end);
        tokio::time::sleep(4 * SECOND).await;
    }
    assert_eq!(txids(&replicas), [9; 3]);
    for one in &replicas {
        let view = one.head().expect("a view");
        for pgno in 1..=PAGES {
            let writer = writer(pgno, 9);
            let page = one.page(&view, pgno, &Prefetcher::new()).await.expect("a page").expect("a page of the view");
            assert_eq!(*page, content(pgno, writer, u8::from(writer >= 7)), "page {pgno}");
        }
    }
}

#[tokio::test]
async fn another_process_takes_over_if_the_leader_ends_or_hangs() {
    let replica = SharedReplicaFiles::up_to(6);
    let mut replicas = Vec::new();
    for _ in 0..3 {
        let opened = replica.opened().await;
        opened.follower.set_poll_interval(Duration::from_millis(50));
        replicas.push(opened);
    }
    let tasks = follow(&replicas);
    let all_reach = async |end: u64, replicas: &[Arc<Replica>]| {
        let reached = async {
            let mut before = txids(replicas);
            while txids(replicas).iter().any(|txid| *txid < end) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let now = txids(replicas);
                assert!(before.iter().zip(&now).all(|(before, now)| before <= now), "{before:?}, then {now:?}");
                before = now;
            }
        };
        tokio::time::timeout(60 * SECOND, reached).await.unwrap_or_else(|_| panic!("{:?}", txids(replicas)));
    };
    replica.write(Level::ZERO, 7, 7);
    all_reach(7, &replicas).await;
    // The leader ends: the system releases its lock.
    tasks[0].abort();
    replica.write(Level::ZERO, 8, 8);
    all_reach(8, &replicas[1..]).await;
    // A process that hangs has the lock and does not poll.
    let hanging = CacheDirectory::open(&replica.cache.path().join("cache"), "warm", 1 << 30).expect("a directory");
    let held = hanging.take_over(|| true).expect("the leadership");
    replica.write(Level::ZERO, 9, 9);
    all_reach(9, &replicas[1..]).await;
    let replaced = async {
        while held.is_valid() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(60 * SECOND, replaced).await.expect("another process takes over");
}

/// Returns how many requests processes that share a directory send while every request fails, and whether all of them report that.
async fn requests_in_an_outage(count: usize) -> (usize, bool) {
    let replica = SharedReplicaFiles::up_to(6);
    let mut replicas = Vec::new();
    for _ in 0..count {
        let opened = replica.opened().await;
        opened.follower.set_poll_interval(Duration::from_millis(100));
        replicas.push(opened);
    }
    let tasks = follow(&replicas);
    tokio::time::sleep(SECOND).await;
    replica.store.set_state(FlakyState::Down);
    // The leader, and those that take its place, have failed.
    tokio::time::sleep(SECOND).await;
    replica.store.take_requests();
    tokio::time::sleep(4 * SECOND).await;
    let requests = replica.store.take_requests().len();
    let all_report = replicas.iter().all(|replica| replica.health.is_failing());
    replica.store.set_state(FlakyState::Healthy);
    let deadline = Instant::now() + 60 * SECOND;
    while replicas.iter().any(|replica| replica.health.is_failing()) {
        assert!(Instant::now() < deadline, "all follow again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tasks.iter().for_each(tokio::task::AbortHandle::abort);
    (requests, all_report)
}

#[tokio::test]
async fn in_an_outage_the_processes_of_a_machine_take_turns() {
    let ((alone, _), (together, all_report)) = tokio::join!(requests_in_an_outage(1), requests_in_an_outage(20));
    assert!(alone > 0 && all_report, "{alone} requests");
    assert!(together <= alone * 4, "{together} requests of twenty processes, {alone} of one");
}
