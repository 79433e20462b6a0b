//! A store in memory that knows when its files were written.

use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::store::{Listed, Memory, Store, StoreError};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A boundary of every interval, in milliseconds since 1970.
const START: i64 = 1_700_006_400_000;

/// The bytes of files.
pub(super) type FileContents = BTreeMap<(Level, FileName), Bytes>;

/// The files, and when each was written.
#[derive(Debug)]
pub(super) struct AgedFiles {
    pub memory: Memory,
    written: Mutex<BTreeMap<(Level, FileName), i64>>,
    started: Instant,
    /// How far the clock of the compactors is ahead, in milliseconds.
    pub clock_ahead: AtomicI64,
    /// What was written from the first of these times on is listed with the second one at least: a writer's clock was ahead.
    shown: Mutex<(i64, i64)>,
}

impl AgedFiles {
    pub fn new() -> Arc<AgedFiles> {
        let (memory, written, clock_ahead) = Default::default();
        let shown = Mutex::new((i64::MAX, 0));
        Arc::new(AgedFiles { memory, written, started: Instant::now(), clock_ahead, shown })
    }

    /// The time in milliseconds.
    pub fn now(&self) -> i64 {
        START + self.started.elapsed().as_millis() as i64
    }

    /// The time that the compactors' clock shows.
    pub fn clock(&self) -> i64 {
        self.now() + self.clock_ahead.load(Ordering::Relaxed)
    }

    pub async fn advance(&self, ms: i64) {
        tokio::time::advance(Duration::from_millis(ms as u64)).await;
    }

    /// Lists what is written from now on with this time at least.
    pub fn show_at_least(&self, ms: i64) {
        *self.shown.lock() = (self.now(), ms);
    }

    pub fn insert(&self, level: Level, name: FileName, bytes: Vec<u8>) {
        self.insert_of_age(level, name, bytes, 0);
    }

    pub fn insert_of_age(&self, level: Level, name: FileName, bytes: Vec<u8>, ms: i64) {
        self.written.lock().insert((level, name), self.now() - ms);
        self.memory.insert(level, name, bytes);
    }

    /// Deletes all files, and writes others.
    pub fn replace(&self, others: &FileContents) {
        let before = std::mem::take(&mut *self.written.lock());
        for (level, name) in before.into_keys() {
            self.memory.remove(level, name);
        }
        others.iter().for_each(|((level, name), bytes)| self.insert(*level, *name, bytes.to_vec()));
    }

    pub fn contents(&self) -> FileContents {
        let written = self.written.lock().clone();
        let content = |(level, name)| Some(((level, name), self.memory.get(level, name)?));
        written.into_keys().filter_map(content).collect()
    }

    /// Lists a level as clients see it.
    pub async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        let mut files = self.memory.list(level, from).await?;
        let written = self.written.lock().clone();
        let (from, at_least) = *self.shown.lock();
        let shown = |written: i64| if written >= from { written.max(at_least) } else { written };
        files.iter_mut().for_each(|file| file.modified_ms = shown(written[&(level, file.name)]));
        Ok(files)
    }

    /// Returns all files in ascending order.
    pub fn all(&self) -> Vec<Listed> {
        let written = self.written.lock().clone();
        let size = |level, name| self.memory.get(level, name).map(|bytes| bytes.len() as u64);
        let listed = |((level, name), modified_ms): (&(Level, FileName), &i64)| {
            Some(Listed {
                level: *level,
                name: *name,
                size: size(*level, *name)?,
                version: None,
                modified_ms: *modified_ms,
            })
        };
        written.iter().filter_map(listed).collect()
    }
}
