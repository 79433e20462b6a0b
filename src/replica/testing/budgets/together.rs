//! Processes that start at the same time with one empty cache directory.

use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::testing::budgets::*;
use futures_util::future::join_all;

const PROCESSES: usize = 8;

/// Each process reads the paths to other rows. Alone, each of them fetches most of the table.
#[test]
fn processes_that_start_together_fetch_little_more_than_one() {
    let (far, mut database) = (Arc::new(Far::default()), orders());
    database.snapshot(&far);
    let paths = shuffled(&database.paths("orders"), 200 * PROCESSES);
    let lookups = |process: usize| paths.iter().skip(process).step_by(PROCESSES).flatten().copied();
    for memory in [2 * MB, LARGE] {
        with_model_clock(async {
            let cost = |processes: usize| {
                let (far, database) = (&far, &*database);
                async move {
                    let folder = tempfile::tempdir().expect("a directory");
                    let limits = CacheLimits { memory, disk: 1 << 30 };
                    let open = |process| {
                        let directory = CacheDirectory::open(&folder.path().join("cache"), "far", limits.disk);
                        let directory = Some(Arc::new(directory.expect("a cache directory")));
                        let replica =
                            Replica::with(far.clone(), limits, Duration::from_secs(1), FetchSizes::USUAL, directory);
                        async move { ModelReader::of(replica, database).await.read_all(database, lookups(process)).await }
                    };
                    let costs = join_all((0..processes).map(open)).await;
                    costs.into_iter().reduce(|all, one| Cost {
                        requests: all.requests + one.requests,
                        bytes: all.bytes + one.bytes,
                        time: all.time.max(one.time),
                    })
                }
            };
            let (one, all) = (cost(1).await.expect("a process"), cost(PROCESSES).await.expect("processes"));
            assert!(all.bytes <= one.bytes * 2 && all.requests <= one.requests * 3, "{one:?}, {all:?}");
            assert!(all.time <= one.time * 2, "{one:?}, {all:?}");
        });
    }
}
