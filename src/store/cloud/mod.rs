//! Replicas in buckets: what S3, Google Cloud Storage and Azure Blob Storage have in common, which is nearly all.

mod client;
mod failure;

pub(super) use client::{Bucket, Parts, Service, unsigned, unusable};
pub(super) use failure::is_region;

use super::http::Clients;
use super::paths;
use super::{Chunk, Error, ErrorKind, Listed, Store, Version, etag, patience};
use crate::lock::RwLock;
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use bytes::Bytes;
use client::Client;
use failure::{Failure, Refusal, Wish};
use object_store::list::PaginatedListOptions;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta};
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use tokio::time::timeout;

/// A replica in a bucket.
pub(super) struct CloudStore<S> {
    shown: Arc<str>,
    service: S,
    clients: Clients,
    client: RwLock<Client>,
}

impl<S: Service> fmt::Debug for CloudStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client would show its credentials.
        f.debug_struct("CloudStore").field("service", &self.service).finish_non_exhaustive()
    }
}

impl<S: Service> CloudStore<S> {
    pub fn new(shown: Arc<str>, service: S, clients: Clients) -> Result<CloudStore<S>, String> {
        let client = Client::new(&service, service.region(), &clients)?;
        Ok(CloudStore { shown, service, clients, client: RwLock::new(client) })
    }

    fn server(&self) -> &str {
        self.service.server()
    }

    fn file(&self, level: Level, name: FileName) -> Result<Place, Error> {
        let below = self.service.layout().file(level, name);
        let shown = format!("{}/{below}", self.shown);
        match Path::parse(format!("{}/{below}", self.service.path())) {
            Ok(key) => Ok(Place { key, shown }),
            Err(_) => Err(Error::new(ErrorKind::Config, shown, "no key of a bucket can be called so")),
        }
    }

    /// Asks the bucket, in its region, for an answer of about `bytes`.
    async fn ask<T, F>(&self, bytes: u64, question: impl Fn(Arc<dyn Bucket>) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let client = self.client.read().clone();
        let failure = match self.ask_once(bytes, client.bucket, &question).await {
            Err(failure) => failure,
            answer => return answer,
        };
        let region = failure.refusal().and_then(Refusal::elsewhere);
        let Some(region) = region.filter(|region| **region != *client.region) else { return Err(failure) };
        tracing::info!("{self}: the bucket is in the region {region}, not {}", client.region);
        let Ok(client) = Client::new(&self.service, region, &self.clients) else { return Err(failure) };
        *self.client.write() = client.clone();
        self.ask_once(bytes, client.bucket, &question).await
    }

    async fn ask_once<T, F>(
        &self,
        bytes: u64,
        bucket: Arc<dyn Bucket>,
        question: impl Fn(Arc<dyn Bucket>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let deadline = patience::deadline(bytes);
        let below = |error| Failure::below(&error, self.server());
        let answer = async {
            // What those say who give credentials must not be taken for what the bucket says of a file.
            if let Some(settings) = self.service.lacks() {
                bucket.authorize().await.map_err(|error| below(error).unsigned(settings))?;
            }
            question(bucket).await.map_err(below)
        };
        match timeout(deadline, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::late(self.server(), deadline.as_secs())),
        }
    }

