//! The replicas of this process: one for each place and credentials, however many connections read it.
//!
//! A replica is followed while a connection reads it. Afterwards it rests for a while, asking for nothing, with
//! its view and its cache, since many applications open a connection for each piece of work and close it again.

use crate::config::Settings;
use crate::error::Error;
use crate::lock::Mutex;
use crate::replica::prefetch::Prefetcher;
use crate::replica::{CacheLimits, Replica};
use crate::runtime::{self, PerProcess};
use crate::store::{Location, LocationKey};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::task::AbortHandle;

/// How long a replica rests before it is forgotten.
const REST: Duration = Duration::from_secs(60);

static REPLICAS: PerProcess<Mutex<HashMap<LocationKey, SharedReplica>>> = PerProcess::new();

fn replicas() -> &'static Mutex<HashMap<LocationKey, SharedReplica>> {
    REPLICAS.get_or_init(Mutex::default)
}

struct SharedReplica {
    replica: Arc<Replica>,
    wishes: Vec<ReaderSettings>,
    left: Readers,
    follower: Option<AbortHandle>,
    /// Grows at each change between reading and resting, so that a nap that is over notices it was disturbed.
    turn: u64,
}

/// What one connection asks of a shared replica. The replica does what suits the most demanding.
struct ReaderSettings {
    reader: u64,
    poll_interval: Duration,
    cache: CacheLimits,
    verify: bool,
    usage: Arc<CacheUsage>,
}

/// How often one reader found a page in the cache, and how often not. Each reader counts for itself: a counter that all
/// of them share would be what they wait for.
#[derive(Debug, Default)]
pub(in crate::replica) struct CacheUsage {
    pub hits: AtomicU64,
    pub misses: AtomicU64,
}

/// What all readers of a replica did, also those that have left.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::replica) struct Readers {
    pub connections: usize,
    pub hits: u64,
    pub misses: u64,
}

impl Readers {
    fn add(&mut self, usage: &CacheUsage) {
        self.hits += usage.hits.load(Ordering::Relaxed);
        self.misses += usage.misses.load(Ordering::Relaxed);
    }
}

/// A reader's place at a replica. While any is held, the replica is followed.
#[derive(Debug)]
pub(in crate::replica) struct ReplicaHandle {
    key: LocationKey,
    reader: u64,
    replica: Arc<Replica>,
    usage: Arc<CacheUsage>,
    foresight: Arc<Prefetcher>,
    rested: bool,
}

impl ReplicaHandle {
    /// Joins the replica at a location, connecting to its store if this process does not know it yet.
    pub(in crate::replica) fn take(location: &Location, settings: &Settings) -> Result<ReplicaHandle, Error> {
        let key = location.key().clone();
        let mut replicas = replicas().lock();
        if !replicas.contains_key(&key) {
            let replica = Replica::new(location.connect()?, bounds(settings), settings.poll_interval);
            let entry = SharedReplica {
                replica: Arc::new(replica),
                wishes: Vec::new(),
                left: Readers::default(),
                follower: None,
                turn: 0,
            };
            replicas.insert(key.clone(), entry);
        }
        let Some(entry) = replicas.get_mut(&key) else { return Err(Error::internal("a replica vanished")) };
        entry.turn += 1;
        let reader = entry.turn;
        let (poll_interval, cache) = (settings.poll_interval, bounds(settings));
        let usage = Arc::new(CacheUsage::default());
        entry.wishes.push(ReaderSettings {
            reader,
            poll_interval,
            cache,
            verify: settings.verify,
            usage: usage.clone(),
        });
        entry.suit();
        let rested = entry.follower.is_none();
        if rested {
            entry.follower = Some(runtime::spawn(follow(entry.replica.clone()))?);
        }
        let (replica, foresight) = (entry.replica.clone(), Arc::new(Prefetcher::new()));
        Ok(ReplicaHandle { key, reader, replica, usage, foresight, rested })
    }

    /// Whether nobody else followed the replica when this place was taken.
    pub(in crate::replica) fn rested(&self) -> bool {
        self.rested
    }

    pub(in crate::replica) fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    pub(in crate::replica) fn foresight(&self) -> &Arc<Prefetcher> {
        &self.foresight
    }

    pub(in crate::replica) fn usage(&self) -> &CacheUsage {
        &self.usage
    }

