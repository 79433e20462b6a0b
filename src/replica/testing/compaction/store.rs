//! A store in memory that knows when its files were written, and whose clients can stop at any request.

use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid, verify};
use crate::replica::testing::simulation::random::Random;
use crate::store::{Chunk, Creation, Listed, Memory, ObjectName, Store, StoreError, StoreErrorKind, Version};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The files, and when each was written.
#[derive(Debug)]
pub(super) struct AgedFiles {
    pub memory: Memory,
    written: Mutex<BTreeMap<(Level, FileName), i64>>,
    /// The time in milliseconds.
    pub now: AtomicI64,
}

impl AgedFiles {
    pub fn new() -> Arc<AgedFiles> {
        // A boundary of every interval.
        let (memory, written, now) = (Memory::new(), Mutex::default(), AtomicI64::new(1_700_006_400_000));
        Arc::new(AgedFiles { memory, written, now })
    }

    pub fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    pub fn advance(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    pub fn insert(&self, level: Level, name: FileName, bytes: Vec<u8>) {
        self.written.lock().insert((level, name), self.now());
        self.memory.insert(level, name, bytes);
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

/// A client of the files. After some requests it gets no more responses, as if its process had ended.
pub(super) struct MortalClient {
    files: Arc<AgedFiles>,
    state: Mutex<(Random, u64)>,
    reads: AtomicU64,
    /// Each read whose number is a multiple of this fails; none if it is 0.
    failing: AtomicU64,
    /// What other clients do after the next listing.
    meanwhile: Mutex<Option<Meanwhile>>,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

impl MortalClient {
    /// Creates a client whose request number `life` has an effect, but no response.
    pub fn new(files: &Arc<AgedFiles>, random: Random, life: u64) -> Arc<MortalClient> {
        let (reads, failing, meanwhile) = Default::default();
        Arc::new(MortalClient { files: files.clone(), state: Mutex::new((random, life)), reads, failing, meanwhile })
    }

    /// Lets other clients do something after the next listing.
    pub fn after_the_next_listing(&self, meanwhile: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock() = Some(Box::new(meanwhile));
    }

    /// Lets one of so many reads fail.
    pub fn fail_one_read_in(&self, reads: u64) {
        self.failing.store(reads, Ordering::Relaxed);
    }

    /// Returns whether all its requests got responses.
    pub fn is_alive(&self) -> bool {
        self.state.lock().1 > 0
    }

    /// Lets other clients send requests first. Fails if this one has ended.
    async fn begin(&self) -> Result<(), StoreError> {
        let turns = self.state.lock().0.below(4);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        if self.is_alive() { Ok(()) } else { Err(ended()) }
    }

    fn end<T>(&self, response: Result<T, StoreError>) -> Result<T, StoreError> {
        let mut state = self.state.lock();
        state.1 = state.1.saturating_sub(1);
        if state.1 == 0 { Err(ended()) } else { response }
    }
}

fn ended() -> StoreError {
    StoreError::new(StoreErrorKind::Unreachable, "memory://aged", "the process has ended")
}

#[async_trait]
impl Store for MortalClient {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        self.begin().await?;
        let mut files = self.files.memory.list(level, from).await?;
        let written = self.files.written.lock().clone();
        files.iter_mut().for_each(|file| file.modified_ms = written[&(level, file.name)]);
        if let Some(meanwhile) = self.meanwhile.lock().take() {
            meanwhile();
        }
        self.end(Ok(files))
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        self.begin().await?;
        let number = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
        if number.checked_rem(self.failing.load(Ordering::Relaxed)) == Some(0) {
            return Err(ended());
        }
        self.end(self.files.memory.read(level, name, range, expected).await)
    }

    async fn create(&self, object: ObjectName, bytes: Bytes) -> Result<Creation, StoreError> {
        self.begin().await?;
        let ObjectName::File(level, name) = object else { panic!("a compactor creates only files") };
        if let Some(existing) = self.files.memory.get(level, name) {
            assert!(existing == bytes || verify(&existing).is_err(), "two compactors write the same bytes");
        } else {
            self.files.insert(level, name, bytes.to_vec());
            return self.end(Ok(Creation::Created));
        }
        self.end(Ok(Creation::Exists))
    }

    async fn delete(&self, object: ObjectName) -> Result<(), StoreError> {
        self.begin().await?;
        if let ObjectName::File(level, name) = object {
            self.files.memory.remove(level, name);
        }
        self.end(Ok(()))
    }
}

impl fmt::Debug for MortalClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MortalClient")
    }
}

impl fmt::Display for MortalClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://aged")
    }
}
