//! The replicas of this process: one for each URL and credentials, shared by all connections.
//!
//! A replica is polled while it has readers. After the last reader has closed, it is idle: it sends no requests, and
//! keeps its view and its cache for [`IDLE_TIME`], because many applications open a connection for each piece of work
//! and close it again. It has no open files in its cache directory, and [`idle`](super::idle) limits how many are kept.

use crate::config::Settings;
use crate::error::Error;
use crate::lock::Mutex;
use crate::replica::Replica;
use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::prefetch::Prefetcher;
use crate::replica::session::shared::{ReaderWishes, SharedReplica, connect};
use crate::replica::session::usage::{CacheUsage, ReaderTotals};
use crate::replica::session::wait::Interrupted;
use crate::replica::session::{idle, memory};
use crate::runtime::{self, PerProcess};
use crate::store::{Location, LocationKey};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a replica stays idle before it is removed.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// How long it keeps the files of its cache directory open: an application that opens one connection after the other does not open them for
/// each, and requests that are in flight write their pages.
const FILES_STAY: Duration = Duration::from_secs(1);

/// Connections with equal keys share a replica.
type ReplicaKey = (LocationKey, Option<PathBuf>);

type Replicas = HashMap<ReplicaKey, Arc<SharedReplica>>;

/// Whoever has the lock waits for nothing: all opens of the process need it.
static REPLICAS: PerProcess<Mutex<Replicas>> = PerProcess::new();

fn replicas() -> &'static Mutex<Replicas> {
    REPLICAS.get_or_init(Mutex::default)
}

/// A reader's reference to a replica. The replica is polled while there is at least one.
pub(super) struct ReplicaHandle {
    reader: RegisteredReader,
    replica: Arc<Replica>,
    prefetcher: Arc<Prefetcher>,
    was_idle: bool,
}

impl ReplicaHandle {
    /// Adds a reader to the replica at a location. Connects to the store if this process does not have the replica yet.
    ///
    /// Waits for disks, no longer than for an open.
    pub(super) fn acquire(
        location: &Location,
        settings: &Settings,
        interrupted: Interrupted<'_>,
    ) -> Result<ReplicaHandle, Error> {
        let key = (location.key().clone(), settings.cache_directory().map(Path::to_owned));
        let reader = RegisteredReader::add(key, settings);
        let wishes = ReaderWishes::of(reader.id, location, settings);
        let connect = {
            let (location, settings) = (location.clone(), settings.clone());
            move || connect(&location, &settings)
        };
        let replica = reader.shared.join(wishes, connect, interrupted)?;
        let was_idle = reader.shared.readers().start_tasks(&replica, settings)?;
        Ok(ReplicaHandle { reader, replica, prefetcher: Arc::new(Prefetcher::new()), was_idle })
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
        &self.reader.usage
    }

    /// The totals of all readers of the replica, including this one.
    pub(super) fn readers(&self) -> ReaderTotals {
        self.reader.shared.readers().totals()
    }
}

/// A reader that counts as one of its replica, from before it connects until it is dropped.
struct RegisteredReader {
    key: ReplicaKey,
    shared: Arc<SharedReplica>,
    id: u64,
    usage: Arc<CacheUsage>,
}

impl RegisteredReader {
    fn add(key: ReplicaKey, settings: &Settings) -> RegisteredReader {
        let mut replicas = replicas().lock();
        let shared = replicas.entry(key.clone()).or_default().clone();
        let (id, usage) = shared.readers().add(settings);
        shared.apply_settings();
        RegisteredReader { key, shared, id, usage }
    }

    /// Has the reader no longer count, and the replica be idle if it was the last one. Returns the replicas that are removed.
    fn end(&self) -> Vec<Arc<SharedReplica>> {
        let mut replicas = replicas().lock();
        let mut readers = self.shared.readers();
        readers.remove(self.id, &self.usage);
        if !readers.is_empty() {
            drop(readers);
            self.shared.apply_settings();
            return Vec::new();
        }
        let number = readers.begin_idling(self.shared.held());
        match runtime::spawn(idle_until_removed(self.key.clone(), number, readers.directory())) {
            Ok(timer) => readers.set_idle_timer(timer),
            // If the timer cannot run, the replica is removed now.
            Err(_) => return replicas.remove(&self.key).into_iter().collect(),
        }
        drop(readers);
        remove_longest_idle(&mut replicas)
    }
}

impl Drop for RegisteredReader {
    fn drop(&mut self) {
        self.shared.end_writing(self.id);
        // Pages are freed after the lock was released.
        let removed = self.end();
        if !removed.is_empty() {
            drop(removed);
            // If the timer cannot run, the memory is returned later.
            let _ = runtime::spawn(memory::release_free());
        }
    }
}

