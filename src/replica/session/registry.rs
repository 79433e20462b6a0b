//! The replicas of this process: one for each URL and credentials, shared by all connections.
//!
//! A replica is polled while it has readers. After the last reader has closed, it is idle: it sends no requests, and
//! keeps its view and its cache for [`IDLE_TIME`], because many applications open a connection for each piece of work
//! and close it again.

use crate::config::Settings;
use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::prefetch::Prefetcher;
use crate::replica::session::memory;
use crate::replica::session::usage::{CacheUsage, Readers};
use crate::replica::session::writing::FLUSH_LIMIT;
use crate::replica::write::compaction::CompactionSettings;
use crate::replica::write::journal::{Journal, JournalSettings};
use crate::replica::{CacheLimits, Replica};
use crate::runtime::{self, PerProcess};
use crate::store::{Location, LocationKey};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// How long a replica stays idle before it is removed.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// Connections with equal keys share a replica.
type ReplicaKey = (LocationKey, Option<PathBuf>);

static REPLICAS: PerProcess<Mutex<HashMap<ReplicaKey, SharedReplica>>> = PerProcess::new();

fn replicas() -> &'static Mutex<HashMap<ReplicaKey, SharedReplica>> {
    REPLICAS.get_or_init(Mutex::default)
}

/// A replica and its readers.
struct SharedReplica {
    replica: Arc<Replica>,
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
    removing: Option<AbortHandle>,
    /// Increases when a reader opens and when the replica becomes idle. An idle timer that finds another value than
    /// its own does not remove the replica.
    sequence: u64,
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

/// A reader's reference to a replica. The replica is polled while there is at least one.
#[derive(Debug)]
pub(super) struct ReplicaHandle {
    key: ReplicaKey,
    reader: u64,
    replica: Arc<Replica>,
    usage: Arc<CacheUsage>,
    prefetcher: Arc<Prefetcher>,
    was_idle: bool,
}

impl ReplicaHandle {
    /// Adds a reader to the replica at a location. Connects to the store if this process does not have the replica yet.
    pub(super) fn acquire(location: &Location, settings: &Settings) -> Result<ReplicaHandle, Error> {
        // Without room on disk, nothing can be kept there.
        let path = settings.cache_dir.clone().filter(|_| settings.disk_cache_size > 0);
        let key = (location.key().clone(), path);
        let mut replicas = replicas().lock();
        if !replicas.contains_key(&key) {
            let open = |path| CacheDirectory::open(path, location.place(), settings.disk_cache_size).map(Arc::new);
            let directory = key.1.as_deref().map(open).transpose()?;
            let (store, limits) = (location.connect()?, cache_limits(settings));
            let replica = Replica::with(store, limits, settings.poll_interval, FetchSizes::USUAL, directory);
            replicas.insert(key.clone(), SharedReplica::new(replica));
        }
        let Some(shared) = replicas.get_mut(&key) else { return Err(Error::internal("a replica vanished")) };
        let writes = settings.writes.then(|| JournalSettings::of(settings, location));
        if let Some(journal) = &writes {
            shared.use_journal(journal.as_ref())?;
        }
        let (reader, usage) = shared.add_reader(settings, writes);
        let was_idle = shared.polling.is_none();
        if was_idle {
            shared.polling = Some(runtime::spawn(shared.replica.follower.clone().poll_forever())?);
        }
        if settings.hydrates && key.1.is_some() && shared.hydrating.is_none() {
            shared.hydrating = Some(runtime::spawn(shared.replica.hydration.clone().run_forever())?);
        }
        if settings.writes
            && shared.compacting.is_none()
            && let Some(compaction) = CompactionSettings::of(settings)
        {
            shared.compacting = Some(runtime::spawn(shared.replica.writer.clone().compact_forever(compaction))?);
        }
        let (replica, prefetcher) = (shared.replica.clone(), Arc::new(Prefetcher::new()));
        Ok(ReplicaHandle { key, reader, replica, usage, prefetcher, was_idle })
    }

    /// Whether the replica had no other reader when this handle was acquired.
    pub(super) fn was_idle(&self) -> bool {
        self.was_idle
    }

    pub(super) fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    pub(super) fn prefetcher(&self) -> &Arc<Prefetcher> {
        &self.prefetcher
    }

