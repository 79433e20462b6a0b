//! A store in memory that delays, fails, cuts off, and lists what was there a moment ago.

use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::replica::testing::simulation::random::Random;
use crate::store::{Chunk, Listed, Store, StoreError, StoreErrorKind, Version};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

type Files = BTreeMap<(Level, FileName), StoredObject>;

#[derive(Clone)]
struct StoredObject {
    bytes: Bytes,
    version: u64,
}

pub(in crate::replica) struct World {
    state: Mutex<WorldState>,
}

struct WorldState {
    files: Files,
    /// What a stale listing shows.
    before: Files,
    random: Random,
    written: u64,
    calm: bool,
    /// Listings do not tell versions.
    untagged: bool,
    /// How many requests find nothing, before everything is there again.
    vanished: u64,
    /// The rest of a file that is there by half.
    unwritten: Option<(FileName, Bytes)>,
}

impl World {
    pub(in crate::replica) fn new(mut random: Random) -> World {
        let (files, before, untagged) = (Files::new(), Files::new(), random.one_in(3));
        let state =
            WorldState { files, before, random, written: 0, calm: false, untagged, vanished: 0, unwritten: None };
        World { state: Mutex::new(state) }
    }

    /// No more faults.
    pub(in crate::replica) fn calm(&self) {
        let mut state = self.state.lock();
        state.calm = true;
        state.vanished = 0;
        state.write_out();
    }

    pub(in crate::replica) fn is_calm(&self) -> bool {
        self.state.lock().calm
    }

    pub(in crate::replica) fn put(&self, level: Level, name: FileName, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        state.write_out();
        state.remember();
        let bytes = Bytes::from(bytes);
        let by_half = level == Level::ZERO && !state.calm && state.random.one_in(8);
        let length = if by_half { state.random.below(bytes.len() as u64) as usize } else { bytes.len() };
        state.write(level, name, bytes.slice(..length));
        state.unwritten = by_half.then_some((name, bytes));
    }

    pub(in crate::replica) fn delete(&self, level: Level, name: FileName) {
        let mut state = self.state.lock();
        state.write_out();
        state.remember();
        state.files.remove(&(level, name));
    }

    /// Nothing is found for a while.
    pub(in crate::replica) fn vanish(&self) {
        let mut state = self.state.lock();
        state.vanished = state.random.below(40);
    }

    /// Deletes everything. What stale listings show is gone too: it belongs to another life.
    pub(in crate::replica) fn wipe(&self) {
        let mut state = self.state.lock();
        state.unwritten = None;
        state.files.clear();
        state.before.clear();
    }

    /// All that is there.
    pub(in crate::replica) fn copy(&self) -> Vec<(Level, FileName, Bytes)> {
        let mut state = self.state.lock();
        state.write_out();
        state.files.iter().map(|((level, name), object)| (*level, *name, object.bytes.clone())).collect()
    }

    /// Puts a copy in the place of what is there.
    pub(in crate::replica) fn replace(&self, files: &[(Level, FileName, Bytes)]) {
        self.wipe();
        files.iter().for_each(|(level, name, bytes)| self.put(*level, *name, bytes.to_vec()));
    }

    /// What lies at a level now, ascending.
    pub(in crate::replica) fn files(&self, level: Level) -> Vec<FileName> {
        self.state.lock().files.keys().filter(|(at, _)| *at == level).map(|(_, name)| *name).collect()
    }
}

impl WorldState {
    fn write(&mut self, level: Level, name: FileName, bytes: Bytes) {
        self.written += 1;
        self.files.insert((level, name), StoredObject { bytes, version: self.written });
    }

    /// What is there by half is there whole now.
    fn write_out(&mut self) {
        if let Some((name, bytes)) = self.unwritten.take() {
            self.write(Level::ZERO, name, bytes);
        }
    }

    /// Whether the next request finds nothing.
    fn is_vanished(&mut self) -> bool {
        let vanished = self.vanished > 0;
        self.vanished = self.vanished.saturating_sub(1);
        vanished
    }

    fn remember(&mut self) {
        if self.random.one_in(3) {
            self.before = self.files.clone();
        }
    }

    /// How long the next request takes, and whether it fails.
    fn fate(&mut self) -> (Duration, bool) {
        let delay = Duration::from_millis(self.random.below(200));
        (delay, !self.calm && self.random.one_in(25))
    }
}

fn unreachable() -> StoreError {
    StoreError::new(StoreErrorKind::Unreachable, "the model store", "the connection broke off")
}

#[async_trait]
impl Store for World {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        let (delay, fails) = self.state.lock().fate();
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
        let (delay, fails) = self.state.lock().fate();
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
        if expected.is_some_and(|expected| *expected != version(object)) {
            return Err(StoreError::new(StoreErrorKind::Changed, format!("{name} at level {level}"), "another file"));
        }
        let size = object.bytes.len();
        let bytes = object.bytes.slice((range.start as usize).min(size)..(range.end as usize).min(size));
        Ok(Chunk { bytes, file_size: size as u64, version: version(object), modified_ms: 0 })
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
