//! A store that counts what is asked of another.

use super::{Chunk, Listed, Store, StoreError, Version};
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::progress;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a store was asked for since it was opened, whether it could answer or not.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Listings of a level, however many pages each took.
    pub lists: u64,
    /// Reads of a range of a file.
    pub reads: u64,
    /// Bytes that reads brought.
    pub bytes: u64,
}

/// Passes everything on to another store, and counts it.
#[derive(Debug)]
pub struct Counting {
    inner: Arc<dyn Store>,
    lists: AtomicU64,
    reads: AtomicU64,
    bytes: AtomicU64,
    under_way: Mutex<UnderWay>,
}

/// Requests that have not been answered, by the order in which they were made.
#[derive(Default, Debug)]
struct UnderWay {
    made: u64,
    requests: BTreeMap<u64, CountedRequest>,
}

/// What was asked for.
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

/// A request, until it is answered or given up.
struct Asking<'a>(&'a Counting, u64);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().requests.remove(&self.1);
    }
}

impl Counting {
    /// Counts from zero.
    pub fn new(inner: Arc<dyn Store>) -> Counting {
        let zero = || AtomicU64::new(0);
        Counting { inner, lists: zero(), reads: zero(), bytes: zero(), under_way: Mutex::default() }
    }

    /// The request that has been waiting for an answer longest, as a clause.
    pub fn oldest_request(&self) -> Option<String> {
        self.under_way.lock().requests.values().next().map(CountedRequest::to_string)
    }

    fn asking(&self, request: CountedRequest) -> Asking<'_> {
        let counter = if matches!(request, CountedRequest::List(_)) { &self.lists } else { &self.reads };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut under_way = self.under_way.lock();
        under_way.made += 1;
        let number = under_way.made;
        under_way.requests.insert(number, request);
        Asking(self, number)
    }

    /// The counts now. Each is right by itself; together they may be a moment apart.
    pub fn counts(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { lists: load(&self.lists), reads: load(&self.reads), bytes: load(&self.bytes) }
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
        let _asking = self.asking(CountedRequest::List(level));
        let listed = self.inner.list(level, from).await?;
        progress::arrived();
        Ok(listed)
    }

    async fn list_range(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, StoreError> {
        let _asking = self.asking(CountedRequest::List(level));
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
        let _asking = self.asking(CountedRequest::Read(level, name));
        let chunk = self.inner.read(level, name, range, expected).await?;
        self.bytes.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
        progress::arrived();
        Ok(chunk)
    }

    async fn holds_older_format(&self) -> Result<bool, StoreError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.inner.holds_older_format().await
    }
}
