//! Many queries into an outage.

use crate::replica::prefetch::Prefetcher;
use crate::replica::testing::faults::fault::Fault;
use crate::replica::testing::faults::operations::{FaultWorld, Operation, SECOND};
use crate::replica::testing::faults::sample::{NEWEST, SAMPLE};
use crate::replica::testing::faults::store::FaultPlan;
use futures_util::future::join_all;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const LENGTH: Duration = Duration::from_secs(60);
const READERS: u32 = 40;

/// Each reader tries again at once, or after a short pause.
#[test]
fn a_thousand_queries_into_an_outage_make_a_handful_of_requests_a_second() {
    LazyLock::force(&SAMPLE);
    for fault in [Fault::Refused, Fault::Reset, Fault::Hang, Fault::Status403, Fault::Status503, Fault::SignIn] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let world = FaultWorld::new(Operation::Lookup, false).await;
            let view = world.replica.head().expect("a view");
            world.store.set_plan(Some(FaultPlan { fault, first: 1, lasts: true }));
            let started = Instant::now();
            let readers = join_all((0..READERS).map(async |reader| {
                let mut queries = 0;
                while started.elapsed() < LENGTH {
                    let pgno = 2 + (reader * 7 + queries * 13) % (view.commit() - 1);
                    let read = world.replica.page(&view, pgno, &Prefetcher::new()).await;
                    queries += u32::from(read.is_err());
                    sleep(SECOND / 10).await;
                }
                queries
            }));
            let queries: u32 = readers.await.into_iter().sum();
            let requests = world.store.set_plan(None);
            println!("{fault:?}: {queries} queries, {requests} requests in {:?}", started.elapsed());
            assert!(queries >= 100, "{fault:?}: {queries} queries failed");
            // In the first moments there is one for each permit.
            assert!(requests <= 40 + LENGTH.as_secs(), "{fault:?}: {requests} requests for {queries} queries");
            sleep(12 * SECOND).await;
            world.check(NEWEST).await;
        });
    }
}
