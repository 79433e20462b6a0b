//! A store that shows other versions of files in its listings than in its reads, as some gateways do.

use crate::ltx::{FileName, Level, Txid};
use crate::replica::testing::one_page::{file, name};
use crate::replica::{CacheLimits, Replica};
use crate::store::{self, Chunk, Listed, Memory, Store, Version};
use async_trait::async_trait;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A store whose listings show other versions than its reads do.
#[derive(Debug, Default)]
struct Gateway {
    files: Memory,
    /// The time of the last change that reads tell.
    modified_ms: AtomicU64,
    /// Listings show the versions that reads show, and no times.
    agrees: AtomicBool,
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://gateway")
    }
}

const LISTED_MS: i64 = 1_795_262_400_123;

#[async_trait]
impl Store for Gateway {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, store::StoreError> {
        let listed = self.files.list(level, from).await?.into_iter().map(|file| {
            if self.agrees.load(Ordering::Relaxed) {
                return file;
            }
            let version = file.version.map(|version| Version(format!("listed-{}", version.0).into()));
            Listed { version, modified_ms: LISTED_MS, ..file }
        });
        Ok(listed.collect())
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, store::StoreError> {
        let chunk = self.files.read(level, name, range, expected).await?;
        Ok(Chunk { modified_ms: self.modified_ms.load(Ordering::Relaxed) as i64, ..chunk })
    }
}

async fn replica(store: &Arc<Gateway>) -> Arc<Replica> {
    for txid in 1..=20 {
        store.files.insert(Level::ZERO, name(txid), file(txid));
    }
    Arc::new(Replica::new(store.clone(), CacheLimits { memory: 1 << 20, disk: 0 }, Duration::from_secs(1)))
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lists_other_versions_than_it_reads_costs_one_request_more() {
    let store = Arc::new(Gateway::default());
    store.modified_ms.store(LISTED_MS as u64 / 1000 * 1000, Ordering::Relaxed);
    let replica = replica(&store).await;
    replica.poll(Duration::ZERO).await.expect("a view");
    assert_eq!(replica.head().map(|view| view.txid()), Some(Txid(20)));
    // All files were asked for at once before it showed; from now on each is read once, and known again.
    let first = replica.files.store.counts().reads;
    assert!(first <= 2 * 20, "{first} reads");
    let mut progress = replica.follower.progress.lock().await;
    let before = replica.files.store.counts().reads;
    for _ in 0..3 {
        replica.follower.relist(&mut progress).await.expect("a listing");
    }
    assert_eq!(replica.files.store.counts().reads - before, 0, "nothing is read again that is listed as before");
}

#[tokio::test(start_paused = true)]
async fn another_time_than_the_listed_one_is_another_file() {
    let store = Arc::new(Gateway::default());
    store.modified_ms.store(LISTED_MS as u64 + 5_000, Ordering::Relaxed);
    let replica = replica(&store).await;
    let error = replica.poll(Duration::ZERO).await.expect_err("files that are not those which are listed");
    assert!(error.to_string().contains("change faster than they can be read"), "{error}");
}

/// A file whose time is set while it is read once made every later file of a listing without times unreadable.
#[tokio::test(start_paused = true)]
async fn a_file_that_differed_once_does_not_spoil_later_listings() {
    let store = Arc::new(Gateway::default());
    store.modified_ms.store(LISTED_MS as u64, Ordering::Relaxed);
    let replica = replica(&store).await;
    replica.poll(Duration::ZERO).await.expect("a view");
    assert!(replica.files.loader.versions_differ.load(Ordering::Relaxed));
    store.agrees.store(true, Ordering::Relaxed);
    store.files.insert(Level::ZERO, name(21), file(21));
    let mut progress = replica.follower.progress.lock().await;
    replica.follower.relist(&mut progress).await.expect("the listed version is read");
    assert_eq!(replica.head().map(|view| view.txid()), Some(Txid(21)));
}
