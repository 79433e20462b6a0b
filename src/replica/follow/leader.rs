//! One follower for all processes that share a cache directory.
//!
//! The leader polls the store and writes the record of the newest view after each poll. The other processes read the record instead of
//! polling. If it is not written for some intervals, one of them becomes the leader, and until then each polls for itself.

use crate::replica::cache::persistent::{FieldReader, Leadership};
use crate::replica::files::loader::LoadError;
use crate::replica::follow::resume::{ViewRecord, load};
use crate::replica::follow::{Follower, PollOutcome};
use crate::replica::view::View;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// A record that is older than this many intervals is that of a leader that does not poll any more, or not often enough for this process.
const IDLE_AFTER: u32 = 4;

impl Follower {
    /// Takes over what the leader has found. Returns false if this process must poll itself: it is the leader, or it cannot rely on the
    /// leader. `leadership` is kept by the task that polls.
    pub(super) async fn follow_leader(&self, leadership: &mut Option<Leadership>) -> bool {
        let Some(directory) = self.files.loader.directory() else { return false };
        if leadership.as_ref().is_some_and(Leadership::is_valid) {
            return false;
        }
        *leadership = directory.lead();
        if leadership.is_some() {
            return false;
        }
        let read = || ViewRecord::parse(FieldReader::open(&directory.head()?)?);
        let patience = self.poll_interval() * IDLE_AFTER;
        let is_idle = |record: &Option<ViewRecord>| record.as_ref().is_none_or(|record| record.age() > patience);
        let record = read();
        if is_idle(&record) {
            *leadership = directory.take_over(|| is_idle(&read()));
            return false;
        }
        match record {
            Some(record) => self.adopt(record).await,
            None => false,
        }
    }

    /// Publishes or confirms the view of a record. Returns false if that is not possible.
    async fn adopt(&self, record: ViewRecord) -> bool {
        // A poll of this process is running, for a reader that needs the newest state.
        let Ok(_running) = self.progress.try_lock() else { return true };
        // What this process found wrong or has to verify, it must read itself.
        let is_own = self.outdated.load(Ordering::Relaxed) || self.files.loader.verifies_all();
        let Some(view) = self.head.view().filter(|view| !is_own && !view.is_spoiled()) else { return false };
        let Some(end) = record.end().filter(|_| self.has_history_of(&record, &view)) else { return false };
        if end > view.txid() {
            match self.extended(&view, &record).await {
                Ok(Some(next)) => drop(self.head.publish(Some(&view), next)),
                Ok(None) | Err(_) => return false,
            }
        }
        if end >= view.txid()
            && let Some(at) = Instant::now().checked_sub(record.age())
        {
            self.head.confirm(at);
            self.polls.confirmed(at);
            self.health.end_poll(&Ok(PollOutcome::Newest));
            self.health.set_stalled(None);
        }
        true
    }

    /// Whether a record is of the history that a view is part of: it was before, or the older of the two ends with a file of the other.
    fn has_history_of(&self, record: &ViewRecord, view: &View) -> bool {
        let mut lineage = self.lineage.lock();
        let common = record.end().min(Some(view.txid()));
        if view.files().chain([view.tip()]).any(|file| Some(file.name.max) >= common && record.has(file)) {
            *lineage = Some((view.epoch(), record.lineage));
        }
        *lineage == Some((view.epoch(), record.lineage))
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
