//! One follower for all processes that share a cache directory.
//!
//! The leader polls the store and writes the record of the newest view after each poll. The other processes read the record instead of
//! polling. If it is not written for some intervals, one of them becomes the leader. If the store cannot be reached, that happens again and
//! again: they take turns, so that a leader which alone cannot reach it does not stop the others. If no record can be written, each polls.

use crate::error::{Error, ErrorKind};
use crate::replica::cache::persistent::{CacheDirectory, FieldReader, Leadership};
use crate::replica::files::load_error::LoadError;
use crate::replica::follow::resume::{ViewRecord, load};
use crate::replica::follow::{Follower, PollOutcome};
use crate::replica::view::View;
use crate::time::Stamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A record that is older than this many intervals is that of a leader that does not poll any more, not often enough for this process, or
/// without success. A leader has as much time for its first record.
const IDLE_AFTER: u32 = 4;

/// Reads the record of the leader.
fn read(directory: &CacheDirectory) -> Option<ViewRecord> {
    ViewRecord::parse(FieldReader::open(&directory.head()?)?)
}

/// Whether a leader began within `patience`, so that it may not have written a record yet.
fn has_new_leader(directory: &CacheDirectory, patience: Duration) -> bool {
    directory.leads_for().is_some_and(|time| time <= patience)
}

impl Follower {
    /// Takes over what the leader has found. Returns false if this process must poll itself: it is the leader, or it cannot rely on the
    /// leader. Fails if the leaders have not reached the store. `leadership` is kept by the task that polls.
    pub(in crate::replica) async fn follow_leader(&self, leadership: &mut Option<Leadership>) -> Result<bool, Error> {
        let Some(directory) = self.files.loader.directory() else { return Ok(false) };
        if leadership.as_ref().is_some_and(Leadership::is_valid) {
            return Ok(false);
        }
        *leadership = directory.lead();
        // What this process found wrong or has to verify, it must read itself.
        let is_own = self.outdated.load(Ordering::Relaxed) || self.files.loader.verifies_all();
        if leadership.is_some() || is_own {
            return Ok(false);
        }
        let patience = self.poll_interval() * IDLE_AFTER;
        match read(directory) {
            Some(record) if record.age() <= patience => Ok(self.adopt(record).await),
            Some(record) if has_new_leader(directory, patience) => match record.age() <= patience * 2 {
                true => Ok(true),
                // On a full disk, no leader can say what it has found.
                false if !directory.takes_records() => Ok(false),
                false => Err(self.unconfirmed()),
            },
            _ => {
                let is_idle = || read(directory).is_none_or(|record| record.age() > patience);
                *leadership = directory.take_over(|| is_idle() && !has_new_leader(directory, patience));
                Ok(false)
            }
        }
    }

    /// Leaves a poll to the leader. If this process becomes the leader, it then goes on as if it had polled itself.
    pub(super) fn leave_turn(&self) {
        if let Ok(mut progress) = self.progress.try_lock() {
            progress.leave(self.poll_interval());
        }
    }

    /// Records that several leaders one after the other have not confirmed the newest view.
    fn unconfirmed(&self) -> Error {
        let text = "none of the processes that share the cache directory can confirm the newest state";
        let error = Error::new(ErrorKind::Unreachable, text);
        // This process may know the reason.
        if self.health.stall_reason().is_none() {
            self.health.end_poll(&Err(error.clone()));
        }
        error
    }

    /// Publishes or confirms the view of a record. Returns false if that is not possible.
    async fn adopt(&self, record: ViewRecord) -> bool {
        // A poll of this process is running, for a reader that needs the newest state.
        let Ok(mut running) = self.progress.try_lock() else { return true };
        let Some(view) = self.head.view().filter(|view| !view.is_spoiled()) else { return false };
        // A process that is ahead finds out itself whether the replica was set back.
        let Some(end) = record.end().filter(|end| *end >= view.txid()) else { return false };
        if !self.has_history_of(&record, &view) {
            return false;
        }
        let mut adopted = view.clone();
        if end > view.txid() {
            match self.extended(&view, &record).await {
                Ok(Some(next)) => {
                    adopted = Arc::new(next);
                    drop(self.head.publish(Some(&view), adopted.clone()));
                    running.moved_on();
                }
                Ok(None) | Err(_) => return false,
            }
        }
        self.adopted.store(adopted.counter(), Ordering::Relaxed);
        if let Some(at) = Stamp::of_age(record.age()) {
            self.head.confirm(at);
            self.polls.confirmed(at);
            self.health.end_poll(&Ok(PollOutcome::Newest));
            self.health.set_stalled(None);
        }
        true
    }

    /// Whether a record, which does not end before a view, is of its history: it has the file with which the view ends, or the view is that of
    /// an earlier record of this history. What this process has found itself since then can be of another one.
    fn has_history_of(&self, record: &ViewRecord, view: &View) -> bool {
        let mut lineage = self.lineage.lock();
        if view.files().chain([view.tip()]).any(|file| file.name.max >= view.txid() && record.has(file)) {
            *lineage = Some((view.epoch(), record.lineage));
            return true;
        }
        let is_adopted = self.adopted.load(Ordering::Relaxed) == view.counter();
        is_adopted && *lineage == Some((view.epoch(), record.lineage))
    }

    /// Returns a view with the recorded files that end after it. They contain every page that was written since: the record leaves out only
    /// files of which no page is left.
    async fn extended(&self, view: &View, record: &ViewRecord) -> Result<Option<View>, LoadError> {
        let Some(loader) = self.files.loader.offline() else { return Ok(None) };
        let mut newer = Vec::new();
        for file in record.files.iter().filter(|file| file.listed.name.max > view.txid()) {
            newer.push(load(&loader, file).await?);
        }
        Ok(self.views.extend(view, &newer))
    }
}
