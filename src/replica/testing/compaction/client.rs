//! A client of a store, whose process can be suspended, or end, at any request.

use super::store::AgedFiles;
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid, verify};
use crate::replica::testing::simulation::random::Random;
use crate::store::{Chunk, Creation, Listed, ObjectName, Store, StoreError, StoreErrorKind, Version};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CompactorRequest {
    List,
    Read,
    Create,
    Delete,
}

/// A client of the files. After some requests it gets no more responses, as if its process had ended.
pub(super) struct MortalClient {
    files: Arc<AgedFiles>,
    state: Mutex<(Random, u64)>,
    reads: AtomicU64,
    pub lists: AtomicU64,
    /// Each read whose number is a multiple of this fails; none if it is 0.
    failing: AtomicU64,
    /// What other clients do after the next listing.
    meanwhile: Mutex<Option<Meanwhile>>,
    /// The number of requests until the process is suspended, and what others do meanwhile.
    suspension: Mutex<Option<(u64, Suspension)>>,
    suspended_at: Mutex<Option<CompactorRequest>>,
}

type Meanwhile = Box<dyn FnOnce() + Send>;
type Suspension = Pin<Box<dyn Future<Output = ()> + Send>>;

impl MortalClient {
    /// Creates a client whose request number `life` has an effect, but no response.
    pub fn new(files: &Arc<AgedFiles>, random: Random, life: u64) -> Arc<MortalClient> {
        let (reads, lists, failing, meanwhile, suspension, suspended_at) = Default::default();
        let (files, state) = (files.clone(), Mutex::new((random, life)));
        Arc::new(MortalClient { files, state, reads, lists, failing, meanwhile, suspension, suspended_at })
    }

    /// Suspends the process before its next request but `request - 1` is carried out, until others have done something.
    pub fn suspend_at(&self, request: u64, meanwhile: impl Future<Output = ()> + Send + 'static) {
        *self.suspension.lock() = Some((request, Box::pin(meanwhile)));
    }

    /// Returns at which request it was suspended.
    pub fn suspended_at(&self) -> Option<CompactorRequest> {
        *self.suspended_at.lock()
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
    async fn begin(&self, kind: CompactorRequest) -> Result<(), StoreError> {
        let suspension = {
            let mut suspension = self.suspension.lock();
            suspension.iter_mut().for_each(|(left, _)| *left -= 1);
            suspension.take_if(|(left, _)| *left == 0)
        };
        if let Some((_, meanwhile)) = suspension {
            meanwhile.await;
            *self.suspended_at.lock() = Some(kind);
        }
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
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.begin(CompactorRequest::List).await?;
        let files = self.files.list(level, from).await?;
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
        self.begin(CompactorRequest::Read).await?;
        let number = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
        if number.checked_rem(self.failing.load(Ordering::Relaxed)) == Some(0) {
            return Err(ended());
        }
        self.end(self.files.memory.read(level, name, range, expected).await)
    }

    async fn create(&self, object: ObjectName, bytes: Bytes) -> Result<Creation, StoreError> {
        self.begin(CompactorRequest::Create).await?;
        let ObjectName::File(level, name) = object else { panic!("a compactor creates only files") };
        if let Some(existing) = self.files.memory.get(level, name) {
            // Unless the replica was replaced meanwhile.
            let is_same = existing == bytes || self.suspended_at().is_some();
            assert!(is_same || verify(&existing).is_err(), "two compactors write the same bytes");
        } else {
            self.files.insert(level, name, bytes.to_vec());
            return self.end(Ok(Creation::Created));
        }
        self.end(Ok(Creation::Exists))
    }

    async fn delete(&self, object: ObjectName) -> Result<(), StoreError> {
        self.begin(CompactorRequest::Delete).await?;
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
