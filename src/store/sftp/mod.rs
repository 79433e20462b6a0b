//! Replicas on an SSH server, read by SFTP.

mod authentication;
mod config;
mod connection;
mod content;
mod directory;
mod error;
mod host_key;
mod session;
#[cfg(test)]
mod tests;
mod wire;
mod write;

pub(super) use config::SftpConfig;
#[cfg(feature = "nats")]
pub(super) use wire::{parse_response, parse_version};

use super::create::{CreationTries, OBJECT_LENGTH, unless_missing};
use super::paths::Layout;
use super::reconnect::Reconnecting;
use super::timeouts::Allowance;
use super::{Chunk, Creation, Listed, OLDER_FORMAT, ObjectName, Store, StoreError, StoreErrorKind, Version};
use crate::lock::RwLock;
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use bytes::Bytes;
use connection::SftpConnection;
use error::SftpError;
use session::Session;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use wire::{FileKind, SftpRequest};

/// A replica on an SSH server, read over one connection.
pub(super) struct SftpStore {
    /// The URL without secrets.
    url: Arc<str>,
    connection: Reconnecting<SftpConnection>,
    /// The directory of the replica, once it was found.
    root: RwLock<Option<Arc<str>>>,
}

impl fmt::Debug for SftpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SftpStore").field("config", self.connection.config()).finish_non_exhaustive()
    }
}

impl fmt::Display for SftpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl SftpStore {
    pub fn new(url: Arc<str>, config: SftpConfig) -> SftpStore {
        SftpStore { url, connection: Reconnecting::new(config), root: RwLock::new(None) }
    }

    /// Returns the directory of the replica, or None if it does not exist. Litestream takes the path of a URL as absolute when it
    /// writes, and as relative to the user's initial directory when it restores, so both are tried. On most servers they are the same.
    async fn root(&self, session: &Session) -> Result<Option<Arc<str>>, SftpError> {
        let root = self.root.read().clone();
        if root.is_some() {
            return Ok(root);
        }
        let path = &self.connection.config().path;
        for path in [format!("/{path}"), path.clone()] {
            match session.attributes(SftpRequest::Stat(path.clone())).await {
                Ok(attributes) if attributes.mode.is_none() || attributes.is(FileKind::Directory) => {
                    *self.root.write() = Some(path.clone().into());
                    return Ok(Some(path.into()));
                }
                Ok(_) => return Err(SftpError::new(StoreErrorKind::Config, "it is a file, not a directory")),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Returns the directory of the replica: the one that exists, or else the one that Litestream would create.
    async fn root_for_writing(&self, session: &Session) -> Result<Arc<str>, SftpError> {
        let found = self.root(session).await?;
        Ok(found.unwrap_or_else(|| format!("/{}", self.connection.config().path).into()))
    }

    /// Reads a range of the file at a path relative to the replica, as [`Store::read`] does.
    async fn read_at(&self, path: String, range: Range<u64>, expected: Option<&Version>) -> Result<Chunk, StoreError> {
        /// The range may end far behind the file, so it counts as at most this many bytes for the deadline.
        const LONGEST_EXPECTED: u64 = 64 * 1024 * 1024;
        let url = format!("{}/{path}", self.url);
        let length = range.end.saturating_sub(range.start).min(LONGEST_EXPECTED);
        let read = |connection: Arc<SftpConnection>| {
            let (path, range) = (&path, range.clone());
            async move {
                let session = &connection.session;
                let Some(root) = self.root(session).await? else { return Ok(None) };
                let file = session.open(SftpRequest::Open(format!("{root}/{path}"))).await?;
                content::read(&file, range, expected).await.map(Some)
            }
        };
        let (attributes, bytes) = match self.connection.request(&Allowance::of(length), read).await {
            Ok(Some(found)) => found,
            Ok(None) => return Err(StoreError::missing(url)),
            Err(error) => return Err(error.at(url)),
        };
        let version = attributes.version();
        version.check(expected, &url)?;
        Ok(Chunk { bytes, file_size: attributes.size, version, modified_ms: attributes.modified_ms() })
    }
}

#[async_trait]
impl Store for SftpStore {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        /// About the size of a listing of a thousand files, in bytes.
        const LISTING_SIZE: u64 = 256 * 1024;
        let allowance = &Allowance::of(LISTING_SIZE);
        let list = |connection: Arc<SftpConnection>| async move {
            let session = &connection.session;
            let Some(root) = self.root(session).await? else { return Ok(Vec::new()) };
            let path = format!("{root}/{}", Layout::Decimal.level(level));
            match directory::list(session, &path, level, from, allowance).await {
                Err(error) if error.is_not_found() => Ok(Vec::new()),
                result => result,
            }
        };
        self.connection.request(allowance, list).await.map_err(|error| error.at(self.url.clone()))
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        self.read_at(Layout::Decimal.file(level, name), range, expected).await
    }

    async fn read_object(&self, object: ObjectName) -> Result<Option<Bytes>, StoreError> {
        unless_missing(self.read_at(object.path(Layout::Decimal), 0..OBJECT_LENGTH, None).await)
    }

    async fn create(&self, object: ObjectName, bytes: Bytes) -> Result<Creation, StoreError> {
        let path = object.path(Layout::Decimal);
        let tries = CreationTries::default();
        let create = |connection: Arc<SftpConnection>| {
            let (path, bytes, tries) = (&path, bytes.clone(), &tries);
            async move {
                let root = self.root_for_writing(&connection.session).await?;
                let created = write::create(&connection.session, &root, path, &bytes);
                tries.make(created, |error| error.kind.is_refusal()).await
            }
        };
        let created = self.connection.request(&Allowance::of(bytes.len() as u64), create).await;
        created.map_err(|error| tries.failure(error.at(format!("{}/{path}", self.url))))
    }

    async fn delete(&self, object: ObjectName) -> Result<(), StoreError> {
        let path = object.path(Layout::Decimal);
        let delete = |connection: Arc<SftpConnection>| {
            let path = &path;
            async move {
                let Some(root) = self.root(&connection.session).await? else { return Ok(()) };
                match connection.session.command(SftpRequest::Remove(format!("{root}/{path}"))).await {
                    Err(error) if !error.is_not_found() => Err(error),
                    _ => Ok(()),
                }
            }
        };
        let deleted = self.connection.request(&Allowance::of(0), delete).await;
        deleted.map_err(|error| error.at(format!("{}/{path}", self.url)))
    }

    async fn holds_older_format(&self) -> Result<bool, StoreError> {
        let is_found = |connection: Arc<SftpConnection>| async move {
            let session = &connection.session;
            let Some(root) = self.root(session).await? else { return Ok(false) };
            match session.attributes(SftpRequest::Stat(format!("{root}/{OLDER_FORMAT}"))).await {
                Ok(_) => Ok(true),
                Err(error) if error.is_not_found() => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.connection.request(&Allowance::of(0), is_found).await.map_err(|error| error.at(self.url.clone()))
    }

    fn descriptors(&self) -> u64 {
        self.connection.is_connected().into()
    }
}
