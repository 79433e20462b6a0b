//! A store that counts the requests to another store.

use super::{Chunk, Creation, Listed, ObjectName, Store, StoreError, Version};
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::progress;
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The requests to a store since it was opened, including those that failed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Listings of a level. A listing of several pages counts once.
    pub lists: u64,
    /// Reads of a range of a file.
    pub reads: u64,
    /// Creations and deletions of objects.
    pub writes: u64,
    /// Bytes returned by reads.
    pub bytes: u64,
}

/// A store that forwards all requests to another store and counts them.
#[derive(Debug)]
pub struct Counting {
    inner: Arc<dyn Store>,
    lists: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
    bytes: AtomicU64,
    pending: Mutex<PendingRequests>,
}

/// The requests without a response, in the order in which they were sent.
#[derive(Default, Debug)]
struct PendingRequests {
    sent: u64,
    requests: BTreeMap<u64, CountedRequest>,
}

/// A request to the store.
#[derive(Clone, Copy, Debug)]
enum CountedRequest {
    List(Level),
    Read(Level, FileName),
}

impl fmt::Display for CountedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CountedRequest::List(level) => write!(f, "the listing of level {level}"),
            CountedRequest::Read(level, name) => write!(f, "the read of {name} at level {level}"),
        }
    }
}

/// A pending request. Dropping it removes it from the list.
struct PendingRequest<'a>(&'a Counting, u64);

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        self.0.pending.lock().requests.remove(&self.1);
    }
}

impl Counting {
    /// Wraps a store, with all counts at zero.
    pub fn new(inner: Arc<dyn Store>) -> Counting {
        let zero = || AtomicU64::new(0);
        Counting { inner, lists: zero(), reads: zero(), writes: zero(), bytes: zero(), pending: Mutex::default() }
    }

    /// Describes the request that has been pending for the longest time. Returns None if there is none.
    pub fn oldest_request(&self) -> Option<String> {
        self.pending.lock().requests.values().next().map(CountedRequest::to_string)
    }

    fn begin(&self, request: CountedRequest) -> PendingRequest<'_> {
        let counter = if matches!(request, CountedRequest::List(_)) { &self.lists } else { &self.reads };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut pending = self.pending.lock();
        pending.sent += 1;
        let number = pending.sent;
        pending.requests.insert(number, request);
        PendingRequest(self, number)
    }

    /// Returns the current counts. Each is exact, but they are not read at the same instant.
    pub fn counts(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            lists: load(&self.lists),
            reads: load(&self.reads),
            writes: load(&self.writes),
            bytes: load(&self.bytes),
        }
    }
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Store for Counting {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        let _pending = self.begin(CountedRequest::List(level));
        let listed = self.inner.list(level, from).await?;
        progress::arrived();
        Ok(listed)
    }

    async fn list_range(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, StoreError> {
        let _pending = self.begin(CountedRequest::List(level));
        let listed = self.inner.list_range(level, range).await?;
        progress::arrived();
        Ok(listed)
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let _pending = self.begin(CountedRequest::Read(level, name));
        let chunk = self.inner.read(level, name, range, expected).await?;
        self.bytes.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
        progress::arrived();
        Ok(chunk)
    }

    async fn create(&self, object: ObjectName, bytes: Bytes) -> Result<Creation, StoreError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let created = self.inner.create(object, bytes).await?;
        progress::arrived();
        Ok(created)
    }

    async fn read_object(&self, object: ObjectName) -> Result<Option<Bytes>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let bytes = self.inner.read_object(object).await?;
        progress::arrived();
        Ok(bytes)
    }

    async fn delete(&self, object: ObjectName) -> Result<(), StoreError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.delete(object).await?;
        progress::arrived();
        Ok(())
    }

    fn descriptors(&self) -> u64 {
        self.inner.descriptors()
    }

    async fn holds_older_format(&self) -> Result<bool, StoreError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        let holds = self.inner.holds_older_format().await?;
        progress::arrived();
        Ok(holds)
    }
}