    /// What the readers of this replica did, this one among them.
    pub(in crate::replica) fn readers(&self) -> Readers {
        let replicas = replicas().lock();
        let Some(entry) = replicas.get(&self.key) else { return Readers::default() };
        let mut all = Readers { connections: entry.wishes.len(), ..entry.left };
        entry.wishes.iter().for_each(|wish| all.add(&wish.usage));
        all
    }
}

impl Drop for ReplicaHandle {
    fn drop(&mut self) {
        let mut replicas = replicas().lock();
        let Some(entry) = replicas.get_mut(&self.key) else { return };
        entry.wishes.retain(|wish| wish.reader != self.reader);
        entry.left.add(&self.usage);
        if !entry.wishes.is_empty() {
            return entry.suit();
        }
        if let Some(follower) = entry.follower.take() {
            follower.abort();
        }
        entry.turn += 1;
        let nap = rest(self.key.clone(), entry.turn);
        // Without threads to wait with, the replica is forgotten at once.
        if runtime::spawn(nap).is_err() {
            replicas.remove(&self.key);
        }
    }
}

impl SharedReplica {
    fn suit(&self) {
        let interval = self.wishes.iter().map(|wish| wish.poll_interval).min().unwrap_or(Duration::MAX);
        self.replica.follower.set_poll_interval(interval);
        self.replica.files.loader.verify(self.wishes.iter().any(|wish| wish.verify));
        let cache = self.wishes.iter().map(|wish| wish.cache).reduce(CacheLimits::max);
        cache
            .filter(|cache| *cache != self.replica.head.limits())
            .into_iter()
            .for_each(|cache| self.replica.head.set_limits(cache));
    }
}

fn bounds(settings: &Settings) -> CacheLimits {
    CacheLimits { memory: settings.cache_size, disk: settings.disk_cache_size }
}

async fn rest(key: LocationKey, turn: u64) {
    tokio::time::sleep(REST).await;
    let forgotten = {
        let mut replicas = replicas().lock();
        let is_over = replicas.get(&key).is_some_and(|entry| entry.turn == turn);
        if is_over { replicas.remove(&key) } else { None }
    };
    if forgotten.is_some() {
        // Its pages are freed while nobody waits for the lock.
        drop(forgotten);
        give_memory_back().await;
    }
}

/// How to return free memory to the system. The layer that may call the allocator sets it.
static GIVE_BACK: OnceLock<fn()> = OnceLock::new();

/// Sets what returns free memory to the system after replicas were forgotten.
pub(crate) fn gives_memory_back_by(give_back: fn()) {
    // Whoever comes second sets the same.
    let _ = GIVE_BACK.set(give_back);
}

/// Returns free memory to the system, once for all replicas that are forgotten within a moment.
async fn give_memory_back() {
    const MOMENT: Duration = Duration::from_secs(1);
    static PENDING: PerProcess<AtomicBool> = PerProcess::new();
    let pending = PENDING.get_or_init(AtomicBool::default);
    if pending.swap(true, Ordering::Relaxed) {
        return;
    }
    tokio::time::sleep(MOMENT).await;
    pending.store(false, Ordering::Relaxed);
    if let Some(give_back) = GIVE_BACK.get() {
        // It may take a while in a large process.
        let _ = tokio::task::spawn_blocking(*give_back).await;
    }
}

/// A tenth more or less, so that processes that started together do not ask together for ever.
fn jittered(interval: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    interval.mul_f64(0.9 + random / 5.0)
}

/// Polls until it is aborted. What goes wrong is logged once until the replica can be followed again, not once a second: the
/// same trouble has other words at another request.
pub(in crate::replica) async fn follow(replica: Arc<Replica>) {
    let mut complained = false;
    loop {
        tokio::time::sleep(jittered(replica.follower.poll_interval())).await;
        match replica.follower.take_turn().await {
            Ok(()) if replica.health.is_failing() => {}
            Ok(()) if std::mem::take(&mut complained) => tracing::warn!("{} answers again", replica.files.store),
            Ok(()) => {}
            Err(error) if !std::mem::replace(&mut complained, true) => {
                tracing::warn!("cannot follow {}: {error}", replica.files.store);
            }
            Err(error) => tracing::debug!("still cannot follow {}: {error}", replica.files.store),
        }
    }
}
