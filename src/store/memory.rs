//! A store in memory, for tests of other modules.

use super::{Chunk, Listed, Store, StoreError, StoreErrorKind, Version};
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// A replica in memory. Each insert creates a new version, even with the same bytes.
#[derive(Default, Debug)]
pub struct Memory {
    state: Mutex<MemoryState>,
}

#[derive(Default, Debug)]
struct MemoryState {
    objects: BTreeMap<(Level, FileName), MemoryObject>,
    inserts: u64,
}

#[derive(Clone, Debug)]
struct MemoryObject {
    bytes: Bytes,
    insert: u64,
}

impl MemoryObject {
    fn version(&self) -> Version {
        Version(self.insert.to_string().into())
    }
}

impl Memory {
    /// Creates a replica without files.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Inserts a file, or replaces one of the same name.
    pub fn insert(&self, level: Level, name: FileName, bytes: impl Into<Bytes>) {
        let mut state = self.state.lock();
        state.inserts += 1;
        let object = MemoryObject { bytes: bytes.into(), insert: state.inserts };
        state.objects.insert((level, name), object);
    }

    /// Removes a file. Returns false if it did not exist.
    pub fn remove(&self, level: Level, name: FileName) -> bool {
        self.state.lock().objects.remove(&(level, name)).is_some()
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory:")
    }
}

#[async_trait]
impl Store for Memory {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        let state = self.state.lock();
        let listed = |(&(level, name), object): (&(Level, FileName), &MemoryObject)| Listed {
            level,
            name,
            size: object.bytes.len() as u64,
            version: Some(object.version()),
            modified_ms: 0,
        };
        let start = (level, FileName { min: from, max: Txid(0) });
        Ok(state.objects.range(start..).take_while(|((at, _), _)| *at == level).map(listed).collect())
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let object = self.state.lock().objects.get(&(level, name)).cloned();
        let url = format!("{self}{level}/{name}");
        let Some(object) = object else { return Err(StoreError::missing(url)) };
        let (version, file_size) = (object.version(), object.bytes.len() as u64);
        version.check(expected, &url)?;
        let end = range.end.min(file_size);
        let start = range.start.min(end);
        let index = |position: u64| {
            let too_large = |_| StoreError::new(StoreErrorKind::Protocol, url.clone(), "the file is too large");
            usize::try_from(position).map_err(too_large)
        };
        let bytes = object.bytes.slice(index(start)?..index(end)?);
        Ok(Chunk { bytes, file_size, version, modified_ms: 0 })
    }
}
