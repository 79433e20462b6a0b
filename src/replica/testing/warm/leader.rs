//! One follower for the processes that share a cache directory.

use super::*;
use crate::replica::folder::{FULL, Folder, folder_name};
use tokio::time::Instant;

/// Opens the replica as several processes do, with this interval.
async fn opened(replica: &SharedReplicaFiles, count: usize, interval: Duration) -> Vec<Arc<Replica>> {
    let mut replicas = Vec::new();
    for _ in 0..count {
        let opened = replica.opened().await;
        opened.follower.set_poll_interval(interval);
        replicas.push(opened);
    }
    replicas
}

/// Polls as the processes of a machine do, one task each.
fn follow(replicas: &[Arc<Replica>]) -> Vec<tokio::task::AbortHandle> {
    let tasks = replicas.iter().map(|replica| tokio::spawn(replica.follower.clone().poll_forever()));
    tasks.map(|task| task.abort_handle()).collect()
}

fn txids(replicas: &[Arc<Replica>]) -> Vec<u64> {
    replicas.iter().map(|replica| replica.head().expect("a view").txid().0).collect()
}

/// Waits until all processes read a transaction. None of them goes back meanwhile.
async fn all_reach(end: u64, replicas: &[Arc<Replica>]) {
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
}

#[tokio::test(start_paused = true)]
async fn one_of_many_processes_polls_and_all_follow() {
    let replica = SharedReplicaFiles::up_to(6);
    let replicas = opened(&replica, 10, SECOND).await;
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
    let replicas = opened(&replica, 3, SECOND).await;
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
    let replicas = opened(&replica, 3, Duration::from_millis(50)).await;
    let tasks = follow(&replicas);
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
    let replicas = opened(&replica, count, Duration::from_millis(100)).await;
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

/// The record of the leader cannot be written, which says nothing about the store.
#[tokio::test]
async fn on_a_full_disk_every_process_follows_by_itself() {
    let replica = SharedReplicaFiles::up_to(6);
    let replicas = opened(&replica, 3, Duration::from_millis(20)).await;
    let tasks = follow(&replicas);
    tokio::time::sleep(SECOND / 2).await;
    let cache = Folder::open(&replica.cache.path().join("cache"), "cache_dir").expect("a directory");
    let folder = cache.folder("litestream-vfs-1").and_then(|format| format.folder(&folder_name("warm")));
    folder.and_then(|folder| folder.create_file(FULL)).expect("a mark");
    for end in 7..=8 {
        replica.write(Level::ZERO, end, end);
        all_reach(end, &replicas).await;
        // Leaders would replace each other many times.
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let errors: Vec<_> = replicas.iter().map(|replica| replica.health.last_error()).collect();
            assert!(!replicas.iter().any(|replica| replica.health.is_failing()), "{errors:?}");
        }
    }
    tasks.iter().for_each(tokio::task::AbortHandle::abort);
}

/// Such a hole once kept a process from confirming the state that it had taken over, until its own next listing.
#[tokio::test(start_paused = true)]
async fn a_hole_that_a_process_has_seen_ends_with_the_newer_state_of_the_leader() {
    let replica = SharedReplicaFiles::up_to(6);
    let (leader, other) = (replica.opened().await, replica.opened().await);
    let mut leadership = None;
    let follows = leader.follower.follow_leader(&mut leadership).await;
    assert!(!follows.expect("no other leader") && leadership.is_some());
    replica.write(Level::ZERO, 8, 8);
    for _ in 0..2 {
        other.poll(Duration::ZERO).await.expect("a healthy store");
        tokio::time::advance(SECOND).await;
    }
    other.follower.freshen(Duration::ZERO).await.expect_err("there is a hole");
    replica.write(Level::ZERO, 7, 7);
    leader.poll(Duration::ZERO).await.expect("a healthy store");
    assert!(other.follower.follow_leader(&mut None).await.expect("a leader that polls"));
    assert_eq!(txids(&[leader, other.clone()]), [8; 2]);
    tokio::time::advance(SECOND).await;
    other.follower.freshen(Duration::ZERO).await.expect("the newest state");
}
