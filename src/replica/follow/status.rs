//! How a replica is doing, for people and for reports.

use crate::error::Error;
use crate::lock::Mutex;
use crate::ltx::Txid;
use crate::replica::fetch::Speculation;
use crate::replica::follow::Told;
use crate::replica::session::registry::Readers;
use crate::replica::{CacheLimits, Replica, View};
use crate::store::Counts;
use crate::time;
use std::time::Duration;

/// Why a replica that answers gives no newer view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StallReason {
    /// There are no files.
    Empty,
    /// The files do not hold every page: a snapshot is missing.
    NoBase,
    /// All files lie before the view; perhaps another history begins.
    Behind,
    /// Files are missing after the view, with these transactions, and there are later ones.
    Hole(Txid, Txid),
}

impl StallReason {
    /// Whether transactions are missing.
    pub(in crate::replica) fn is_hole(self) -> bool {
        matches!(self, StallReason::Hole(..))
    }

    fn text(self) -> String {
        match self {
            StallReason::Empty => "the replica is empty; the last state is kept".to_owned(),
            StallReason::NoBase => {
                "the replica does not hold every page; the last state is kept until the next snapshot".to_owned()
            }
            StallReason::Behind => {
                "all files end before the last state; the last state is kept until that is certain".to_owned()
            }
            StallReason::Hole(first, last) => {
                let missing = if first == last {
                    format!("TXID {first} is missing, and later ones are there")
                } else {
                    format!("TXIDs {first} to {last} are missing, and later ones are there")
                };
                format!(
                    "{missing}; the state before is kept, and `litestream restore` cannot go on either until a snapshot or \
                     compaction bridges the hole"
                )
            }
        }
    }
}

/// What the follower met last.
#[derive(Default, Debug)]
pub(in crate::replica) struct Condition {
    standstill: Option<StallReason>,
    failing: bool,
    /// The newest file was not whole at the last poll.
    early: bool,
    last_error: Option<(String, i64)>,
}

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

impl Replica {
    /// How it is doing. Asks for nothing.
    pub(in crate::replica) fn status(&self, readers: Readers) -> Status {
        let head = self.head();
        let condition = self.condition.lock();
        let state = match condition.standstill {
            _ if condition.failing => "the replica cannot be read; the last state is kept".to_owned(),
            Some(standstill) => standstill.text(),
            None if head.is_none() => "waiting for a first backup".to_owned(),
            None => "following".to_owned(),
        };
        let cached = self.fetcher.cache().held();
        Status {
            replica: self.store.to_string(),
            head: head.as_ref().map(|head| (head.txid(), head.time_ms())),
            lag: self.lag(),
            state,
            last_error: condition.last_error.clone(),
            counts: self.store.counts(),
            cached: CacheLimits { memory: cached.memory + head.map_or(0, |head| head.held()), disk: cached.disk },
            bounds: self.bounds(),
            poll_interval: self.poll_interval(),
            connections: readers.connections,
            cache_hits: readers.hits,
            cache_misses: readers.misses,
            guesses: self.fetcher.speculation(),
        }
    }

    #[cfg(test)]
    pub(in crate::replica) fn last_error(&self) -> Option<(String, i64)> {
        self.condition.lock().last_error.clone()
    }

    /// Why the last state is not known to be the newest, if the replica answers.
    pub(in crate::replica) fn standstill(&self) -> Option<String> {
        let condition = self.condition.lock();
        match condition.standstill {
            Some(reason) => Some(reason.text()),
            None if condition.early => condition.last_error.as_ref().map(|(text, _)| text.clone()),
            None => None,
        }
    }

    /// Notes that a poll begins.
    pub(in crate::replica) fn note_begin(&self) {
        self.condition.lock().early = false;
    }

    /// Whether the poll met a newest file that is not whole.
    pub(in crate::replica) fn is_early(&self) -> bool {
        self.condition.lock().early
    }

    /// Notes how a poll ended.
    pub(in crate::replica) fn note(&self, polled: &Result<Told, Error>) {
        let mut condition = self.condition.lock();
        match polled {
            Err(error) => {
                condition.failing = true;
                condition.last_error = Some((error.to_string(), time::now_ms()));
            }
            Ok(Told::Newest) => condition.failing = false,
            // Where the listing failed, what works besides it is not enough.
            Ok(Told::Uncertain) => condition.failing &= condition.standstill.is_none() && !condition.early,
            Ok(Told::Ours) => {}
        }
    }

    /// Whether polls fail, or the last that could not be done without did.
    pub(in crate::replica) fn is_failing(&self) -> bool {
        self.condition.lock().failing
    }

    /// Notes something that is wrong and does not keep the replica from being read.
    pub(in crate::replica) fn note_error(&self, text: String) {
        self.condition.lock().last_error = Some((text, time::now_ms()));
    }

    /// Notes that the newest file cannot be read yet.
    pub(in crate::replica) fn note_early(&self, error: &Error) {
        tracing::debug!("{error}; it is the newest, so perhaps it is still being written");
        self.note_error(format!("{error}; as the newest it may still be written, and is waited for"));
        self.condition.lock().early = true;
    }

    /// Notes why a listing gave no newer view, or that nothing stands in the way.
    pub(in crate::replica) fn stand_still(&self, reason: Option<StallReason>) {
        let before = std::mem::replace(&mut self.condition.lock().standstill, reason);
        // A hole that grows is still the same.
        let same =
            before == reason || before.zip(reason).is_some_and(|(before, now)| before.is_hole() && now.is_hole());
        if !same {
            match reason {
                Some(reason) => tracing::warn!("{}: {}", self.store, reason.text()),
                None => tracing::warn!("{}: following again", self.store),
            }
        }
    }
}

/// The follower's condition, as the replica keeps it.
pub(in crate::replica) type SharedCondition = Mutex<Condition>;

/// Age of a view: now, less the time of its newest transaction, by the two machines' clocks.
pub fn age(view: &View) -> Duration {
    Duration::from_millis(u64::try_from(time::now_ms() - view.time_ms()).unwrap_or(0))
}
