//! Processes that start at the same time with one empty cache directory.

use crate::progress::Progress;
use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::testing::budgets::*;
use futures_util::future::join_all;
use std::path::Path;

const PROCESSES: usize = 8;

/// Opens the replica as another process does that shares the cache directory.
async fn open(
    far: &Arc<Far>,
    database: &ModelDatabase,
    folder: &Path,
    memory: u64,
) -> (ModelReader, Arc<CacheDirectory>) {
    let limits = CacheLimits { memory, disk: 1 << 30 };
    let directory = Arc::new(CacheDirectory::open(&folder.join("cache"), "far", limits.disk).expect("a directory"));
    let (interval, shared) = (Duration::from_secs(1), Some(directory.clone()));
    let replica = Replica::with(far.clone(), limits, interval, FetchSizes::USUAL, shared);
    (ModelReader::of(replica, database).await, directory)
}

/// Each process reads the paths to other rows. Alone, each of them fetches most of the table.
#[test]
fn processes_that_start_together_fetch_little_more_than_one() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    let paths = shuffled(&database.paths("orders"), 200 * PROCESSES);
    let lookups = |process: usize| paths.iter().skip(process).step_by(PROCESSES).flatten().copied();
    for memory in [2 * MB, LARGE] {
        with_model_clock(async {
            let cost = async |processes: usize| {
                let folder = tempfile::tempdir().expect("a directory");
                let read = async |process| {
                    let (reader, _) = open(&far, &database, folder.path(), memory).await;
                    reader.read_all(&database, lookups(process)).await
                };
                let costs = join_all((0..processes).map(read)).await;
                costs.into_iter().reduce(|all, one| Cost {
                    requests: all.requests + one.requests,
                    bytes: all.bytes + one.bytes,
                    time: all.time.max(one.time),
                })
            };
            let (one, all) = (cost(1).await.expect("a process"), cost(PROCESSES).await.expect("processes"));
            assert!(all.bytes <= one.bytes * 2 && all.requests <= one.requests * 3, "{one:?}, {all:?}");
            assert!(all.time <= one.time * 2, "{one:?}, {all:?}");
        });
    }
}

/// Its announcement ends by the clock of the system, which the model clock is far ahead of. So this is also the longest wait.
#[test]
fn a_process_that_has_ended_delays_the_others_for_a_limited_time() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    with_model_clock(async {
        let folder = tempfile::tempdir().expect("a directory");
        let (ended, directory) = open(&far, &database, folder.path(), LARGE).await;
        let (other, _) = open(&far, &database, folder.path(), LARGE).await;
        let pgno = ended.view.commit() / 2;
        let file = ended.view.locate(pgno).expect("a page").file.number;
        std::mem::forget(directory.announce(file, &(0..64 * MB)).expect("announced"));
        let (progress, began) = (Progress::default(), Instant::now());
        progress.track(other.read(&database, pgno)).await;
        assert!((LATENCY..Duration::from_secs(6)).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert!(progress.count() > 1, "the wait is no silence of the store");
    });
}
