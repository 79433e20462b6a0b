//! A store in memory with delays, failures, partly written files and stale listings.

use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::replica::testing::simulation::random::Random;
use crate::store::{Chunk, Listed, Store, StoreError, StoreErrorKind, Version, read_range};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

type StoredFiles = BTreeMap<(Level, FileName), StoredObject>;

#[derive(Clone)]
struct StoredObject {
    bytes: Bytes,
    version: u64,
}

pub(in crate::replica) struct World {
    state: Mutex<WorldState>,
}

struct WorldState {
    files: StoredFiles,
    /// The files in a stale listing.
    before: StoredFiles,
    random: Random,
    /// The number of writes, of which each makes a version.
    written: u64,
    /// Set when no more faults occur.
    calm: bool,
    /// Listings contain no versions.
    untagged: bool,
    /// How many more requests find no files.
    vanished: u64,
    /// The complete bytes of a partly written file.
    unwritten: Option<(FileName, Bytes)>,
}

impl World {
    pub(in crate::replica) fn new(mut random: Random) -> World {
        let (files, before, untagged) = (StoredFiles::new(), StoredFiles::new(), random.one_in(3));
        let state =
            WorldState { files, before, random, written: 0, calm: false, untagged, vanished: 0, unwritten: None };
        World { state: Mutex::new(state) }
    }

    /// Ends all faults.
    pub(in crate::replica) fn calm(&self) {
        let mut state = self.state.lock();
        state.calm = true;
        state.vanished = 0;
        state.complete_write();
    }

    pub(in crate::replica) fn is_calm(&self) -> bool {
        self.state.lock().calm
    }

    pub(in crate::replica) fn put(&self, level: Level, name: FileName, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        state.complete_write();
        state.remember();
        let bytes = Bytes::from(bytes);
        let is_partial = level == Level::ZERO && !state.calm && state.random.one_in(8);
        let length = if is_partial { state.random.below(bytes.len() as u64) as usize } else { bytes.len() };
        state.write(level, name, bytes.slice(..length));
        state.unwritten = is_partial.then_some((name, bytes));
    }

    pub(in crate::replica) fn delete(&self, level: Level, name: FileName) {
        let mut state = self.state.lock();
        state.complete_write();
        state.remember();
        state.files.remove(&(level, name));
    }

    /// Lets some requests find no files.
    pub(in crate::replica) fn vanish(&self) {
        let mut state = self.state.lock();
        state.vanished = state.random.below(40);
    }

    /// Deletes all files, also from stale listings.
    pub(in crate::replica) fn wipe(&self) {
        let mut state = self.state.lock();
        state.unwritten = None;
        state.files.clear();
        state.before.clear();
    }

    /// Returns all files.
    pub(in crate::replica) fn copy(&self) -> Vec<(Level, FileName, Bytes)> {
        let mut state = self.state.lock();
        state.complete_write();
        state.files.iter().map(|((level, name), object)| (*level, *name, object.bytes.clone())).collect()
    }

    /// Replaces all files.
    pub(in crate::replica) fn replace(&self, files: &[(Level, FileName, Bytes)]) {
        self.wipe();
        files.iter().for_each(|(level, name, bytes)| self.put(*level, *name, bytes.to_vec()));
    }

    /// Returns the files of a level in ascending order.
    pub(in crate::replica) fn files(&self, level: Level) -> Vec<FileName> {
        self.state.lock().files.keys().filter(|(at, _)| *at == level).map(|(_, name)| *name).collect()
    }
}

impl WorldState {
    fn write(&mut self, level: Level, name: FileName, bytes: Bytes) {
        self.written += 1;
        self.files.insert((level, name), StoredObject { bytes, version: self.written });
    }

    /// Completes a partly written file.
    fn complete_write(&mut self) {
        if let Some((name, bytes)) = self.unwritten.take() {
            self.write(Level::ZERO, name, bytes);
        }
    }

    /// Returns true if this request finds no files.
    fn is_vanished(&mut self) -> bool {
        let vanished = self.vanished > 0;
        self.vanished = self.vanished.saturating_sub(1);
        vanished
    }

    /// Sometimes makes the current files those of stale listings.
    fn remember(&mut self) {
        if self.random.one_in(3) {
            self.before = self.files.clone();
        }
    }

    /// Returns how long this request takes, and whether it fails.
    fn outcome(&mut self) -> (Duration, bool) {
        let delay = Duration::from_millis(self.random.below(200));
        (delay, !self.calm && self.random.one_in(25))
    }
}

fn unreachable() -> StoreError {
    StoreError::new(StoreErrorKind::Unreachable, "the model store", "the connection was closed")
}

#[async_trait]
impl Store for World {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        let (delay, fails) = self.state.lock().outcome();
        tokio::time::sleep(delay).await;
        if fails {
            return Err(unreachable());
        }
        let mut state = self.state.lock();
        if state.is_vanished() {
            return Ok(Vec::new());
        }
        let stale = !state.calm && state.random.one_in(6);
        let files = if stale { &state.before } else { &state.files };
        let listed = |((level, name), object): (&(Level, FileName), &StoredObject)| Listed {
            level: *level,
            name: *name,
            size: object.bytes.len() as u64,
            version: (!state.untagged).then(|| version(object)),
            modified_ms: 0,
        };
        Ok(files.iter().filter(|((at, name), _)| *at == level && name.min >= from).map(listed).collect())
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let (delay, fails) = self.state.lock().outcome();
        tokio::time::sleep(delay).await;
        if fails {
            return Err(unreachable());
        }
        let mut state = self.state.lock();
        let missing =
            || StoreError::new(StoreErrorKind::NotFound, format!("{name} at level {level}"), "there is no such file");
        if state.is_vanished() {
            return Err(missing());
        }
        let object = state.files.get(&(level, name)).ok_or_else(missing)?;
        read_range(&object.bytes, version(object), range, expected, &format!("{name} at level {level}"))
    }
}

fn version(object: &StoredObject) -> Version {
    Version(object.version.to_string().into())
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("model://world")
    }
}
