//! A replica of this process, and what its readers want of it.

use crate::config::Settings;
use crate::error::{Error, ErrorKind};
use crate::replica::session::usage::{CacheUsage, Readers};
use crate::replica::write::compaction::CompactionSettings;
use crate::replica::write::journal::{Journal, JournalSettings};
use crate::replica::{CacheLimits, Replica};
use crate::runtime;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// A replica and its readers.
pub(super) struct SharedReplica {
    pub(super) replica: Arc<Replica>,
    readers: Vec<ReaderSettings>,
    /// The cache usage of the readers that have closed.
    closed: Readers,
    /// The task that polls. None while the replica is idle.
    polling: Option<AbortHandle>,
    /// The task that hydrates, if a reader wants that.
    hydrating: Option<AbortHandle>,
    /// The task that compacts, if a reader writes.
    compacting: Option<AbortHandle>,
    /// The task that uploads the journal, if readers write with one.
    uploading: Option<AbortHandle>,
    /// The task that removes the replica after it was idle long enough. None while it has readers.
    pub(super) removing: Option<AbortHandle>,
    /// Since when the replica is idle.
    pub(super) idle_since: Option<Instant>,
    /// Another number when a reader opens and when the replica becomes idle. An idle timer that finds another one than its own does not remove
    /// the replica.
    pub(super) sequence: u64,
}

/// Returns a number that no reader and no timer of this process has had: a replica can be removed and opened again.
fn next_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The settings of one reader. The replica uses the most demanding of all readers.
struct ReaderSettings {
    id: u64,
    poll_interval: Duration,
    cache: CacheLimits,
    verify: bool,
    /// If it writes, how the journal is used.
    writes: Option<Option<JournalSettings>>,
    usage: Arc<CacheUsage>,
}

impl SharedReplica {
    pub(super) fn new(replica: Replica) -> SharedReplica {
        SharedReplica {
            replica: Arc::new(replica),
            readers: Vec::new(),
            closed: Readers::default(),
            polling: None,
            hydrating: None,
            compacting: None,
            uploading: None,
            removing: None,
            idle_since: None,
            sequence: 0,
        }
    }

    /// Adds a reader. Returns its id and its counters.
    pub(super) fn add_reader(
        &mut self,
        settings: &Settings,
        writes: Option<Option<JournalSettings>>,
    ) -> (u64, Arc<CacheUsage>) {
        self.sequence = next_number();
        // Thousands of connections may be opened and closed before it ends by itself.
        self.removing.take().into_iter().for_each(|timer| timer.abort());
        self.idle_since = None;
        let (id, usage) = (self.sequence, Arc::new(CacheUsage::default()));
        self.readers.push(ReaderSettings {
            id,
            poll_interval: settings.poll_interval,
            cache: cache_limits(settings),
            verify: settings.verify,
            writes,
            usage: usage.clone(),
        });
        self.apply_settings();
        (id, usage)
    }

    /// Starts the tasks that a reader wants. Returns whether the replica was idle.
    pub(super) fn start_tasks(&mut self, settings: &Settings, has_directory: bool) -> Result<bool, Error> {
        let (replica, was_idle) = (&self.replica, self.polling.is_none());
        if was_idle {
            self.polling = Some(runtime::spawn(replica.follower.clone().poll_forever())?);
        }
        if settings.hydrates && has_directory && self.hydrating.is_none() {
            self.hydrating = Some(runtime::spawn(replica.hydration.clone().run_forever())?);
        }
        if settings.writes
            && self.compacting.is_none()
            && let Some(compaction) = CompactionSettings::of(settings)
        {
            self.compacting = Some(runtime::spawn(replica.writer.clone().compact_forever(compaction))?);
        }
        Ok(was_idle)
    }

    /// Has the readers that write use a journal, or none. Fails if there are others that use another one.
    pub(super) fn use_journal(&mut self, settings: Option<&JournalSettings>) -> Result<(), Error> {
        let mut others = self.readers.iter().filter_map(|reader| reader.writes.as_ref());
        match others.next() {
            Some(other) if other.as_ref() == settings => return Ok(()),
            Some(_) => {
                let text = "another connection of this process writes with another sync_interval or buffer_path";
                return Err(Error::new(ErrorKind::Config, text).remedy("use the same settings for all of them"));
            }
            // The replica is opened again.
            None => self.replica.writer.resume(),
        }
        self.end_journal();
        if let Some(settings) = settings {
            let journal = Arc::new(Journal::new(settings.clone()));
            self.uploading = Some(runtime::spawn(self.replica.writer.clone().upload_forever(journal.clone()))?);
            self.replica.writer.set_journal(Some(journal));
        }
        Ok(())
    }

    /// Has a reader no longer count as one that writes. Returns whether it was the last one.
    pub(super) fn end_writing(&mut self, id: u64) -> bool {
        let own = self.readers.iter_mut().find(|reader| reader.id == id);
        own.is_some_and(|own| own.writes.take().is_some()) && !self.has_writers()
    }

    /// Ends the use of the journal, if no reader writes.
    pub(super) fn end_unused_journal(&mut self) {
        if !self.has_writers() {
            self.end_journal();
        }
    }

    fn end_journal(&mut self) {
        self.uploading.take().into_iter().for_each(|task| task.abort());
        self.replica.writer.set_journal(None);
    }

    /// Removes a reader.
    pub(super) fn end_reading(&mut self, id: u64, usage: &CacheUsage) {
        self.readers.retain(|reader| reader.id != id);
        self.closed.add(usage);
        if self.has_readers() {
            self.apply_settings();
        }
    }

    /// Ends the tasks after the last reader has closed. Returns the number that the replica has until it is used again.
    pub(super) fn begin_idling(&mut self) -> u64 {
        let tasks = [self.polling.take(), self.hydrating.take(), self.compacting.take()];
        tasks.into_iter().flatten().for_each(|task| task.abort());
        self.idle_since = Some(Instant::now());
        self.sequence = next_number();
        self.sequence
    }

    pub(super) fn has_readers(&self) -> bool {
        !self.readers.is_empty()
    }

    fn has_writers(&self) -> bool {
        self.readers.iter().any(|reader| reader.writes.is_some())
    }

    /// Sets the shortest poll interval and the largest cache limits of all readers, and verifies if one of them does.
    fn apply_settings(&self) {
        let interval = self.readers.iter().map(|reader| reader.poll_interval).min().unwrap_or(Duration::MAX);
        self.replica.follower.set_poll_interval(interval);
        self.replica.files.loader.verify(self.readers.iter().any(|reader| reader.verify));
        if let Some(limits) = self.readers.iter().map(|reader| reader.cache).reduce(CacheLimits::max)
            && limits != self.replica.head.limits()
        {
            self.replica.head.set_limits(limits);
        }
    }

    pub(super) fn totals(&self) -> Readers {
        let mut totals = Readers { connections: self.readers.len(), ..self.closed };
        self.readers.iter().for_each(|reader| totals.add(&reader.usage));
        totals
    }
}

pub(super) fn cache_limits(settings: &Settings) -> CacheLimits {
    CacheLimits { memory: settings.cache_size, disk: settings.disk_cache_size }
}
