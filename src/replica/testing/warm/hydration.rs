//! Hydration of the cache directory.

use super::*;
use crate::replica::HydrationProgress;
use crate::replica::folder::{FULL, folder_name};
use std::path::PathBuf;
use tokio::task::JoinHandle;

/// Returns the folder of the replica in the cache directory.
pub(super) fn folder(replica: &SharedReplicaFiles) -> PathBuf {
    replica.cache.path().join("cache").join("litestream-vfs-1").join(folder_name("warm"))
}

/// Hydrates as a process does. Returns the task.
fn hydrate(replica: &Arc<Replica>) -> JoinHandle<()> {
    tokio::spawn(replica.hydration.clone().run_forever())
}

#[tokio::test(start_paused = true)]
async fn hydration_goes_on_where_it_was_interrupted_and_then_the_store_is_not_needed() {
    let replica = SharedReplicaFiles::up_to(8);
    let first = replica.opened().await;
    let before = first.files.store.counts().bytes;
    let task = hydrate(&first);
    while first.hydration.progress().present < 256 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    task.abort();
    let progress = first.hydration.progress();
    assert!(progress.present < progress.total && progress.total == PAGES, "{progress:?}");
    let fetched = first.files.store.counts().bytes - before;
    drop(first);

    let second = replica.opened().await;
    let before = second.files.store.counts().bytes;
    let task = hydrate(&second);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(second.hydration.progress().percent(), 100.0);
    let rest = second.files.store.counts().bytes - before;
    assert!(rest < fetched / 2, "{fetched} bytes, then {rest}");
    // A newer state is hydrated too.
    replica.write(Level::new(1).expect("a level"), 9, 12);
    second.follower.set_outdated();
    second.poll(Duration::ZERO).await.expect("a view");
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(second.hydration.progress().percent(), 100.0);
    task.abort();
    replica.store.set_state(FlakyState::Down);
    let third = replica.open();
    third.open(Target::Latest, SECOND, true).await.expect("a view");
    replica.store.take_requests();
    let requests = replica.read(&third, 12).await;
    assert!(reads(&requests).is_empty(), "{requests:?}");
}

