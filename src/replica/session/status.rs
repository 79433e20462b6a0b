//! The status of a replica, for users and for monitoring.

use crate::ltx::Txid;
use crate::replica::fetch::Speculation;
use crate::replica::session::usage::ReaderTotals;
use crate::replica::{CacheLimits, Replica, View, WriterStatus};
use crate::store::Counts;
use crate::time;
use std::time::Duration;

/// The status of a replica.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its URL, with credentials masked.
    pub replica: String,
    /// The newest known transaction, and when it was written, in milliseconds since 1970.
    pub head: Option<(Txid, i64)>,
    /// Time since the replica last confirmed the newest view.
    pub lag: Option<Duration>,
    /// `following`, or why not.
    pub state: String,
    /// The last error, and when it happened, in milliseconds since 1970.
    pub last_error: Option<(String, i64)>,
    /// The requests to the store.
    pub counts: Counts,
    /// Bytes of pages in the cache. Memory includes the level 0 files that the newest view keeps there.
    pub cached: CacheLimits,
    /// The limits of the cache.
    pub limits: CacheLimits,
    /// Time between two polls.
    pub poll_interval: Duration,
    /// Open connections to the replica.
    pub connections: usize,
    /// Pages that readers found in the cache.
    pub cache_hits: u64,
    /// Pages that readers did not find in the cache.
    pub cache_misses: u64,
    /// Bytes that were prefetched.
    pub speculation: Speculation,
    /// What this process has done as a writer.
    pub writer: WriterStatus,
}

impl Status {
    /// Returns the current status. Does no I/O.
    pub(super) fn of(replica: &Replica, readers: ReaderTotals) -> Status {
        let head = replica.head.view();
        Status {
            replica: replica.files.store.to_string(),
            head: head.as_ref().map(|head| (head.txid(), head.time_ms())),
            lag: replica.lag(),
            state: replica.health.state(head.is_some()),
            last_error: replica.health.last_error(),
            counts: replica.files.store.counts(),
            cached: replica.head.held(),
            limits: replica.head.limits(),
            poll_interval: replica.follower.poll_interval(),
            connections: readers.connections,
            cache_hits: readers.hits,
            cache_misses: readers.misses,
            speculation: replica.fetcher.speculation(),
            writer: replica.writer.status(),
        }
    }
}

/// Returns the age of a view: the current time by the clock of this machine, minus the time of the view's newest
/// transaction by the clock of the primary. Returns 0 if that time is in the future.
pub fn age(view: &View) -> Duration {
    Duration::from_millis(u64::try_from(time::now_ms().saturating_sub(view.time_ms())).unwrap_or(0))
}
