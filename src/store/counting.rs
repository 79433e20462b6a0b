//! A store that counts what is asked of another.

use super::{Chunk, Error, Listed, Store, Version};
use crate::ltx::{FileName, Level, Txid};
use crate::progress;
use async_trait::async_trait;
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
}

impl Counting {
    /// Counts from zero.
    pub fn new(inner: Arc<dyn Store>) -> Counting {
        Counting { inner, lists: AtomicU64::new(0), reads: AtomicU64::new(0), bytes: AtomicU64::new(0) }
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
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, Error> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        let listed = self.inner.list(level, from).await?;
        progress::arrived();
        Ok(listed)
    }

    async fn list_range(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, Error> {
        self.lists.fetch_add(1, Ordering::Relaxed);
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
    ) -> Result<Chunk, Error> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let chunk = self.inner.read(level, name, range, expected).await?;
        self.bytes.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
        progress::arrived();
        Ok(chunk)
    }

    async fn holds_older_format(&self) -> Result<bool, Error> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.inner.holds_older_format().await
    }
}
