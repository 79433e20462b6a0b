//! Reads and caches the times and database sizes in file headers.

use crate::error::Error;
use crate::lock::Mutex;
use crate::ltx::{FileName, Level};
use crate::replica::files::damage::Damage;
use crate::replica::files::load_error::LoadError;
use crate::replica::time_travel::TimeTravel;
use crate::replica::time_travel::reachable::ReachableState;
use crate::store::{Listed, Version};
use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::HashMap;

/// How many files or states are read concurrently.
const IN_FLIGHT: usize = 16;

/// How many headers are cached.
const MAX_CACHED: usize = 1 << 17;

/// The fields of a header that time travel needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HeaderSummary {
    /// When the last transaction was written, in milliseconds since 1970. For a snapshot, when the snapshot was made.
    pub time_ms: i64,
    /// Size of the database after it, in pages.
    pub commit: u32,
}

/// The headers that were read. A file that is listed without a version is not cached.
#[derive(Default)]
pub(super) struct HeaderCache(Mutex<HashMap<(Level, FileName), (Version, HeaderSummary)>>);

impl HeaderCache {
    /// Returns the header of a file if the version that was read is the listed one.
    fn get(&self, file: &Listed) -> Option<HeaderSummary> {
        let headers = self.0.lock();
        let (version, header) = headers.get(&(file.level, file.name))?;
        (file.version.as_ref() == Some(version)).then_some(*header)
    }

    fn insert(&self, file: &Listed, header: HeaderSummary) {
        let Some(version) = &file.version else { return };
        let mut headers = self.0.lock();
        if headers.len() >= MAX_CACHED {
            headers.clear();
        }
        headers.insert((file.level, file.name), (version.clone(), header));
    }
}

impl TimeTravel {
    /// Returns the header of a file. Makes one request, or none if the header is cached.
    pub(super) async fn header(&self, file: &Listed) -> Result<HeaderSummary, LoadError> {
        if let Some(header) = self.headers.get(file) {
            return Ok(header);
        }
        let header = self.files.loader.header(file).await?;
        let header = HeaderSummary { time_ms: header.timestamp_ms, commit: header.commit };
        self.headers.insert(file, header);
        Ok(header)
    }

    /// Returns the header with the earliest time among the files that end at a state. Ignores files that have vanished
    /// or are damaged if another can be read. Fails with damage only if no other failure hides an undamaged file.
    pub(super) async fn state_header(&self, state: &ReachableState) -> Result<HeaderSummary, LoadError> {
        let mut files = state.files.clone();
        if files.iter().all(|file| file.level == Level::SNAPSHOT) {
            // The time of a snapshot is when it was made. If this part of level 0 was not listed, it may contain a file
            // with the time of the transaction.
            let name = FileName::of(state.txid);
            files.push(Listed { level: Level::ZERO, name, size: 0, version: None, modified_ms: 0 });
        }
        let reads: Vec<_> = files.iter().map(|file| self.header(file).boxed()).collect();
        let mut earliest: Result<HeaderSummary, LoadError> = Err(LoadError::Moved);
        for header in join_all(reads).await {
            earliest = match (earliest, header) {
                (Ok(one), Ok(other)) => Ok(if other.time_ms < one.time_ms { other } else { one }),
                (Ok(one), Err(_)) => Ok(one),
                (Err(_), Ok(other)) => Ok(other),
                (Err(one), Err(other)) => Err(if weight(&other) > weight(&one) { other } else { one }),
            };
        }
        earliest
    }

    /// Returns the headers of states in the order of `states`, or the damage of a file of the state if it has none that
    /// can be read.
    pub(super) async fn state_headers(
        &self,
        states: impl IntoIterator<Item = &ReachableState>,
    ) -> Result<Vec<Result<HeaderSummary, Damage>>, LoadError> {
        let reads: Vec<_> = states.into_iter().map(|state| self.header_or_damage(state).boxed()).collect();
        stream::iter(reads).buffered(IN_FLIGHT).try_collect().await
    }

    /// Returns the header of a state, or the damage of its file of the highest level.
    async fn header_or_damage(&self, state: &ReachableState) -> Result<Result<HeaderSummary, Damage>, LoadError> {
        match (self.state_header(state).await, state.files.last()) {
            (Err(error), Some(file)) => Damage::of(file, error).map(Err),
            (header, _) => header.map(Ok),
        }
    }
}

/// Orders failures: damage says more than that a file has vanished, and less than that the store did not answer.
fn weight(error: &LoadError) -> (bool, bool) {
    (error.cause().is_some(), !error.is_damage())
}

/// Awaits `reads` and returns their results in the same order, with None for files that have vanished or are damaged.
pub(super) async fn existing<T>(reads: Vec<BoxFuture<'_, Result<T, LoadError>>>) -> Result<Vec<Option<T>>, Error> {
    let if_exists = |read: Result<T, LoadError>| match read {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_damage() => Ok(None),
        Err(LoadError::Moved) => Ok(None),
        Err(LoadError::Other(error)) => Err(error),
    };
    stream::iter(reads).buffered(IN_FLIGHT).map(if_exists).try_collect().await
}