    /// One page of a listing: its objects, and where the next page begins.
    async fn page(
        &self,
        prefix: &str,
        start: Option<&str>,
        token: Option<String>,
        most: usize,
    ) -> Result<(Vec<ObjectMeta>, Option<String>), Failure> {
        let options = PaginatedListOptions {
            offset: start.map(|start| format!("{prefix}{start}")),
            max_keys: Some(most),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let question = |bucket: Arc<dyn Bucket>| {
            let options = options.clone();
            async move { bucket.list_paginated(Some(prefix), options).await }
        };
        let page = self.ask(PAGE, question).await?;
        Ok((page.result.objects, page.page_token))
    }

    /// What a read without bytes answers: that the file is there, and how long it is.
    async fn nothing_of(&self, file: &Place, range: &Range<u64>, expected: Option<&Version>) -> Result<Chunk, Error> {
        let head = |bucket: Arc<dyn Bucket>| async move {
            let options = GetOptions { head: true, ..GetOptions::default() };
            bucket.get_opts(&file.key, options).await.map(|answer| answer.meta)
        };
        let meta = self.ask(0, head).await.map_err(|failure| failure.error(&file.shown, Wish::File))?;
        let version = version(&meta);
        version.check(expected, &file.shown)?;
        if !range.is_empty() && range.start < meta.size {
            let cause = "it was rewritten while it was read";
            return Err(Error::new(ErrorKind::Changed, file.shown.as_str(), cause));
        }
        Ok(Chunk { bytes: Bytes::new(), file_size: meta.size, version })
    }
}

/// A file of the bucket.
struct Place {
    key: Path,
    shown: String,
}

impl<S: Service> fmt::Display for CloudStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// About the length of a page of 1000 objects.
const PAGE: u64 = 512 * 1024;

/// Servers that read ranges as signed numbers do not take longer ones.
const LONGEST: u64 = i64::MAX as u64;

#[async_trait]
impl<S: Service + 'static> Store for CloudStore<S> {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, Error> {
        self.list_range(level, from..Txid(u64::MAX)).await
    }

    async fn list_range(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, Error> {
        let prefix = format!("{}/{}/", self.service.path(), self.service.layout().level(level));
        let start = paths::start(range.start);
        // One more than can be in it, which shows that there are no more.
        let most = range.end.0.saturating_sub(range.start.0).saturating_add(1).min(PAGE_KEYS) as usize;
        let (mut files, mut token) = (Vec::new(), None);
        loop {
            let page = self.page(&prefix, start.as_deref(), token.clone(), most).await;
            let (objects, next) = page.map_err(|failure| failure.error(&self.shown, Wish::Listing))?;
            files.extend(objects.iter().filter_map(|object| listed(level, range.start, &prefix, object)));
            if next.is_some() && next == token {
                let cause = format!("{} answers the same page of a listing for ever", self.server());
                return Err(Error::new(ErrorKind::Protocol, self.shown.clone(), cause));
            }
            // Keys come in their order.
            let is_behind = files.last().is_some_and(|last| last.name.min >= range.end);
            match next {
                Some(next) if !is_behind => token = Some(next),
                _ => break,
            }
        }
        files.retain(|file| file.name.min < range.end);
        files.sort_unstable_by_key(|file| file.name);
        Ok(files)
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, Error> {
        let file = self.file(level, name)?;
        let range = range.start..range.end.min(LONGEST);
        if range.is_empty() {
            return self.nothing_of(&file, &range, expected).await;
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: expected.and_then(etag::if_match),
            ..GetOptions::default()
        };
        let key = &file.key;
        let question = |bucket: Arc<dyn Bucket>| {
            let options = options.clone();
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
                return nothing.map_err(|_| failure.error(&file.shown, Wish::File));
            }
            // Some say of a file that is not there, too, that it is another than the one expected.
            Err(failure) if failure.refusal().is_some_and(|refusal| refusal.status == ANOTHER) => {
                let there = self.nothing_of(&file, &(0..0), expected).await;
                return Err(there.err().unwrap_or_else(|| failure.error(&file.shown, Wish::File)));
            }
            Err(failure) => return Err(failure.error(&file.shown, Wish::File)),
        };
        let version = version(&meta);
        // Not every server knows If-Match.
        version.check(expected, &file.shown)?;
        if bytes.len() as u64 != sent.end - sent.start {
            let cause = format!("the answer of {} broke off", self.server());
            return Err(Error::new(ErrorKind::Unreachable, file.shown, cause));
        }
        Ok(Chunk { bytes, file_size: meta.size, version })
    }
}

/// The status of an answer to a request for a version that does not stand there.
const ANOTHER: u16 = 412;

/// The most keys that a service gives at once.
const PAGE_KEYS: u64 = 1000;

/// The status of an answer to a range that begins at or behind the end of the file.
const BEHIND_THE_END: u16 = 416;

fn listed(level: Level, from: Txid, prefix: &str, object: &ObjectMeta) -> Option<Listed> {
    let name = object.location.as_ref().strip_prefix(prefix).and_then(FileName::parse)?;
    (name.min >= from).then(|| Listed {
        level,
        name,
        size: object.size,
        version: object.e_tag.is_some().then(|| version(object)),
        modified_ms: object.last_modified.timestamp_millis(),
    })
}

fn version(meta: &ObjectMeta) -> Version {
    etag::version(meta.e_tag.as_deref(), meta.size, meta.last_modified.timestamp_millis())
}
