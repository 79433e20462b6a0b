//! A store in memory, for tests of other modules.

use super::paths::Layout;
use super::{Chunk, Creation, Listed, ObjectName, Store, StoreError, Version};
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::btree_map::{self, BTreeMap};
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
    /// The objects that are not files, by their paths.
    others: BTreeMap<String, Bytes>,
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

    /// Returns the bytes of a file.
    #[cfg(test)]
    pub(crate) fn get(&self, level: Level, name: FileName) -> Option<Bytes> {
        self.state.lock().objects.get(&(level, name)).map(|file| file.bytes.clone())
    }
}

/// Reads a range of a file in memory as [`Store::read`] does. `url` names the file in errors.
pub(crate) fn read_range(
    file: &Bytes,
    version: Version,
    range: Range<u64>,
    expected: Option<&Version>,
    url: &str,
) -> Result<Chunk, StoreError> {
    version.check(expected, url)?;
    let end = usize::try_from(range.end).map_or(file.len(), |end| end.min(file.len()));
    let start = usize::try_from(range.start).map_or(end, |start| start.min(end));
    Ok(Chunk { bytes: file.slice(start..end), file_size: file.len() as u64, version, modified_ms: 0 })
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

    async fn create(&self, object: ObjectName, bytes: Bytes) -> Result<Creation, StoreError> {
        let mut state = self.state.lock();
        let ObjectName::File(level, name) = object else {
            let entry = state.others.entry(object.path(Layout::Decimal));
            return Ok(match entry {
                btree_map::Entry::Occupied(_) => Creation::Exists,
                btree_map::Entry::Vacant(free) => {
                    free.insert(bytes);
                    Creation::Created
                }
            });
        };
        let insert = state.inserts + 1;
        match state.objects.entry((level, name)) {
            btree_map::Entry::Occupied(_) => return Ok(Creation::Exists),
            btree_map::Entry::Vacant(free) => drop(free.insert(MemoryObject { bytes, insert })),
        }
        state.inserts = insert;
        Ok(Creation::Created)
    }

    async fn delete(&self, object: ObjectName) -> Result<(), StoreError> {
        match object {
            ObjectName::File(level, name) => {
                self.remove(level, name);
            }
            _ => drop(self.state.lock().others.remove(&object.path(Layout::Decimal))),
        }
        Ok(())
    }

    async fn read_object(&self, object: ObjectName) -> Result<Option<Bytes>, StoreError> {
        Ok(self.state.lock().others.get(&object.path(Layout::Decimal)).cloned())
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
        read_range(&object.bytes, object.version(), range, expected, &url)
    }
}
