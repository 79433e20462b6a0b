//! A store that returns other versions of files in its listings than in its reads, as some gateways do.

use crate::ltx::{FileName, Level, Txid};
use crate::replica::testing::one_page::{file, name};
use crate::replica::{CacheLimits, Replica};
use crate::store::{Chunk, Listed, Memory, Store, StoreError, Version};
use async_trait::async_trait;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A store in memory with such listings.
#[derive(Debug, Default)]
struct Gateway {
    files: Memory,
    /// The modification time in the responses to reads.
    modified_ms: AtomicU64,
    /// If set, listings contain the same versions as reads, and no times.
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
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
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
    ) -> Result<Chunk, StoreError> {
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
async fn a_store_with_other_versions_in_listings_costs_one_more_request_per_file() {
    let store = Arc::new(Gateway::default());
    store.modified_ms.store(LISTED_MS as u64 / 1000 * 1000, Ordering::Relaxed);
    let replica = replica(&store).await;
    replica.poll(Duration::ZERO).await.expect("a view");
    assert_eq!(replica.head().map(|view| view.txid()), Some(Txid(20)));
    // All files were requested at once, before this was known. Later each is read once, and recognized in listings.
    let first = replica.files.store.counts().reads;
    assert!(first <= 2 * 20, "{first} reads");
    let mut progress = replica.follower.progress.lock().await;
    let before = replica.files.store.counts().reads;
    for _ in 0..3 {
        replica.follower.relist(&mut progress).await.expect("a listing");
    }
    assert_eq!(replica.files.store.counts().reads - before, 0, "no file is read again that is listed as before");
}

#[tokio::test(start_paused = true)]
async fn another_modification_time_than_the_listed_one_is_another_file() {
    let store = Arc::new(Gateway::default());
    store.modified_ms.store(LISTED_MS as u64 + 5_000, Ordering::Relaxed);
    let replica = replica(&store).await;
    let error = replica.poll(Duration::ZERO).await.expect_err("the files are not the listed ones");
    assert!(error.to_string().contains("change faster than they can be read"), "{error}");
}

/// Regression test: a file whose time is set while it is read made every later file of a listing without times unreadable.
#[tokio::test(start_paused = true)]
async fn a_file_that_differed_once_does_not_affect_later_listings() {
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