/// Removes the replicas that have been idle for longest, if there are [too many](idle::too_many).
fn remove_longest_idle(replicas: &mut Replicas) -> Vec<Arc<SharedReplica>> {
    let removable = replicas.iter().filter(|(_, shared)| !shared.is_busy());
    let idle = removable.filter_map(|(key, shared)| Some((shared.readers().keep()?, key)));
    let longest: Vec<ReplicaKey> = idle::too_many(idle.collect()).cloned().collect();
    let removed: Vec<_> = longest.iter().filter_map(|key| replicas.remove(key)).collect();
    removed.iter().for_each(|removed| removed.readers().stop_idle_timer());
    removed
}

/// Closes the files of an idle replica after [`FILES_STAY`], and then removes it, unless a reader is added.
async fn idle_until_removed(key: ReplicaKey, number: u64, directory: Option<Arc<CacheDirectory>>) {
    if let Some(directory) = directory {
        tokio::time::sleep(FILES_STAY).await;
        // Does not end while the disk hangs. Then the replica stays, as one that is busy does.
        let _ = runtime::on_own_thread(move || directory.close_files()).await;
    }
    remove_when_idle(key, number).await;
}

/// Removes a replica after [`IDLE_TIME`], unless a reader was added in the meantime.
async fn remove_when_idle(key: ReplicaKey, number: u64) {
    let removed = loop {
        tokio::time::sleep(IDLE_TIME).await;
        let mut replicas = replicas().lock();
        match replicas.get(&key) {
            Some(shared) if !shared.readers().are_idle(number) => return,
            Some(shared) if shared.is_busy() => {}
            _ => break replicas.remove(&key),
        }
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
    use crate::replica::session::idle::{Held, MOST_IDLE};

    #[test]
    fn the_replicas_that_are_idle_for_longest_are_removed() {
        let replica = |number: u64| {
            let location = Location::parse(&format!("file:///tenants/{number}")).expect("a location");
            let shared = Arc::<SharedReplica>::default();
            // The third one is in use.
            if number != 3 {
                shared.readers().begin_idling(Held::default());
            }
            ((location.key().clone(), None), shared)
        };
        let all: Vec<_> = (1..=MOST_IDLE as u64 + 3).map(replica).collect();
        let mut replicas: Replicas = all.iter().cloned().collect();
        let mut removed = remove_longest_idle(&mut replicas);
        removed.sort_by_key(|removed| removed.readers().keep().map(|(since, _)| since));
        assert!(removed.len() == 2 && Arc::ptr_eq(&removed[0], &all[0].1) && Arc::ptr_eq(&removed[1], &all[1].1));
        assert!(remove_longest_idle(&mut replicas).is_empty());
        // A timer of one that was removed never takes another one for it.
        let idle_again = |shared: &Arc<SharedReplica>| shared.readers().begin_idling(Held::default());
        let mut numbers: Vec<u64> = replicas.values().map(idle_again).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), replicas.len());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_idle_replica_closes_the_files_of_its_cache_directory() {
        use crate::ltx::{FileName, Level, Txid};
        use crate::replica::cache::persistent::FileIdentity;
        let dir = tempfile::tempdir().expect("a directory");
        let (url, cache) = (format!("file://{}/replica", dir.path().display()), dir.path().join("cache"));
        let setting = |name: &str| match name {
            "replica_url" => Some(url.clone()),
            "cache_dir" => Some(cache.display().to_string()),
            _ => None,
        };
        let settings = Settings::read(setting).expect("settings");
        let location = Location::parse(&url).expect("a location");
        let handle = ReplicaHandle::acquire(&location, &settings, &|| false).expect("a replica");
        let directory = handle.replica().fetcher.cache().directory().expect("a cache directory").clone();
        let name = FileName { min: Txid(1), max: Txid(1) };
        let identity = FileIdentity { level: Level::ZERO, name, size: 99, checksum: 5, page_size: 4096 };
        let _slots = directory.slots(1, &identity, Box::new(|_, _| true));
        drop(directory.announce(1, &(0..1)));
        let cache = cache.canonicalize().expect("the cache directory");
        let open = || {
            let descriptors = std::fs::read_dir("/proc/self/fd").expect("descriptors");
            let paths = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.ok()?.path()).ok());
            paths.filter(|path| path.starts_with(&cache)).collect::<Vec<_>>()
        };
        let is_open = || open().iter().any(|path| path.ends_with("fetching"));
        assert!(is_open());
        assert_eq!(handle.reader.shared.held().descriptors, CacheDirectory::FOLDERS);
        let key = handle.reader.key.clone();
        drop(handle);
        // For half of the time that it is idle, at most.
        let is_closed = (0..3000).any(|_| {
            std::thread::sleep(IDLE_TIME / 6000);
            !is_open()
        });
        assert!(is_closed && replicas().lock().contains_key(&key));
        assert_eq!(open().len() as u64, CacheDirectory::FOLDERS);
    }
}
