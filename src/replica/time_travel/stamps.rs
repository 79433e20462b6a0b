//! When files say that they were written, and what else their headers tell of a moment.

use crate::error::Error;
use crate::lock::Mutex;
use crate::ltx::{FileName, Level};
use crate::replica::files::loader::LoadError;
use crate::replica::time_travel::{ReachableMoment, TimeTravel};
use crate::store::{Listed, Version};
use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::HashMap;

/// Headers read at once.
const IN_FLIGHT: usize = 16;

/// How many are remembered.
const REMEMBERED: usize = 1 << 17;

/// What a header tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) struct Stamp {
    /// When the last transaction was written, in milliseconds since 1970; of a snapshot, when that was made.
    pub ms: i64,
    /// Size of the database after it, in pages.
    pub commit: u32,
}

/// Headers that were read. A file without a version is read every time.
#[derive(Default)]
pub(super) struct Stamps(Mutex<HashMap<(Level, FileName), (Version, Stamp)>>);

impl TimeTravel {
    /// What a file's header tells: one request, or none if it was read before.
    pub(super) async fn stamp(&self, file: &Listed) -> Result<Stamp, LoadError> {
        let known = self.stamps.0.lock().get(&(file.level, file.name)).cloned();
        if let Some((version, stamp)) = known
            && file.version.as_ref() == Some(&version)
        {
            return Ok(stamp);
        }
        let header = self.files.loader.header(file).await?;
        let stamp = Stamp { ms: header.timestamp_ms, commit: header.commit };
        if let Some(version) = &file.version {
            let mut stamps = self.stamps.0.lock();
            if stamps.len() >= REMEMBERED {
                stamps.clear();
            }
            stamps.insert((file.level, file.name), (version.clone(), stamp));
        }
        Ok(stamp)
    }

    /// The stamp of a moment: the earliest time that any of its files gives. One that is gone or damaged says nothing
    /// while another does.
    pub(super) async fn stamp_of(&self, moment: &ReachableMoment) -> Result<Stamp, LoadError> {
        let mut files = moment.files.clone();
        if files.iter().all(|file| file.level == Level::SNAPSHOT) {
            // A snapshot says when it was made. If level 0 was not listed there, it may know better.
            let name = FileName { min: moment.txid, max: moment.txid };
            files.push(Listed { level: Level::ZERO, name, size: 0, version: None, modified_ms: 0 });
        }
        let stamps: Vec<_> = files.iter().map(|file| self.stamp(file).boxed()).collect();
        let mut earliest: Result<Stamp, LoadError> = Err(LoadError::Moved);
        for stamp in join_all(stamps).await {
            earliest = match (earliest, stamp) {
                (Ok(one), Ok(other)) => Ok(if other.ms < one.ms { other } else { one }),
                (Ok(one), Err(_)) => Ok(one),
                (Err(LoadError::Other(error)), Err(_)) => Err(LoadError::Other(error)),
                (Err(_), stamp) => stamp,
            };
        }
        earliest
    }

    /// The stamps of moments, in their order.
    pub(super) async fn stamps_of(
        &self,
        moments: impl IntoIterator<Item = &ReachableMoment>,
    ) -> Result<Vec<Stamp>, LoadError> {
        let reading: Vec<_> = moments.into_iter().map(|moment| self.stamp_of(moment).boxed()).collect();
        stream::iter(reading).buffered(IN_FLIGHT).try_collect().await
    }
}

/// What was found, in its order, and None for what is gone.
pub(super) async fn or_gone(found: Vec<BoxFuture<'_, Result<Stamp, LoadError>>>) -> Result<Vec<Option<Stamp>>, Error> {
    let or_gone = |found| match found {
        Ok(stamp) => Ok(Some(stamp)),
        Err(LoadError::Moved) => Ok(None),
        Err(LoadError::Other(error)) => Err(error),
    };
    stream::iter(found).buffered(IN_FLIGHT).map(or_gone).try_collect().await
}
