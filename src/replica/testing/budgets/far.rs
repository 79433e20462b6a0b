//! A model of a remote store, on a clock that the test controls: a request takes the latency plus the time of its bytes.

use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::store::{Chunk, Listed, Memory, Store, StoreError, Version};
use async_trait::async_trait;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(in crate::replica) const LATENCY: Duration = Duration::from_millis(20);

/// Bytes per second of one connection.
const BANDWIDTH: u64 = 90_000_000;

#[derive(Debug, Default)]
pub(in crate::replica) struct Far {
    files: Memory,
    /// How many requests to come succeed, and how many after them get stuck.
    stuck: Mutex<(u64, u64)>,
    in_flight: AtomicU64,
    pub max_in_flight: AtomicU64,
    /// The ranges read since [`Far::take_log`].
    log: Mutex<Vec<(FileName, Range<u64>)>>,
}

impl Far {
    /// Stores a file.
    pub(in crate::replica) fn insert(&self, level: Level, name: FileName, file: Vec<u8>) {
        self.files.insert(level, name, file);
    }

    /// Deletes a file.
    pub(in crate::replica) fn remove(&self, level: Level, name: FileName) {
        assert!(self.files.remove(level, name), "there is no file {name} at level {level}");
    }

    /// Lets `count` requests get stuck, after `first` others.
    pub(in crate::replica) fn stick(&self, first: u64, count: u64) {
        *self.stuck.lock() = (first, count);
    }

    /// Returns the ranges that were read since the last call.
    pub(in crate::replica) fn take_log(&self) -> Vec<(FileName, Range<u64>)> {
        std::mem::take(&mut *self.log.lock())
    }

    /// Overwrites the content of a page such that it cannot be decompressed.
    pub(in crate::replica) fn damage(&self, level: Level, name: FileName, pgno: u32) {
        let mut file = self.files.get(level, name).expect("a file").to_vec();
        let entries = crate::ltx::verify(&file).expect("an undamaged file").entries;
        let frame = entries.iter().find(|entry| entry.pgno == pgno).expect("a page").range();
        file[frame.start as usize + 10..frame.end as usize].fill(0xff);
        self.insert(level, name, file);
    }

    fn is_stuck(&self) -> bool {
        let (first, count) = &mut *self.stuck.lock();
        match (*first, *count) {
            (0, 0) => false,
            (0, _) => {
                *count -= 1;
                true
            }
            _ => {
                *first -= 1;
                false
            }
        }
    }
}

/// Returns how long the transfer of `bytes` takes.
pub(in crate::replica) fn transfer(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / BANDWIDTH as f64)
}

#[async_trait]
impl Store for Far {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        tokio::time::sleep(LATENCY).await;
        self.files.list(level, from).await
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.max_in_flight.fetch_max(now, Ordering::Relaxed);
        self.log.lock().push((name, range.clone()));
        if self.is_stuck() {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        let chunk = self.files.read(level, name, range, expected).await;
        let bytes = chunk.as_ref().map_or(0, |chunk| chunk.bytes.len() as u64);
        tokio::time::sleep(LATENCY + transfer(bytes)).await;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        chunk
    }
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://far")
    }
}
