//! The replicas of this process: one for each URL and credentials, shared by all connections.
//!
//! A replica is polled while it has readers. After the last reader has closed, it is idle: it sends no requests, and
//! keeps its view and its cache for [`IDLE_TIME`], because many applications open a connection for each piece of work
//! and close it again. At most [`MOST_IDLE`] replicas are kept so.

use crate::config::Settings;
use crate::error::Error;
use crate::lock::Mutex;
use crate::replica::Replica;
use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::prefetch::Prefetcher;
use crate::replica::session::memory;
use crate::replica::session::shared::{SharedReplica, cache_limits};
use crate::replica::session::usage::{CacheUsage, Readers};
use crate::replica::session::writing::FLUSH_LIMIT;
use crate::replica::write::journal::JournalSettings;
use crate::runtime::{self, PerProcess};
use crate::store::{Location, LocationKey};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a replica stays idle before it is removed.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// The maximum number of idle replicas. With more, those are removed that have been idle for longest.
const MOST_IDLE: usize = 1000;

/// Connections with equal keys share a replica.
type ReplicaKey = (LocationKey, Option<PathBuf>);

type Replicas = HashMap<ReplicaKey, SharedReplica>;

static REPLICAS: PerProcess<Mutex<Replicas>> = PerProcess::new();

fn replicas() -> &'static Mutex<Replicas> {
    REPLICAS.get_or_init(Mutex::default)
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
        let was_idle = shared.start_tasks(settings, key.1.is_some())?;
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
        // Pages are freed after the lock was released.
        if let Some(removed) = self.end_reading() {
            drop(removed);
            // If the timer cannot run, the memory is returned later.
            let _ = runtime::spawn(memory::release_free());
        }
    }
}

impl ReplicaHandle {
    /// Has the reader no longer count as one that writes. The last one waits until the journal is uploaded, and ends its use.
    fn end_writing(&self) {
        let was_last = replicas().lock().get_mut(&self.key).is_some_and(|shared| shared.end_writing(self.reader));
        if !was_last {
            return;
        }
        let Some(journal) = self.replica.writer.journal() else { return };
        let writer = self.replica.writer.clone();
        let flush = async move { writer.flush(&journal, FLUSH_LIMIT).await };
        if let Err(error) = runtime::wait(flush, &|| false) {
            tracing::warn!("the last connection that writes is closed: {error}");
        }
        // A connection may have been opened meanwhile.
        if let Some(shared) = replicas().lock().get_mut(&self.key) {
            shared.end_unused_journal();
        }
    }

    /// Has the reader no longer count, and the replica be idle if it was the last one. Returns a replica that is removed.
    fn end_reading(&self) -> Option<SharedReplica> {
        let mut replicas = replicas().lock();
        let shared = replicas.get_mut(&self.key)?;
        shared.end_reading(self.reader, &self.usage);
        if shared.has_readers() {
            return None;
        }
        match runtime::spawn(remove_when_idle(self.key.clone(), shared.begin_idling())) {
            Ok(timer) => shared.removing = Some(timer),
            // If the timer cannot run, the replica is removed now.
            Err(_) => return replicas.remove(&self.key),
        }
        remove_longest_idle(&mut replicas)
    }
}

/// Removes the replica that has been idle for longest if there are more than [`MOST_IDLE`].
fn remove_longest_idle(replicas: &mut Replicas) -> Option<SharedReplica> {
    let idle = || replicas.iter().filter_map(|(key, shared)| Some((shared.idle_since?, key)));
    if idle().count() <= MOST_IDLE {
        return None;
    }
    let (_, longest) = idle().min_by_key(|(since, _)| *since)?;
    let removed = replicas.remove(&longest.clone())?;
    removed.removing.iter().for_each(|timer| timer.abort());
    Some(removed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::CacheLimits;
    use crate::store::Memory;
    use std::time::Instant;

    #[test]
    fn the_replicas_that_are_idle_for_longest_are_removed() {
        let now = Instant::now();
        let replica = |number: u64| {
            let location = Location::parse(&format!("file:///tenants/{number}")).expect("a location");
            let limits = CacheLimits { memory: 1 << 20, disk: 0 };
            let replica = Replica::new(Arc::new(Memory::new()), limits, Duration::from_secs(1));
            let mut shared = SharedReplica::new(replica);
            // The third one is in use.
            shared.idle_since = Some(now + Duration::from_secs(number)).filter(|_| number != 3);
            ((location.key().clone(), None), shared)
        };
        let mut replicas: Replicas = (1..=MOST_IDLE as u64 + 3).map(replica).collect();
        let mut removed = || remove_longest_idle(&mut replicas)?.idle_since.map(|since| (since - now).as_secs());
        assert_eq!([removed(), removed(), removed()], [Some(1), Some(2), None]);
        // A timer of one that was removed never takes another one for it.
        let mut numbers: Vec<u64> = replicas.values_mut().map(SharedReplica::begin_idling).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), replicas.len());
    }
}
