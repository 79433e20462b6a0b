//! Whether a replica can be followed, and why not.

use crate::error::Error;
use crate::lock::Mutex;
use crate::ltx::Txid;
use crate::replica::follow::PollOutcome;
use crate::store::Counting;
use crate::time;
use std::sync::Arc;

/// Why there is no newer view although the replica can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StallReason {
    /// There are no files.
    Empty,
    /// The files do not hold every page: a snapshot is missing.
    NoBase,
    /// All files end before the view. Another history may have begun.
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
                "the replica does not contain every page; the last state is kept until the next snapshot".to_owned()
            }
            StallReason::Behind => {
                "all files end before the last state; the last state is kept until this is confirmed".to_owned()
            }
            StallReason::Hole(first, last) => {
                let missing = if first == last {
                    format!("TXID {first} is missing, and later ones are there")
                } else {
                    format!("TXIDs {first} to {last} are missing, and later ones are there")
                };
                format!(
                    "{missing}; the last state before the hole is kept, and `litestream restore` fails too, until a \
                     snapshot or a compaction covers the hole"
                )
            }
        }
    }
}

/// The outcome of the last polls.
pub(in crate::replica) struct Health {
    store: Arc<Counting>,
    condition: Mutex<Condition>,
}

#[derive(Default, Debug)]
struct Condition {
    stalled: Option<StallReason>,
    failing: bool,
    /// The replica has not been reached since the process started.
    unreached: bool,
    /// The newest file was incomplete at the last poll.
    incomplete: bool,
    last_error: Option<(String, i64)>,
}

impl Health {
    pub(in crate::replica) fn new(store: Arc<Counting>) -> Health {
        Health { store, condition: Mutex::default() }
    }

    /// The state in words: `following`, or why not. `has_view` if there is a view.
    pub(in crate::replica) fn state(&self, has_view: bool) -> String {
        let condition = self.condition.lock();
        match condition.stalled {
            _ if condition.unreached => {
                "the replica cannot be reached; the state in the cache directory is served".to_owned()
            }
            _ if condition.failing => "the replica cannot be read; the last state is kept".to_owned(),
            Some(reason) => reason.text(),
            None if !has_view => "waiting for a first backup".to_owned(),
            None => "following".to_owned(),
        }
    }

    /// The last error, and when it happened, in milliseconds since 1970.
    pub(in crate::replica) fn last_error(&self) -> Option<(String, i64)> {
        self.condition.lock().last_error.clone()
    }

    /// Why the last state may not be the newest although the replica can be read.
    pub(in crate::replica) fn stall_reason(&self) -> Option<String> {
        let condition = self.condition.lock();
        match condition.stalled {
            Some(reason) => Some(reason.text()),
            None if condition.incomplete => condition.last_error.as_ref().map(|(text, _)| text.clone()),
            None => None,
        }
    }

    /// Records that a poll begins.
    pub(super) fn begin_poll(&self) {
        self.condition.lock().incomplete = false;
    }

    /// Records that the state is served without a poll that has succeeded.
    pub(super) fn set_unreached(&self) {
        self.condition.lock().unreached = true;
    }

    /// Whether the poll found that the newest file is incomplete.
    pub(super) fn is_incomplete(&self) -> bool {
        self.condition.lock().incomplete
    }

    /// Records how a poll ended.
    pub(super) fn end_poll(&self, polled: &Result<PollOutcome, Error>) {
        let mut condition = self.condition.lock();
        condition.unreached &= polled.is_err();
        match polled {
            Err(error) => {
                condition.failing = true;
                condition.last_error = Some((error.to_string(), time::now_ms()));
            }
            Ok(PollOutcome::Newest) => condition.failing = false,
            // If the listing failed, a request that works is not enough.
            Ok(PollOutcome::Uncertain) => condition.failing &= condition.stalled.is_none() && !condition.incomplete,
            Ok(PollOutcome::SameHistory) => {}
        }
    }

    /// Whether the last poll failed, or the last one that had to find newer files did.
    pub(in crate::replica) fn is_failing(&self) -> bool {
        self.condition.lock().failing
    }

    /// Records an error that does not prevent reading the replica.
    pub(in crate::replica) fn record_error(&self, text: String) {
        self.condition.lock().last_error = Some((text, time::now_ms()));
    }

    /// Records that the newest file cannot be read yet.
    pub(super) fn record_incomplete(&self, error: &Error) {
        tracing::debug!("{error}; it is the newest file, so it may still be in the middle of an upload");
        self.record_error(format!(
            "{error}; the newest file may still be in the middle of an upload, and is waited for"
        ));
        self.condition.lock().incomplete = true;
    }

    /// Records why there is no newer view after a listing; None if there is, or if the view is the newest.
    pub(super) fn set_stalled(&self, reason: Option<StallReason>) {
        let before = std::mem::replace(&mut self.condition.lock().stalled, reason);
        // A hole that grows is the same hole.
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
