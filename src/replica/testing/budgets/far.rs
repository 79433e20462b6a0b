//! A store that is far away, by a clock that the test holds: each request takes a latency and its bytes' time.

use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::store::{Chunk, Listed, Memory, Store, StoreError, Version};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(in crate::replica) const LATENCY: Duration = Duration::from_millis(20);

/// Bytes a second of one connection.
pub(in crate::replica) const BANDWIDTH: u64 = 90_000_000;

#[derive(Debug, Default)]
pub(in crate::replica) struct Far {
    files: Memory,
    bytes: Mutex<BTreeMap<(Level, FileName), Bytes>>,
    /// Requests that are stuck: so many of those to come, after so many that are not.
    stuck: Mutex<(u64, u64)>,
    in_flight: AtomicU64,
    pub most_in_flight: AtomicU64,
    /// What was read since it was last taken.
    log: Mutex<Vec<(FileName, Range<u64>)>>,
}

impl Far {
    /// Puts a file there.
    pub(in crate::replica) fn insert(&self, level: Level, name: FileName, file: Vec<u8>) {
        let file = Bytes::from(file);
        self.bytes.lock().insert((level, name), file.clone());
        self.files.insert(level, name, file);
    }

    /// Lets `some` requests get stuck, after `first` others.
    pub(in crate::replica) fn stick(&self, first: u64, some: u64) {
        *self.stuck.lock() = (first, some);
    }

    /// The ranges that were read since the last call.
    pub(in crate::replica) fn take_log(&self) -> Vec<(FileName, Range<u64>)> {
        std::mem::take(&mut *self.log.lock())
    }

    /// Writes nonsense over the content of a page.
    pub(in crate::replica) fn damage(&self, level: Level, name: FileName, pgno: u32) {
        let mut file = self.bytes.lock().get(&(level, name)).expect("a file").to_vec();
        let entries = crate::ltx::verify(&file).expect("a sound file").entries;
        let frame = entries.iter().find(|entry| entry.pgno == pgno).expect("a page").range();
        file[frame.start as usize + 10..frame.end as usize].fill(0xff);
        self.insert(level, name, file);
    }

    fn is_stuck(&self) -> bool {
        let (first, some) = &mut *self.stuck.lock();
        match (*first, *some) {
            (0, 0) => false,
            (0, _) => {
                *some -= 1;
                true
            }
            _ => {
                *first -= 1;
                false
            }
        }
    }
}

/// How long a request for so many bytes takes.
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
        self.most_in_flight.fetch_max(now, Ordering::Relaxed);
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
