//! The readers of a shared replica, and the tasks that run for them.

use crate::config::Settings;
use crate::error::{Error, ErrorKind};
use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::session::idle::{Held, Idle};
use crate::replica::session::usage::{CacheUsage, ReaderTotals};
use crate::replica::write::compaction::CompactionSettings;
use crate::replica::write::journal::JournalSettings;
use crate::replica::{CacheLimits, Replica};
use crate::runtime;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// The readers of a replica.
#[derive(Default)]
pub(super) struct Readers {
    open: Vec<Reader>,
    /// The cache usage of the readers that have closed.
    closed: ReaderTotals,
    /// The task that polls. None while the replica is idle.
    polling: Option<AbortHandle>,
    /// The task that hydrates, if a reader wants that.
    hydrating: Option<AbortHandle>,
    /// The task that compacts, if a reader writes.
    compacting: Option<AbortHandle>,
    /// None while there are readers.
    idle: Option<Idle>,
    /// The cache directory, if a reader has connected that wants one.
    directory: Option<Arc<CacheDirectory>>,
}

/// A reader, and its settings. The replica uses the most demanding of all readers.
struct Reader {
    id: u64,
    poll_interval: Duration,
    cache: CacheLimits,
    verify: bool,
    /// If it writes, how the journal is used.
    writes: Option<Option<JournalSettings>>,
    /// Whether it closes, so that it does not begin to write any more.
    is_closing: bool,
    usage: Arc<CacheUsage>,
}

/// Returns a number that no reader and no timer of this process has had: a replica can be removed and opened again.
fn next_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Readers {
    /// Adds a reader, which does not write yet. Returns its id and its counters.
    pub(super) fn add(&mut self, settings: &Settings) -> (u64, Arc<CacheUsage>) {
        // Thousands of connections may be opened and closed before the timer ends by itself.
        self.stop_idle_timer();
        self.idle = None;
        let (id, usage) = (next_number(), Arc::new(CacheUsage::default()));
        self.open.push(Reader {
            id,
            poll_interval: settings.poll_interval,
            cache: cache_limits(settings),
            verify: settings.verify,
            writes: None,
            is_closing: false,
            usage: usage.clone(),
        });
        (id, usage)
    }

    /// Removes a reader.
    pub(super) fn remove(&mut self, id: u64, usage: &CacheUsage) {
        self.open.retain(|reader| reader.id != id);
        self.closed.add(usage);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Has a reader write with a journal, or without one, as others do. Returns whether there are others. Fails if they use another journal.
    pub(super) fn join_writers(&mut self, id: u64, journal: Option<&JournalSettings>) -> Result<bool, Error> {
        match self.open.iter().find_map(|reader| reader.writes.as_ref()) {
            None => Ok(false),
            Some(others) if others.as_ref() == journal => {
                self.set_writes(id, journal);
                Ok(true)
            }
            Some(_) => {
                let text = "another connection of this process writes with another sync_interval or buffer_path";
                Err(Error::new(ErrorKind::Config, text).remedy("use the same settings for all of them"))
            }
        }
    }

    /// Has a reader write. Does nothing if it closes or has closed.
    pub(super) fn set_writes(&mut self, id: u64, journal: Option<&JournalSettings>) {
        let own = self.open.iter_mut().find(|reader| reader.id == id && !reader.is_closing);
        own.into_iter().for_each(|own| own.writes = Some(journal.cloned()));
    }

    /// Has a reader that closes no longer count as one that writes. Returns whether it was the last one.
    pub(super) fn end_writing(&mut self, id: u64) -> bool {
        let Some(own) = self.open.iter_mut().find(|reader| reader.id == id) else { return false };
        own.is_closing = true;
        own.writes.take().is_some() && !self.have_writers()
    }

    pub(super) fn have_writers(&self) -> bool {
        self.open.iter().any(|reader| reader.writes.is_some())
    }

    /// Starts the tasks that a reader wants. Returns whether the replica was idle.
    pub(super) fn start_tasks(&mut self, replica: &Replica, settings: &Settings) -> Result<bool, Error> {
        self.directory = replica.fetcher.cache().directory().cloned();
        let was_idle = self.polling.is_none();
        if was_idle {
            self.polling = Some(runtime::spawn(replica.follower.clone().poll_forever())?);
        }
        if settings.hydrates && settings.cache_directory().is_some() && self.hydrating.is_none() {
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

    /// Ends the tasks after the last reader has closed. The replica keeps what it holds. Returns the number that identifies the idle time.
    pub(super) fn begin_idling(&mut self, held: Held) -> u64 {
        let tasks = [self.polling.take(), self.hydrating.take(), self.compacting.take()];
        tasks.into_iter().flatten().for_each(|task| task.abort());
        let number = next_number();
        self.idle = Some(Idle { number, since: Instant::now(), held, timer: None });
        number
    }

    /// Returns the cache directory. None without one, or if no reader has connected.
    pub(super) fn directory(&self) -> Option<Arc<CacheDirectory>> {
        self.directory.clone()
    }

    /// Sets the task that removes the replica.
    pub(super) fn set_idle_timer(&mut self, timer: AbortHandle) {
        if let Some(idle) = &mut self.idle {
            idle.timer = Some(timer);
        }
    }

    /// Ends the task that removes the replica.
    pub(super) fn stop_idle_timer(&self) {
        self.idle.iter().filter_map(|idle| idle.timer.as_ref()).for_each(AbortHandle::abort);
    }

    /// Whether the replica is in the idle time with this number.
    pub(super) fn are_idle(&self, number: u64) -> bool {
        self.idle.as_ref().is_some_and(|idle| idle.number == number)
    }

    /// Since when the replica is idle, and what it keeps. None while there are readers.
    pub(super) fn keep(&self) -> Option<(Instant, Held)> {
        self.idle.as_ref().map(|idle| (idle.since, idle.held))
    }

    /// Has a replica use the shortest poll interval and the largest cache limits of all readers, and verify if one of them does.
    pub(super) fn apply_settings(&self, replica: &Replica) {
        let Some(interval) = self.open.iter().map(|reader| reader.poll_interval).min() else { return };
        replica.follower.set_poll_interval(interval);
        replica.files.loader.verify(self.open.iter().any(|reader| reader.verify));
        if let Some(limits) = self.open.iter().map(|reader| reader.cache).reduce(CacheLimits::max)
            && limits != replica.head.limits()
        {
            replica.head.set_limits(limits);
        }
    }

    pub(super) fn totals(&self) -> ReaderTotals {
        let mut totals = ReaderTotals { connections: self.open.len(), ..self.closed };
        self.open.iter().for_each(|reader| totals.add(&reader.usage));
        totals
    }
}

pub(super) fn cache_limits(settings: &Settings) -> CacheLimits {
    CacheLimits { memory: settings.cache_size, disk: settings.disk_cache_size }
}