    pub(super) fn usage(&self) -> &CacheUsage {
        &self.usage
    }

    /// The totals of all readers of the replica, including this one.
    pub(super) fn readers(&self) -> Readers {
        replicas().lock().get(&self.key).map_or_else(Readers::default, SharedReplica::totals)
    }
}

impl Drop for ReplicaHandle {
    fn drop(&mut self) {
        self.end_writing();
        let mut replicas = replicas().lock();
        let Some(shared) = replicas.get_mut(&self.key) else { return };
        shared.readers.retain(|reader| reader.id != self.reader);
        shared.closed.add(&self.usage);
        if !shared.readers.is_empty() {
            return shared.apply_settings();
        }
        for task in [shared.polling.take(), shared.hydrating.take(), shared.compacting.take()].into_iter().flatten() {
            task.abort();
        }
        shared.sequence += 1;
        let timer = remove_when_idle(self.key.clone(), shared.sequence);
        match runtime::spawn(timer) {
            Ok(timer) => shared.removing = Some(timer),
            // If the timer cannot run, the replica is removed now.
            Err(_) => drop(replicas.remove(&self.key)),
        }
    }
}

impl ReplicaHandle {
    /// Has the reader no longer count as one that writes. The last one waits until the journal is uploaded, and ends its use.
    fn end_writing(&self) {
        let was_last = replicas().lock().get_mut(&self.key).is_some_and(|shared| {
            let own = shared.readers.iter_mut().find(|reader| reader.id == self.reader);
            own.is_some_and(|own| own.writes.take().is_some()) && !shared.has_writers()
        });
        if !was_last {
            return;
        }
        let Some(journal) = self.replica.writer.journal() else { return };
        let writer = self.replica.writer.clone();
        let flush = async move { writer.flush(&journal, FLUSH_LIMIT).await };
        if let Err(error) = runtime::wait(flush, &|| false) {
            tracing::warn!("the last connection that writes is closed: {error}");
        }
        let mut replicas = replicas().lock();
        let Some(shared) = replicas.get_mut(&self.key) else { return };
        // A connection may have been opened meanwhile.
        if !shared.has_writers() {
            shared.end_journal();
        }
    }
}

impl SharedReplica {
    /// Has the readers that write use a journal, or none. Fails if there are others that use another one.
    fn use_journal(&mut self, settings: Option<&JournalSettings>) -> Result<(), Error> {
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

    fn has_writers(&self) -> bool {
        self.readers.iter().any(|reader| reader.writes.is_some())
    }

    fn end_journal(&mut self) {
        self.uploading.take().into_iter().for_each(|task| task.abort());
        self.replica.writer.set_journal(None);
    }

    fn new(replica: Replica) -> SharedReplica {
        SharedReplica {
            replica: Arc::new(replica),
            readers: Vec::new(),
            closed: Readers::default(),
            polling: None,
            hydrating: None,
            compacting: None,
            uploading: None,
            removing: None,
            sequence: 0,
        }
    }

    /// Adds a reader. Returns its id and its counters.
    fn add_reader(&mut self, settings: &Settings, writes: Option<Option<JournalSettings>>) -> (u64, Arc<CacheUsage>) {
        self.sequence += 1;
        // Thousands of connections may be opened and closed before it ends by itself.
        self.removing.take().into_iter().for_each(|timer| timer.abort());
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

    fn totals(&self) -> Readers {
        let mut totals = Readers { connections: self.readers.len(), ..self.closed };
        self.readers.iter().for_each(|reader| totals.add(&reader.usage));
        totals
    }
}

fn cache_limits(settings: &Settings) -> CacheLimits {
    CacheLimits { memory: settings.cache_size, disk: settings.disk_cache_size }
}

/// Removes a replica after [`IDLE_TIME`], unless a reader was added in the meantime.
async fn remove_when_idle(key: ReplicaKey, sequence: u64) {
    tokio::time::sleep(IDLE_TIME).await;
    let removed = {
        let mut replicas = replicas().lock();
        let is_idle = replicas.get(&key).is_some_and(|shared| shared.sequence == sequence);
        if is_idle { replicas.remove(&key) } else { None }
    };
    if removed.is_some() {
        // The pages are freed after the lock was released.
        drop(removed);
        memory::release_free().await;
    }
}
