//! A store that cannot be reached.

use crate::ltx::{FileName, Level, Txid};
use crate::store::{Chunk, Listed, Store, StoreError, StoreErrorKind, Version};
use async_trait::async_trait;
use std::fmt;
use std::ops::Range;

/// A store that cannot be reached. A loader with this store reads the cache directory only.
#[derive(Debug)]
pub(super) struct NoStore;

impl NoStore {
    fn error<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::new(StoreErrorKind::Unreachable, self.to_string(), "no store may be used"))
    }
}

impl fmt::Display for NoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cache directory")
    }
}

#[async_trait]
impl Store for NoStore {
    async fn list(&self, _: Level, _: Txid) -> Result<Vec<Listed>, StoreError> {
        self.error()
    }

    async fn read(&self, _: Level, _: FileName, _: Range<u64>, _: Option<&Version>) -> Result<Chunk, StoreError> {
        self.error()
    }
}
