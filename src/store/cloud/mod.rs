//! Replicas in buckets: what S3, Google Cloud Storage and Azure Blob Storage have in common, which is nearly all.

mod ask;
mod attempt;
mod checksum;
mod client;
mod error;
mod listing;
mod transport;

pub(super) use client::{Bucket, ClientParts, Service, unsigned, unusable};
pub(super) use error::is_region;

use super::http::Clients;
use super::{Chunk, Listed, OLDER_FORMAT, Store, StoreError, StoreErrorKind, Version, etag};
use crate::lock::RwLock;
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use attempt::{Attempt, Partial};
use bytes::Bytes;
use client::Client;
use error::CloudOperation;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A replica in a bucket.
pub(super) struct CloudStore<S> {
    shown: Arc<str>,
    service: S,
    clients: Arc<Clients>,
    client: RwLock<Client>,
}

impl<S: Service> fmt::Debug for CloudStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client would show its credentials.
        f.debug_struct("CloudStore").field("service", &self.service).finish_non_exhaustive()
    }
}

impl<S: Service> CloudStore<S> {
    pub fn new(shown: Arc<str>, service: S, clients: Arc<Clients>) -> Result<CloudStore<S>, String> {
        let client = Client::new(&service, service.region(), &clients)?;
        Ok(CloudStore { shown, service, clients, client: RwLock::new(client) })
    }

    fn server(&self) -> &str {
        self.service.server()
    }

    fn file(&self, level: Level, name: FileName) -> Result<ObjectRef, StoreError> {
        let below = self.service.layout().file(level, name);
        let shown = format!("{}/{below}", self.shown);
        match Path::parse(format!("{}/{below}", self.service.path())) {
            Ok(key) => Ok(ObjectRef { key, shown }),
            Err(_) => Err(StoreError::new(StoreErrorKind::Config, shown, "no key of a bucket can be called so")),
        }
    }

    /// What a read without bytes answers: that the file is there, and how long it is.
    async fn nothing_of(
        &self,
        file: &ObjectRef,
        range: &Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let head = |bucket: Arc<dyn Bucket>, attempt| async move {
            let mut options = GetOptions { head: true, ..GetOptions::default() };
            options.extensions.insert(attempt);
            bucket.get_opts(&file.key, options).await.map(|answer| answer.meta)
        };
        let meta = self.ask(0, head).await.map_err(|failure| failure.error(&file.shown, CloudOperation::File))?;
        let version = version(&meta);
        version.check(expected, &file.shown)?;
        if !range.is_empty() && range.start < meta.size {
            let cause = "it was rewritten while it was read";
            return Err(StoreError::new(StoreErrorKind::Changed, file.shown.as_str(), cause));
        }
        Ok(Chunk {
            bytes: Bytes::new(),
            file_size: meta.size,
            version,
            modified_ms: meta.last_modified.timestamp_millis(),
        })
    }
}

/// A file of the bucket.
struct ObjectRef {
    key: Path,
    shown: String,
}

impl<S: Service> fmt::Display for CloudStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Servers that read ranges as signed numbers do not take longer ones.
const LONGEST: u64 = i64::MAX as u64;

#[async_trait]
impl<S: Service + 'static> Store for CloudStore<S> {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        self.list_range(level, from..Txid(u64::MAX)).await
    }

    async fn list_range(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, StoreError> {
        self.listing(level, range).await
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let file = self.file(level, name)?;
        let range = range.start..range.end.min(LONGEST);
        if range.is_empty() {
            return self.nothing_of(&file, &range, expected).await;
        }
        let (key, partial) = (&file.key, Arc::new(Partial::default()));
        let question = |bucket: Arc<dyn Bucket>, attempt: Attempt| {
            // What came before the last answer broke off is not asked for again.
            let (came, tag) = partial.reached().unzip();
            let mut options = GetOptions {
                range: Some(GetRange::Bounded(range.start + came.unwrap_or(0)..range.end)),
                if_match: tag.map(|tag| etag::quoted(&tag)).or_else(|| expected.and_then(etag::if_match)),
                ..GetOptions::default()
            };
            options.extensions.insert(Attempt { partial: Some(partial.clone()), ..attempt });
            async move {
                let answer = bucket.get_opts(key, options).await?;
                Ok((answer.meta.clone(), answer.range.clone(), answer.bytes().await?))
            }
        };
        let (meta, sent, bytes) = match self.ask(range.end - range.start, question).await {
            Ok(answer) => answer,
            Err(failure) if failure.refusal().is_some_and(|refusal| refusal.status == BEHIND_THE_END) => {
                return self.nothing_of(&file, &range, expected).await;
            }
            // Some answer a range that begins at the end with one that makes no sense.
            Err(failure) if failure.is_nonsense() => {
                let nothing = self.nothing_of(&file, &range, expected).await;
                return nothing.map_err(|_| failure.error(&file.shown, CloudOperation::File));
            }
            // Some say of a file that is not there, too, that it is another than the one expected.
            Err(failure) if failure.refusal().is_some_and(|refusal| refusal.status == ANOTHER) => {
                let there = self.nothing_of(&file, &(0..0), expected).await;
                return Err(there.err().unwrap_or_else(|| failure.error(&file.shown, CloudOperation::File)));
            }
            Err(failure) => return Err(failure.error(&file.shown, CloudOperation::File)),
        };
        let version = version(&meta);
        // Not every server knows If-Match.
        version.check(expected, &file.shown)?;
        if bytes.len() as u64 != sent.end - sent.start {
            let cause = format!("the answer of {} broke off", self.server());
            return Err(StoreError::new(StoreErrorKind::Unreachable, file.shown, cause));
        }
        let (bytes, modified_ms) = (partial.complete(bytes), meta.last_modified.timestamp_millis());
        Ok(Chunk { bytes, file_size: meta.size, version, modified_ms })
    }

    async fn holds_older_format(&self) -> Result<bool, StoreError> {
        let prefix = format!("{}/{OLDER_FORMAT}/", self.service.path());
        let page = self.page(&prefix, None, None, 1).await;
        let (objects, _) = page.map_err(|failure| failure.error(&self.shown, CloudOperation::Listing))?;
        Ok(!objects.is_empty())
    }
}

/// The status of an answer to a request for a version that does not stand there.
const ANOTHER: u16 = 412;

/// The status of an answer to a range that begins at or behind the end of the file.
const BEHIND_THE_END: u16 = 416;

fn version(meta: &ObjectMeta) -> Version {
    etag::version(meta.e_tag.as_deref(), meta.size, meta.last_modified.timestamp_millis())
}
