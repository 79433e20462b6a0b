//! Replicas in object stores of NATS JetStream.

mod bucket;
mod catalog;
mod config;
mod connection;
mod error;
mod messages;
mod object;
mod object_cache;
mod object_content;
mod options;
mod subjects;
#[cfg(test)]
mod tests;
mod write;

pub(super) use config::NatsConfig;
#[cfg(feature = "sftp")]
pub(super) use object::NatsObject;

use super::create::{CreationTries, OBJECT_LENGTH, unless_missing};
use super::paths::Layout;
use super::reconnect::Reconnecting;
use super::timeouts::Allowance;
use super::{Chunk, Creation, Listed, ObjectName, Store, StoreError, Version};
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use bytes::Bytes;
use catalog::Catalog;
use connection::NatsConnection;
use error::NatsError;
use object_cache::ObjectCache;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A replica in an object store, read over one connection.
pub(super) struct NatsStore {
    /// The URL without secrets.
    url: Arc<str>,
    connection: Reconnecting<NatsConnection>,
    catalog: Catalog,
    cache: ObjectCache,
}

impl fmt::Debug for NatsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsStore").field("config", self.connection.config()).finish_non_exhaustive()
    }
}

impl fmt::Display for NatsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl NatsStore {
    pub fn new(url: Arc<str>, config: NatsConfig) -> NatsStore {
        let (catalog, cache) = (Catalog::default(), ObjectCache::default());
        NatsStore { url, connection: Reconnecting::new(config), catalog, cache }
    }

    /// Sends a request as [`Reconnecting::request`] does. Fails at once if the server denies a permission meanwhile.
    async fn request<T, F>(
        &self,
        allowance: &Allowance,
        request: impl Fn(Arc<NatsConnection>) -> F,
    ) -> Result<T, NatsError>
    where
        F: Future<Output = Result<T, NatsError>>,
    {
        let send = |connection: Arc<NatsConnection>| {
            let response = request(connection.clone());
            async move { connection.unless_denied(response).await }
        };
        self.connection.request(allowance, send).await
    }

    /// Reads a range of an object, as [`Store::read`] does.
    async fn read_at(
        &self,
        object_name: String,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let url = format!("{}/{object_name}", self.url);
        let allowance = Allowance::of(0);
        let object = self.request(&allowance, |connection| {
            let object_name = &object_name;
            async move { connection.object(object_name).await }
        });
        let object = match object.await {
            Ok(object) => object,
            Err(error) if error.is_not_found() => return Err(StoreError::missing(url)),
            Err(error) => return Err(error.at(url)),
        };
        let version = object.version();
        version.check(expected, &url)?;
        let range = range.start..range.end.min(object.size);
        let bytes = if range.is_empty() {
            Bytes::new()
        } else {
            let cached = self.cache.get(&object);
            let read = |connection: Arc<NatsConnection>| {
                let (cached, range) = (&cached, range.clone());
                async move { cached.read(range, &connection).await }
            };
            let read = self.request(&Allowance::of(cached.missing(range.end)), read).await;
            read.map_err(|error| error.at(url.as_str()))?
        };
        Ok(Chunk { bytes, file_size: object.size, version, modified_ms: object.modified_ms })
    }

    /// Deletes an object, as [`Store::delete`] does. If a response is lost, a second try purges what the first one did, so it finds the bytes
    /// of an object without metadata, and none of another object.
    async fn delete_named(&self, name: &str) -> Result<(), NatsError> {
        let allowance = Allowance::of(0);
        let find = |connection: Arc<NatsConnection>| async move { connection.deletion(name).await };
        let Some(deletion) = &self.request(&allowance, find).await? else { return Ok(()) };
        let purge = |connection: Arc<NatsConnection>| async move { connection.purge_deleted(deletion).await };
        self.request(&allowance, purge).await
    }
}

#[async_trait]
impl Store for NatsStore {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        /// About the size of a listing of ten thousand files, in bytes.
        const LISTING_SIZE: u64 = 4 * 1024 * 1024;
        let allowance = &Allowance::of(LISTING_SIZE);
        let list = |connection: Arc<NatsConnection>| async move {
            self.catalog.list(&connection, level, from, allowance).await
        };
        let mut files = self.request(allowance, list).await.map_err(|error| error.at(self.url.clone()))?;
        files.sort_unstable_by_key(|file| file.name);
        Ok(files)
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
        let name = object.path(Layout::Decimal);
        let tries = CreationTries::default();
        let create = |connection: Arc<NatsConnection>| {
            let (name, bytes, tries) = (&name, &bytes, &tries);
            async move {
                let created = connection.unless_denied(connection.create(name, bytes));
                // A denial can be that of another request.
                tries.make(created, |error| error.kind.is_refusal() && !error.is_of_another_subject()).await
            }
        };
        let created = self.connection.request(&Allowance::of(bytes.len() as u64), create).await;
        created.map_err(|error| tries.failure(error.at(format!("{}/{name}", self.url))))
    }

    async fn delete(&self, object: ObjectName) -> Result<(), StoreError> {
        let name = object.path(Layout::Decimal);
        let deleted = self.delete_named(&name).await;
        deleted.map_err(|error| error.at(format!("{}/{name}", self.url)))
    }

    fn descriptors(&self) -> u64 {
        u64::from(self.connection.is_connected()) + self.cache.files()
    }
}