/// Hydrates for a time, and returns the progress and the reason why it does not go on.
pub(super) async fn after(time: Duration, replica: &Arc<Replica>) -> (HydrationProgress, String) {
    let task = hydrate(replica);
    tokio::time::sleep(time).await;
    task.abort();
    (replica.hydration.progress(), replica.hydration.obstacle().unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn what_prevents_hydration_is_reported_and_nothing_is_fetched_for_it() {
    let replica = SharedReplicaFiles::up_to(8);
    let small = replica.opened().await;
    let limits = small.head.limits();
    small.head.set_limits(CacheLimits { disk: 512 * u64::from(PAGES), ..limits });
    let verifying = replica.opened().await;
    verifying.files.loader.verify(true);
    for (hindered, reason) in [(small, "set a larger disk_cache_size"), (verifying, "set verify=off")] {
        replica.store.take_requests();
        let (progress, obstacle) = after(600 * SECOND, &hindered).await;
        assert!(obstacle.contains(reason), "{obstacle}");
        assert_eq!((progress.present < PAGES, progress.percent() < 100.0), (true, true), "{progress:?}");
        assert_eq!(replica.store.take_requests(), [""; 0], "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn hydration_goes_on_when_the_store_can_be_reached_again() {
    let replica = SharedReplicaFiles::up_to(8);
    let one = replica.opened().await;
    replica.store.set_state(FlakyState::Down);
    let (progress, obstacle) = after(2 * SECOND, &one).await;
    assert_eq!((progress.is_complete, obstacle.as_str()), (false, ""), "the first failures are not reported");
    let (progress, obstacle) = after(60 * SECOND, &one).await;
    assert!(!progress.is_complete && !obstacle.is_empty(), "{progress:?} {obstacle}");
    replica.store.set_state(FlakyState::Healthy);
    let (progress, obstacle) = after(10 * SECOND, &one).await;
    assert_eq!((progress.is_complete, progress.percent(), obstacle.as_str()), (true, 100.0, ""));
}

#[tokio::test(start_paused = true)]
async fn a_state_is_complete_only_while_it_is_the_newest() {
    let replica = SharedReplicaFiles::up_to(8);
    let one = replica.opened().await;
    assert!(after(10 * SECOND, &one).await.0.is_complete);
    replica.write(Level::ZERO, 9, 9);
    one.poll(Duration::ZERO).await.expect("a view");
    assert!(one.hydration.progress().percent() < 100.0);
    assert!(after(10 * SECOND, &one).await.0.is_complete);
}

/// The pages of the files of level 0 count as kept. The compacted file, which is read in parts, has no slots yet.
#[tokio::test(start_paused = true)]
async fn a_state_whose_files_were_exchanged_is_hydrated_again() {
    let replica = SharedReplicaFiles::up_to(200);
    let one = replica.open();
    one.head.set_limits(CacheLimits { memory: 0, ..one.head.limits() });
    one.poll(Duration::ZERO).await.expect("a view");
    assert!(after(10 * SECOND, &one).await.0.is_complete);
    let before = one.head().expect("a view");
    replica.write(Level::new(1).expect("a level"), 6, 200);
    one.follower.set_outdated();
    one.poll(Duration::ZERO).await.expect("the same state");
    let now = one.head().expect("a view");
    assert_eq!((now.txid(), now.counter()), (Txid(200), before.counter()));
    assert_eq!(now.files().map(|file| file.name).collect::<Vec<_>>(), [name(1, 5), name(6, 200)]);
    let progress = one.hydration.progress();
    assert_eq!((progress.is_complete, progress.percent()), (false, 99.9));
    replica.store.take_requests();
    let (progress, obstacle) = after(10 * SECOND, &one).await;
    assert_eq!((progress.is_complete, progress.present, obstacle.as_str()), (true, PAGES, ""));
    let (requests, of_file) = (replica.store.take_requests(), format!("read 1 {}", name(6, 200)));
    assert!(!requests.is_empty() && requests.iter().all(|request| *request == of_file), "{requests:?}");
    replica.is_read_without_the_store(200).await;
}

/// The earlier state needs pages of the snapshot that the later one had replaced.
#[tokio::test(start_paused = true)]
async fn a_replica_that_was_set_back_is_hydrated_again() {
    let replica = SharedReplicaFiles::up_to(8);
    let one = replica.opened().await;
    assert!(after(10 * SECOND, &one).await.0.is_complete);
    (7..=8).for_each(|txid| replica.remove(Level::ZERO, txid, txid));
    while one.head().expect("a view").txid() > Txid(6) {
        one.follower.take_turn().await.expect("a poll");
        tokio::time::sleep(SECOND).await;
    }
    assert!(after(10 * SECOND, &one).await.0.is_complete);
    replica.is_read_without_the_store(6).await;
}

/// The directory could not be written when the newest file was read, and can be now.
#[tokio::test(start_paused = true)]
async fn what_was_not_kept_when_it_was_read_is_kept_before_a_state_is_complete() {
    for (level, end) in [(Level::ZERO, 9), (Level::new(1).expect("a level"), 12)] {
        let replica = SharedReplicaFiles::up_to(8);
        let first = replica.opened().await;
        let full = folder(&replica).join(FULL);
        std::fs::write(&full, "").expect("a file");
        replica.write(level, 9, end);
        first.follower.set_outdated();
        first.poll(Duration::ZERO).await.expect("a view");
        std::fs::remove_file(&full).expect("a file");
        assert!(!after(10 * SECOND, &first).await.0.is_complete, "nothing is written for a minute");
        tokio::time::sleep(60 * SECOND).await;
        first.poll(Duration::ZERO).await.expect("the same view");
        assert!(after(10 * SECOND, &first).await.0.is_complete);
        replica.is_read_without_the_store(end).await;
    }
}

/// A process that knows an index reads less of it than a new one.
#[tokio::test(start_paused = true)]
async fn headers_and_indexes_that_vanished_are_read_again_as_a_new_process_reads_them() {
    let in_parts = FetchSizes { partial_index: 1000, index_block: 256, index_sample: 500, ..SMALL };
    for sizes in [SMALL, in_parts, FetchSizes { index: 1000, ..SMALL }] {
        let replica = SharedReplicaFiles { sizes, ..SharedReplicaFiles::up_to(8) };
        let first = replica.opened().await;
        for entry in std::fs::read_dir(folder(&replica)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.to_string_lossy().contains(".r-") {
                std::fs::remove_file(path).expect("a file");
            }
        }
        assert!(after(10 * SECOND, &first).await.0.is_complete);
        replica.is_read_without_the_store(8).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_process_evicts_is_hydrated_again() {
    let replica = SharedReplicaFiles::up_to(8);
    let one = replica.opened().await;
    let task = hydrate(&one);
    tokio::time::sleep(10 * SECOND).await;
    assert!(one.hydration.progress().is_complete);
    replica.directory().evict(1);
    let mut least = PAGES;
    for _ in 0..10_000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        least = least.min(one.hydration.progress().present);
    }
    assert!(least < PAGES / 2, "{least} pages");
    assert!(one.hydration.progress().is_complete);
    task.abort();
    replica.is_read_without_the_store(8).await;
}

/// A pause for each newer state would limit a primary that commits every second to one batch of pages a second.
#[tokio::test(start_paused = true)]
async fn newer_states_do_not_delay_hydration() {
    let replica = SharedReplicaFiles::up_to(8);
    let one = replica.opened().await;
    let task = hydrate(&one);
    let started = tokio::time::Instant::now();
    for end in 9.. {
        if one.hydration.progress().present >= PAGES - 5 {
            break;
        }
        replica.write(Level::ZERO, end, end);
        one.poll(Duration::ZERO).await.expect("a view");
    }
    assert!(started.elapsed() < SECOND, "{:?}", started.elapsed());
    task.abort();
}
