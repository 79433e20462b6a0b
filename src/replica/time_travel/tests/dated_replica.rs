//! A replica in memory, with chosen times in headers and listings.

use crate::lock::Mutex;
use crate::ltx::{Encoder, FileName, Form, Header, Level, PageSize, Txid};
use crate::replica::{CacheLimits, Replica};
use crate::store::{self, Chunk, Listed, Memory, Store, Version};
use async_trait::async_trait;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const LIMITS: CacheLimits = CacheLimits { memory: 64 << 20, disk: 0 };

/// A store in memory with chosen modification times. Counts the files that its listings show.
#[derive(Default, Debug)]
pub(super) struct DatedStore {
    files: Memory,
    modified: Mutex<HashMap<(Level, FileName), i64>>,
    /// How many files of level 0 were listed.
    pub(super) listed: AtomicU64,
    /// Whether every listing fails.
    pub(super) lists_fail: AtomicBool,
    /// Whether every read fails.
    pub(super) reads_fail: AtomicBool,
}

fn check_reachable(fails: &AtomicBool) -> Result<(), store::StoreError> {
    let error = || store::StoreError::new(store::StoreErrorKind::Unreachable, "memory://dated", "no answer");
    if fails.load(Ordering::Relaxed) { Err(error()) } else { Ok(()) }
}

#[async_trait]
impl Store for DatedStore {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, store::StoreError> {
        self.list_range(level, from..Txid(u64::MAX)).await
    }

    async fn list_range(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, store::StoreError> {
        check_reachable(&self.lists_fail)?;
        let mut files = self.files.list_range(level, range).await?;
        if level == Level::ZERO {
            self.listed.fetch_add(files.len() as u64, Ordering::Relaxed);
        }
        let modified = self.modified.lock();
        files.iter_mut().for_each(|file| file.modified_ms = modified[&(level, file.name)]);
        Ok(files)
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, store::StoreError> {
        check_reachable(&self.reads_fail)?;
        self.files.read(level, name, range, expected).await
    }
}

impl fmt::Display for DatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://dated")
    }
}

/// A replica of a database of two pages, of which only the first changes after it was created.
pub(super) struct DatedReplica {
    pub(super) store: Arc<DatedStore>,
    /// When the transactions 1, 2, 3, … were written.
    pub(super) times: Vec<i64>,
    /// The transactions at which files end.
    pub(super) ends: Vec<u64>,
    /// A file that begins with this transaction contains both pages, like one that begins with the first.
    pub(super) reset: u64,
}

fn header(name: FileName, ms: i64) -> Header {
    Header { timestamp_ms: ms, ..Header::plain(PageSize::new(512).expect("a page size"), 2, name) }
}

impl DatedReplica {
    pub(super) fn new(times: Vec<i64>) -> DatedReplica {
        DatedReplica { store: Arc::default(), times, ends: Vec::new(), reset: 1 }
    }

    pub(super) fn last(&self) -> u64 {
        self.times.len() as u64
    }

    /// Adds a file with a time in its header and a modification time.
    pub(super) fn put(&mut self, level: u8, min: u64, max: u64, ms: i64, modified: i64) {
        let (level, name) = (Level::new(level).expect("a level"), FileName { min: Txid(min), max: Txid(max) });
        let mut encoder = Encoder::new(header(name, ms), Form::Block);
        encoder.page(1, &[max as u8; 512]);
        if min == 1 || min == self.reset {
            encoder.page(2, &[0; 512]);
        }
        self.store.files.insert(level, name, encoder.finish());
        self.store.modified.lock().insert((level, name), modified);
        self.ends.push(max);
    }

    /// Adds a file as Litestream writes it: both times are that of its last transaction.
    pub(super) fn write(&mut self, level: u8, min: u64, max: u64) {
        let ms = self.times[max as usize - 1];
        self.put(level, min, max, ms, ms);
    }

    /// Cuts off a file after some bytes.
    pub(super) fn cut(&self, level: u8, min: u64, max: u64, length: usize) {
        let (level, name) = (Level::new(level).expect("a level"), FileName { min: Txid(min), max: Txid(max) });
        let whole = self.store.files.get(level, name).expect("a file");
        self.store.files.insert(level, name, whole.slice(..length));
    }

    /// A replica with all files of level 0, files of levels 1 and 2 that each join 16 files of the level below, and a
    /// snapshot.
    pub(super) fn healthy(transactions: u64) -> DatedReplica {
        let mut replica = DatedReplica::new((1..=transactions as i64).map(|number| number * 1000).collect());
        for txid in 1..=transactions {
            replica.write(0, txid, txid);
            for (level, length) in [(1, 16), (2, 256)] {
                if txid % length == 0 {
                    replica.write(level, txid - length + 1, txid);
                }
            }
        }
        replica.put(9, 1, transactions / 2, transactions as i64 * 600, transactions as i64 * 600);
        replica
    }

    pub(super) async fn open(&self) -> Arc<Replica> {
        let replica = Arc::new(Replica::new(self.store.clone(), LIMITS, Duration::from_secs(1)));
        replica.poll(Duration::ZERO).await.expect("a view");
        replica
    }

    /// Returns the transaction at a time by definition: the newest if this is its time, otherwise the last one up to
    /// which no transaction at which files end is later.
    pub(super) fn expected_txid(&self, ms: i64) -> Option<Txid> {
        let mut ends = self.ends.clone();
        ends.sort_unstable();
        ends.dedup();
        if let Some(newest) = ends.last().filter(|newest| self.times[**newest as usize - 1] == ms) {
            return Some(Txid(*newest));
        }
        let until = ends.iter().take_while(|end| self.times[**end as usize - 1] <= ms);
        until.last().map(|end| Txid(*end))
    }
}
