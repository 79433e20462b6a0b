//! Replicas in object stores of NATS JetStream.

mod bucket;
mod catalog;
mod config;
mod connection;
mod error;
mod object_cache;

pub(super) use config::NatsConfig;

use super::paths::Layout;
use super::reconnect::Link;
use super::timeouts::Allowance;
use super::{Chunk, Listed, Store, StoreError, Version};
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use bytes::Bytes;
use catalog::{Catalog, version};
use connection::NatsConnection;
use error::NatsError;
use object_cache::ObjectCache;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A replica in an object store, read over one connection.
pub(super) struct NatsStore {
    shown: Arc<str>,
    place: NatsConfig,
    link: Link<NatsConnection>,
    catalog: Catalog,
    shelf: ObjectCache,
}

impl fmt::Debug for NatsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsStore").field("place", &self.place).finish_non_exhaustive()
    }
}

impl fmt::Display for NatsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl NatsStore {
    pub fn new(shown: Arc<str>, place: NatsConfig) -> NatsStore {
        let (catalog, shelf) = (Catalog::default(), ObjectCache::default());
        NatsStore { shown, place, link: Link::default(), catalog, shelf }
    }

    /// Asks something, over a new connection if the one there was does not answer. It may take as long as `allowance` says.
    async fn ask<T, F>(
        &self,
        allowance: &Allowance,
        question: impl Fn(Arc<NatsConnection>) -> F,
    ) -> Result<T, NatsError>
    where
        F: Future<Output = Result<T, NatsError>>,
    {
        let tries = async {
            let (connection, is_new) = self.connected().await?;
            match connection.ask(question(connection.clone())).await {
                Err(failure) if failure.is_passing() => {
                    self.link.discard(&connection).await;
                    if is_new {
                        return Err(failure);
                    }
                    let (connection, _) = self.connected().await?;
                    connection.ask(question(connection.clone())).await
                }
                answer => answer,
            }
        };
        match allowance.limit(tries).await {
            Some(answer) => answer,
            None => {
                self.link.disconnect().await;
                Err(NatsError::late(allowance.deadline().as_secs()))
            }
        }
    }

    /// The connection, and whether it was made just now.
    async fn connected(&self) -> Result<(Arc<NatsConnection>, bool), NatsError> {
        self.link.connected(NatsConnection::has_ended, NatsConnection::open(&self.place)).await
    }
}

#[async_trait]
impl Store for NatsStore {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        let allowance = &Allowance::of(LISTING);
        let list = |connection: Arc<NatsConnection>| async move {
            self.catalog.list(&connection, level, from, allowance).await
        };
        let listed = self.ask(allowance, list).await;
        let mut files = listed.map_err(|failure| failure.error(self.shown.clone()))?;
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
        let below = Layout::Decimal.file(level, name);
        let shown = format!("{}/{below}", self.shown);
        let allowance = Allowance::of(0);
        let object = self.ask(&allowance, |connection| {
            let below = &below;
            async move { connection.object(below).await }
        });
        let object = match object.await {
            Ok(object) => object,
            Err(failure) if failure.is_missing() => return Err(StoreError::missing(shown)),
            Err(failure) => return Err(failure.error(shown)),
        };
        let version = version(&object);
        version.check(expected, &shown)?;
        let range = range.start..range.end.min(object.size);
        let bytes = if range.is_empty() {
            Bytes::new()
        } else {
            let failed = |failure: NatsError| failure.error(shown.as_str());
            let kept = self.shelf.object(&object).map_err(failed)?;
            let read = |connection: Arc<NatsConnection>| {
                let (kept, range) = (&kept, range.clone());
                async move { kept.range(range, &connection).await }
            };
            self.ask(&Allowance::of(kept.missing(range.end)), read).await.map_err(failed)?
        };
        Ok(Chunk { bytes, file_size: object.size, version, modified_ms: object.modified_ms })
    }
}

/// About the length of a listing of some ten thousand files.
const LISTING: u64 = 4 * 1024 * 1024;
