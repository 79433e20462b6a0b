//! How a replica is doing, for people and for reports.

use super::fetch::Guesses;
use super::registry::Readers;
use super::{Bounds, Replica, View};
use crate::error::Error;
use crate::lock::Mutex;
use crate::ltx::Txid;
use crate::store::Counts;
use crate::time;
use std::time::Duration;

/// Why a replica that answers gives no newer view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standstill {
    /// There are no files.
    Empty,
    /// The files do not hold every page: a snapshot is missing.
    NoBase,
    /// All files lie before the view; perhaps another history begins.
    Behind,
}

impl Standstill {
    fn text(self) -> &'static str {
        match self {
            Standstill::Empty => "the replica is empty; the last state is kept",
            Standstill::NoBase => {
                "the replica does not hold every page; the last state is kept until the next snapshot"
            }
            Standstill::Behind => "all files lie before the last state, which is kept until that is certain",
        }
    }
}

/// What the follower met last.
#[derive(Default, Debug)]
pub(super) struct Condition {
    standstill: Option<Standstill>,
    failing: bool,
    last_error: Option<(String, i64)>,
}

/// How a replica is doing.
#[derive(Clone, Debug)]
pub struct Status {
    /// Where it is, with credentials masked.
    pub replica: String,
    /// The newest transaction that is known, and when it was written, in milliseconds since 1970.
    pub head: Option<(Txid, i64)>,
    /// Time since the replica last answered.
    pub lag: Option<Duration>,
    /// `following`, or why not.
    pub state: &'static str,
    /// The last thing that went wrong, and when, in milliseconds since 1970.
    pub last_error: Option<(String, i64)>,
    /// What the store was asked for.
    pub counts: Counts,
    /// Bytes of pages that are kept, in memory with the level-0 files that views refer to.
    pub cached: Bounds,
    /// Their bounds.
    pub bounds: Bounds,
    /// Time between two polls.
    pub poll_interval: Duration,
    /// Who reads it now.
    pub connections: usize,
    /// Pages that readers found in the cache.
    pub cache_hits: u64,
    /// Pages that they did not.
    pub cache_misses: u64,
    /// What was fetched before it was asked for.
    pub guesses: Guesses,
}

impl Replica {
    /// How it is doing. Asks for nothing.
    pub(super) fn status(&self, readers: Readers) -> Status {
        let head = self.head();
        let condition = self.condition.lock();
        let state = match condition.standstill {
            _ if condition.failing => "the replica cannot be read; the last state is kept",
            Some(standstill) => standstill.text(),
            None if head.is_none() => "waiting for a first backup",
            None => "following",
        };
        let cached = self.fetcher.cache().held();
        Status {
            replica: self.store.to_string(),
            head: head.as_ref().map(|head| (head.txid(), head.time_ms())),
            lag: self.lag(),
            state,
            last_error: condition.last_error.clone(),
            counts: self.store.counts(),
            cached: Bounds { memory: cached.memory + head.map_or(0, |head| head.held()), disk: cached.disk },
            bounds: self.bounds(),
            poll_interval: self.poll_interval(),
            connections: readers.connections,
            cache_hits: readers.hits,
            cache_misses: readers.misses,
            guesses: self.fetcher.guesses(),
        }
    }

    #[cfg(test)]
    pub(super) fn last_error(&self) -> Option<(String, i64)> {
        self.condition.lock().last_error.clone()
    }

    /// Notes how a poll ended.
    pub(super) fn note(&self, polled: &Result<(), Error>) {
        let mut condition = self.condition.lock();
        condition.failing = polled.is_err();
        if let Err(error) = polled {
            condition.last_error = Some((error.to_string(), time::now_ms()));
        }
    }

    /// Notes something that is wrong and does not keep the replica from being read.
    pub(super) fn note_error(&self, text: String) {
        self.condition.lock().last_error = Some((text, time::now_ms()));
    }

    /// Notes that the newest file cannot be read yet.
    pub(super) fn note_early(&self, error: &Error) {
        tracing::debug!("{error}; it is the newest, so perhaps it is still being written");
        self.note_error(format!("{error}; as the newest it may still be written, and is waited for"));
    }

    /// Notes why a listing gave no newer view, or that nothing stands in the way.
    pub(super) fn stand_still(&self, reason: Option<Standstill>) {
        let before = std::mem::replace(&mut self.condition.lock().standstill, reason);
        if before != reason {
            match reason {
                Some(reason) => tracing::warn!("{}: {}", self.store, reason.text()),
                None => tracing::warn!("{}: following again", self.store),
            }
        }
    }
}

/// The follower's condition, as the replica keeps it.
pub(super) type SharedCondition = Mutex<Condition>;

/// Age of a view: now, less the time of its newest transaction, by the two machines' clocks.
pub fn age(view: &View) -> Duration {
    Duration::from_millis(u64::try_from(time::now_ms() - view.time_ms()).unwrap_or(0))
}
