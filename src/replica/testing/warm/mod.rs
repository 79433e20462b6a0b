//! What a process finds in the cache directory that another one has filled.

mod damage;
mod hydration;
mod leader;

use crate::config::Target;
use crate::error::ErrorKind;
use crate::ltx::{Encoder, FileName, Form, Header, Level, Txid};
use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::prefetch::Prefetcher;
use crate::replica::testing::flaky::{Flaky, FlakyState};
use crate::replica::testing::header;
use crate::replica::{CacheLimits, Replica};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const PAGES: u32 = 700;
const SECOND: Duration = Duration::from_secs(1);

/// Sizes with which the snapshots here are read in parts.
const SMALL: FetchSizes = FetchSizes { whole: 4 << 10, head: 200, tail: 3 << 10, ..FetchSizes::USUAL };

/// Returns the name of a file that contains these transactions.
fn name(min: u64, max: u64) -> FileName {
    FileName { min: Txid(min), max: Txid(max) }
}

/// The content of a page that transaction `txid` wrote: an empty leaf for page 1, and the end of a chain for the others.
fn content(pgno: u32, txid: u64, history: u8) -> Vec<u8> {
    let byte = |at: u32| (at.wrapping_mul(pgno * 31 + txid as u32) >> 3) as u8 ^ history;
    let mut page: Vec<u8> = (0..512).map(byte).collect();
    page[..4].fill(0);
    if pgno == 1 {
        page[32..40].fill(0);
        page[100..108].copy_from_slice(&[13, 0, 0, 0, 0, 2, 0, 0]);
    }
    page
}

/// The transaction that last wrote a page at `txid`: the first wrote all, and each one after it writes page `txid`.
fn writer(pgno: u32, txid: u64) -> u64 {
    if pgno == 1 || u64::from(pgno) > txid { if pgno == 1 { txid } else { 1 } } else { u64::from(pgno) }
}

/// A replica whose transactions each write page 1 and the page with their number.
struct SharedReplicaFiles {
    store: Arc<Flaky>,
    cache: TempDir,
    history: u8,
    sizes: FetchSizes,
}

impl SharedReplicaFiles {
    fn new() -> SharedReplicaFiles {
        let cache = tempfile::tempdir().expect("a directory");
        SharedReplicaFiles { store: Flaky::new(false), cache, history: 0, sizes: SMALL }
    }

    /// A replica with a snapshot of the transactions 1 to 5, and a file of level 0 for each later one up to `end`.
    fn up_to(end: u64) -> SharedReplicaFiles {
        let replica = SharedReplicaFiles::new();
        replica.write(Level::SNAPSHOT, 1, 5);
        (6..=end).for_each(|txid| replica.write(Level::ZERO, txid, txid));
        replica
    }

    /// Writes a file of transactions `min` to `max`.
    fn write(&self, level: Level, min: u64, max: u64) {
        let is_from_wal = level == Level::ZERO && min == max;
        let header = Header {
            wal_offset: if is_from_wal { 32 + 536 * max as i64 } else { 0 },
            wal_size: if is_from_wal { 536 } else { 0 },
            wal_salt: if is_from_wal { [1 + u32::from(self.history), 1] } else { [0, 0] },
            ..header(512, PAGES, Txid(min), Txid(max))
        };
        let mut encoder = Encoder::new(header, Form::Block);
        for pgno in 1..=PAGES {
            let writer = writer(pgno, max);
            if writer >= min {
                encoder.page(pgno, &content(pgno, writer, self.history));
            }
        }
        self.store.files.insert(level, name(min, max), encoder.finish());
    }

    fn remove(&self, level: Level, min: u64, max: u64) {
        assert!(self.store.files.remove(level, name(min, max)), "{min}-{max}");
    }

    /// Opens the replica as another process does.
    fn open(&self) -> Arc<Replica> {
        let limits = CacheLimits { memory: 1 << 20, disk: 1 << 30 };
        Arc::new(Replica::with(self.store.clone(), limits, SECOND, self.sizes, Some(Arc::new(self.directory()))))
    }

    /// Opens only the cache directory.
    fn directory(&self) -> CacheDirectory {
        CacheDirectory::open(&self.cache.path().join("cache"), "warm", 1 << 30).expect("a directory")
    }

    async fn opened(&self) -> Arc<Replica> {
        let replica = self.open();
        replica.poll(Duration::ZERO).await.expect("a view");
        replica
    }

    /// Checks that another process opens the state of `txid` and reads every page of it while the store cannot be reached.
    async fn is_read_without_the_store(&self, txid: u64) {
        self.store.set_state(FlakyState::Down);
        let other = self.open();
        other.open(Target::Latest, SECOND, true).await.expect("a view");
        self.read(&other, txid).await;
    }

    /// Reads every page of the newest view, which must be that of `txid`. Returns the requests since the last call.
    async fn read(&self, replica: &Arc<Replica>, txid: u64) -> Vec<String> {
        let view = replica.head().expect("a view");
        assert_eq!(view.txid(), Txid(txid));
        for pgno in 1..=PAGES {
            let page = match replica.fetcher.cached(&view, pgno) {
                Some(page) => Some(page),
                None => replica.page(&view, pgno, &Prefetcher::new()).await.expect("a page"),
            };
            assert_eq!(*page.expect("a page"), content(pgno, writer(pgno, txid), self.history), "page {pgno}");
        }
        // Requests that nobody waits for count too.
        tokio::time::sleep(60 * SECOND).await;
        self.store.take_requests()
    }
}

