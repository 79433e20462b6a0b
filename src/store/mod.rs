//! Object stores: a URL becomes a store that lists a level and reads ranges of files, and says exactly why not.
//!
//! A store knows where files lie and how to fetch bytes. It knows nothing of their content.

mod allowed;
#[cfg(feature = "azure")]
mod azure;
mod backend;
mod blocking;
mod bounds;
#[cfg(test)]
mod canned;
mod cloud;
mod counting;
mod environment;
mod error;
mod etag;
mod file;
#[cfg(feature = "gcs")]
mod gcs;
mod http;
mod masked;
mod memory;
#[cfg(feature = "nats")]
mod nats;
mod parameters;
mod paths;
mod recipient;
#[cfg(any(feature = "nats", feature = "sftp"))]
mod reconnect;
mod s3;
#[cfg(feature = "sftp")]
mod sftp;
mod timeouts;
mod tls;
mod tries;
mod url;
#[cfg(any(feature = "http", feature = "webdav"))]
mod web;

pub use allowed::{Allowed, UrlVerdict};
pub use backend::{Location, LocationKey};
pub use counting::{Counting, Counts};
pub use error::{StoreError, StoreErrorKind};
pub use masked::one_line;
pub use memory::Memory;
#[cfg(test)]
pub(crate) use memory::read_range;

use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Which bytes an object has: an ETag, or what a file system offers in its place. Compared for equality alone.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Version(pub Arc<str>);

impl Version {
    /// [`StoreErrorKind::Changed`] if another version was expected at `place`.
    fn check(&self, expected: Option<&Version>, place: &str) -> Result<(), StoreError> {
        match expected {
            Some(expected) if expected != self => {
                Err(StoreError::new(StoreErrorKind::Changed, place, "another version stands there by now"))
            }
            _ => Ok(()),
        }
    }
}

/// A file as a listing shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Where it lies.
    pub level: Level,
    /// What it holds.
    pub name: FileName,
    /// Length in bytes.
    pub size: u64,
    /// Which bytes stand under this name, where a listing tells.
    pub version: Option<Version>,
    /// When the object was last written, in milliseconds since 1970. Only a hint: copying a replica changes it.
    pub modified_ms: i64,
}

/// What a read brought.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The bytes asked for, cut at the end of the file.
    pub bytes: Bytes,
    /// Length of the whole file in bytes.
    pub file_size: u64,
    /// Which bytes stood under this name when they were read.
    pub version: Version,
    /// When the object was last written, as [`Listed::modified_ms`]; 0 if the answer does not tell.
    pub modified_ms: i64,
}

/// A replica's files, wherever they lie. One implementation a backend.
#[async_trait]
pub trait Store: fmt::Debug + fmt::Display + Send + Sync {
    /// The files of a level whose min TXID is at least `from`, ascending by name. Foreign names are left out.
    /// A level, or a replica, that is not there has no files.
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError>;

    /// As [`Store::list`], of files whose min TXID is below `to`. A store that lists in order asks for no more.
    async fn list_range(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, StoreError> {
        let mut files = self.list(level, range.start).await?;
        files.retain(|file| file.name.min < range.end);
        Ok(files)
    }

    /// Bytes `range` of a file, or those of them that exist: a range that ends behind the file is cut, one that
    /// begins at or behind its end is empty. Never a hole: fewer bytes than the file has there is an error.
    ///
    /// With `expected`, only of that version ([`StoreErrorKind::Changed`] if another stands there).
    /// [`StoreErrorKind::NotFound`] if there is no such file.
    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError>;

    /// Whether a replica of Litestream 0.3 is there, which is another format. False where nobody can tell.
    async fn holds_older_format(&self) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// The folder that holds a replica of Litestream 0.3.
const OLDER_FORMAT: &str = "generations";

/// The store at a URL, with the credentials that the environment holds now. Asks nothing of it yet.
pub fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    Location::parse(url)?.connect()
}
