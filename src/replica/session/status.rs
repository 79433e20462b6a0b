//! The status of a replica, for people and for monitoring.

use crate::ltx::Txid;
use crate::replica::fetch::Speculation;
use crate::replica::session::registry::Readers;
use crate::replica::{CacheLimits, Replica, View};
use crate::store::Counts;
use crate::time;
use std::time::Duration;

/// How a replica is doing.
#[derive(Clone, Debug)]
pub struct Status {
    /// Where it is, with credentials masked.
    pub replica: String,
    /// The newest transaction that is known, and when it was written, in milliseconds since 1970.
    pub head: Option<(Txid, i64)>,
    /// Time since the replica last confirmed the newest state that is served.
    pub lag: Option<Duration>,
    /// `following`, or why not.
    pub state: String,
    /// The last thing that went wrong, and when, in milliseconds since 1970.
    pub last_error: Option<(String, i64)>,
    /// What the store was asked for.
    pub counts: Counts,
    /// Bytes of pages that are kept, in memory with the level-0 files that views refer to.
    pub cached: CacheLimits,
    /// Their bounds.
    pub bounds: CacheLimits,
    /// Time between two polls.
    pub poll_interval: Duration,
    /// Who reads it now.
    pub connections: usize,
    /// Pages that readers found in the cache.
    pub cache_hits: u64,
    /// Pages that they did not.
    pub cache_misses: u64,
    /// What was fetched before it was asked for.
    pub guesses: Speculation,
}

impl Status {
    /// The current status. Does no I/O.
    pub(super) fn of(replica: &Replica, readers: Readers) -> Status {
        let head = replica.head();
        let cached = replica.fetcher.cache().held();
        Status {
            replica: replica.files.store.to_string(),
            head: head.as_ref().map(|head| (head.txid(), head.time_ms())),
            lag: replica.lag(),
            state: replica.health.state(head.is_some()),
            last_error: replica.health.last_error(),
            counts: replica.files.store.counts(),
            cached: CacheLimits { memory: cached.memory + head.map_or(0, |head| head.held()), disk: cached.disk },
            bounds: replica.head.limits(),
            poll_interval: replica.follower.poll_interval(),
            connections: readers.connections,
            cache_hits: readers.hits,
            cache_misses: readers.misses,
            guesses: replica.fetcher.guesses(),
        }
    }
}

/// Age of a view: now, less the time of its newest transaction, by the two machines' clocks.
pub fn age(view: &View) -> Duration {
    Duration::from_millis(u64::try_from(time::now_ms() - view.time_ms()).unwrap_or(0))
}