fn reads(requests: &[String]) -> Vec<&str> {
    requests.iter().map(String::as_str).filter(|request| request.starts_with("read")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_second_process_makes_no_request_after_the_listings() {
    let replica = SharedReplicaFiles::up_to(8);
    let first = replica.opened().await;
    assert!(!replica.read(&first, 8).await.is_empty());
    let second = replica.opened().await;
    let requests = replica.read(&second, 8).await;
    assert!(reads(&requests).is_empty(), "{requests:?}");
    assert_eq!(requests.len(), 10, "each level is listed once: {requests:?}");
}

#[tokio::test(start_paused = true)]
async fn pages_of_the_directory_are_compared_with_the_checksum_of_their_file() {
    let replica = SharedReplicaFiles::up_to(5);
    let first = replica.opened().await;
    replica.read(&first, 5).await;
    let second = replica.opened().await;
    assert!(!second.head().expect("a view").is_verified());
    let requests = replica.read(&second, 5).await;
    assert!(reads(&requests).is_empty(), "{requests:?}");
    assert!(second.head().expect("a view").is_verified());
}

#[tokio::test(start_paused = true)]
async fn a_new_process_goes_on_from_the_state_of_the_last_one_after_another_snapshot() {
    let replica = SharedReplicaFiles::up_to(8);
    let first = replica.opened().await;
    replica.read(&first, 8).await;
    replica.write(Level::SNAPSHOT, 1, 8);
    replica.write(Level::ZERO, 9, 9);
    // The oldest files are gone, the last one of the view is there.
    replica.remove(Level::SNAPSHOT, 1, 5);
    replica.remove(Level::ZERO, 6, 6);
    let second = replica.opened().await;
    let requests = replica.read(&second, 9).await;
    assert_eq!(reads(&requests), [format!("read 0 {}", name(9, 9))]);
}

#[tokio::test(start_paused = true)]
async fn pages_are_carried_over_to_the_files_that_replace_theirs() {
    let replica = SharedReplicaFiles::up_to(8);
    let first = replica.opened().await;
    replica.read(&first, 8).await;
    replica.write(Level::SNAPSHOT, 1, 8);
    replica.remove(Level::SNAPSHOT, 1, 5);
    first.follower.set_outdated();
    first.poll(Duration::ZERO).await.expect("a view");
    let view = first.head().expect("a view");
    assert!(view.files().all(|file| file.name == name(1, 8)), "the new snapshot is used");
    replica.store.take_requests();
    let requests = replica.read(&first, 8).await;
    assert!(reads(&requests).is_empty(), "{requests:?}");
    // A new process, of which no view is known, finds the pages as well.
    let second = replica.opened().await;
    let requests = replica.read(&second, 8).await;
    assert!(reads(&requests).is_empty(), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn pages_of_another_history_are_not_used() {
    let mut replica = SharedReplicaFiles::up_to(8);
    let first = replica.opened().await;
    replica.read(&first, 8).await;
    for history in 1..=2 {
        replica.history = history;
        let end = [7, 9][usize::from(history) - 1];
        replica.remove(Level::SNAPSHOT, 1, 5);
        for txid in 6..=8 {
            replica.store.files.remove(Level::ZERO, name(txid, txid));
        }
        replica.write(Level::SNAPSHOT, 1, 5);
        (6..=end).for_each(|txid| replica.write(Level::ZERO, txid, txid));
        let second = replica.opened().await;
        replica.read(&second, end).await;
        (6..=end).for_each(|txid| replica.remove(Level::ZERO, txid, txid));
    }
}

#[tokio::test(start_paused = true)]
async fn the_state_of_the_cache_directory_is_served_while_the_store_cannot_be_reached() {
    let replica = SharedReplicaFiles::up_to(6);
    let first = replica.opened().await;
    replica.read(&first, 6).await;
    replica.write(Level::ZERO, 7, 7);
    for state in [FlakyState::Down, FlakyState::Hanging] {
        replica.store.set_state(state);
        let second = replica.open();
        second.open(Target::Latest, 10 * SECOND, true).await.expect("a view");
        replica.read(&second, 6).await;
        let text = second.health.state(true);
        assert!(text.contains("cannot be reached") && text.contains("cache directory"), "{text}");
        // The clock of the model stands still while the processes do.
        assert!(second.lag() >= Some(60 * SECOND), "{:?}", second.lag());
        replica.store.set_state(FlakyState::Healthy);
        second.poll(Duration::ZERO).await.expect("a newer view");
        replica.read(&second, 7).await;
        assert_eq!(second.health.state(true), "following");
        assert!(second.lag() < Some(120 * SECOND));
        // The record is that of the older state again for the next round.
        replica.store.take_requests();
        std::fs::remove_dir_all(replica.cache.path().join("cache")).expect("the directory is removed");
        replica.remove(Level::ZERO, 7, 7);
        let first = replica.opened().await;
        replica.read(&first, 6).await;
        replica.write(Level::ZERO, 7, 7);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_replica_is_not_replaced_by_the_cache_directory() {
    let replica = SharedReplicaFiles::up_to(5);
    let first = replica.opened().await;
    replica.read(&first, 5).await;
    replica.store.set_state(FlakyState::Empty);
    let error = replica.open().open(Target::Latest, SECOND, true).await.expect_err("no backup");
    assert_eq!(error.kind(), ErrorKind::Empty);
}
