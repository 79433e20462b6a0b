//! Object stores: opens a replica URL as a store that lists the files of a level and reads byte ranges of them.
//!
//! A store knows where files are stored and how to fetch their bytes. It does not know their content.

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
mod create;
mod environment;
mod error;
mod etag;
#[cfg(all(test, feature = "azure", feature = "gcs", feature = "http", feature = "webdav"))]
mod faults;
mod file;
#[cfg(all(feature = "nats", feature = "sftp"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "gcs")]
mod gcs;
#[cfg(test)]
pub(crate) mod golden;
mod http;
mod location;
mod masked;
mod memory;
#[cfg(feature = "nats")]
mod nats;
mod parameters;
mod paths;
mod recipient;
#[cfg(any(feature = "nats", feature = "sftp"))]
mod reconnect;
mod redirects;
mod s3;
mod schemes;
#[cfg(feature = "sftp")]
mod sftp;
mod timeouts;
mod tls;
mod tries;
mod url;
#[cfg(any(feature = "http", feature = "webdav"))]
mod web;

pub use allowed::{Allowed, UrlVerdict};
pub use counting::{Counting, Counts};
pub use create::{Creation, ObjectName, probe_create};
pub use error::{StoreError, StoreErrorKind};
pub use location::{Location, LocationKey};
pub use masked::{masked, one_line};
pub use memory::Memory;
#[cfg(test)]
pub(crate) use memory::read_range;

use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The version of an object: its ETag, or an equivalent such as inode, size and time of a file.
///
/// Versions are only compared for equality. Two objects of the same name with equal versions have the same bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Version(pub Arc<str>);

impl Version {
    /// Fails with [`StoreErrorKind::Changed`] if another version was expected. `url` is the masked URL of the object.
    fn check(&self, expected: Option<&Version>, url: &str) -> Result<(), StoreError> {
        match expected {
            Some(expected) if expected != self => Err(StoreError::changed(url)),
            _ => Ok(()),
        }
    }
}

/// An LTX file in a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The level that the file belongs to.
    pub level: Level,
    /// The name, which contains the range of transactions.
    pub name: FileName,
    /// The length in bytes.
    pub size: u64,
    /// The version, or None if listings of this store contain no versions.
    pub version: Option<Version>,
    /// When the object was last written, in milliseconds since 1970. Only a hint, because copying a replica changes it.
    pub modified_ms: i64,
}

/// The result of [`Store::read`].
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The requested bytes, up to the end of the file.
    pub bytes: Bytes,
    /// The length of the whole file in bytes.
    pub file_size: u64,
    /// The version that the bytes were read from.
    pub version: Version,
    /// When the object was last written, in milliseconds since 1970, as [`Listed::modified_ms`]; 0 if it is unknown.
    pub modified_ms: i64,
}

/// Access to the LTX files of one replica. Each backend has one implementation.
///
/// # Files
///
/// A file is identified by its [`Level`] and its [`FileName`]. Files are written in one step by most backends, but not by all: over
/// WebDAV, or if a person copies files, a file may be listed and read before it is complete. Files can be replaced under the same
/// name and can be deleted at any time, so a listing may be outdated when it arrives.
///
/// # Errors
///
/// The [`StoreErrorKind`] of an error determines what the caller can do about it. Implementations retry transient failures themselves,
/// within a deadline of 10 s plus the time for the transfer, so the caller should not retry immediately.
///
/// # Concurrency
///
/// All methods may be called concurrently. A future may be dropped at any time, which cancels the request.
///
/// `Display` writes the URL of the replica with secrets masked.
#[async_trait]
pub trait Store: fmt::Debug + fmt::Display + Send + Sync {
    /// Lists the files of `level` whose min TXID is at least `from`, in ascending order of their names.
    ///
    /// Objects whose names are not names of LTX files are left out. Returns an empty list if the level or the replica does not
    /// exist. Fails with [`StoreErrorKind::Protocol`] if a listing has more names than any replica should have.
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError>;

    /// Lists the files of `level` whose min TXID is in `range`, in ascending order of their names.
    ///
    /// Otherwise the same as [`Store::list`]. Stores that list names in order stop at the end of `range`; by default, the rest of the
    /// level is listed and discarded.
    async fn list_range(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, StoreError> {
        let mut files = self.list(level, range.start).await?;
        files.retain(|file| file.name.min < range.end);
        Ok(files)
    }

    /// Reads the bytes of a file at the positions `range`.
    ///
    /// A range that extends beyond the end of the file is shortened, and one that begins at or after the end returns no bytes, so
    /// the length of the file need not be known. Otherwise all bytes of the range are returned: an incomplete response is an error.
    /// An empty range returns the size and the version of the file without reading it.
    ///
    /// If `expected` is given, the bytes are of that version. Fails with [`StoreErrorKind::Changed`] if the file has another
    /// version, and with [`StoreErrorKind::NotFound`] if it does not exist.
    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError>;

    /// Creates an object with these bytes, unless an object of this name exists. Of several concurrent calls with one name, one creates it,
    /// if the store passes [`probe_create`].
    ///
    /// Retries transient failures with the same bytes, so [`Creation::Exists`] can mean that an earlier try succeeded: the caller compares
    /// the content. After an error it is unknown whether the object exists, except for [`StoreErrorKind::Denied`],
    /// [`StoreErrorKind::Config`] and [`StoreErrorKind::ReadOnly`]: then no try has created it.
    async fn create(&self, object: ObjectName, bytes: Bytes) -> Result<Creation, StoreError> {
        let _ = (object, bytes);
        Err(StoreError::read_only(self.to_string()))
    }

    /// Reads an object that is not a file of a level, or its first 64 KiB. Returns None if it does not exist.
    async fn read_object(&self, object: ObjectName) -> Result<Option<Bytes>, StoreError> {
        let _ = object;
        Err(StoreError::read_only(self.to_string()))
    }

    /// Deletes an object. Does nothing if it does not exist.
    async fn delete(&self, object: ObjectName) -> Result<(), StoreError> {
        let _ = object;
        Err(StoreError::read_only(self.to_string()))
    }

    /// Returns how many descriptors this store keeps open between requests. Connections over HTTP do not count: all stores on a server share
    /// them.
    fn descriptors(&self) -> u64 {
        0
    }

    /// Returns whether there is a replica of Litestream 0.3, whose format differs. Returns false if this is unknown.
    async fn holds_older_format(&self) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// The folder that contains a replica of Litestream 0.3.
const OLDER_FORMAT: &str = "generations";

/// Opens the store at a URL, with the credentials in the current environment. Sends no request.
pub fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    Location::parse(url)?.connect()
}
