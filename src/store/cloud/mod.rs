//! Replicas in buckets: what S3, Google Cloud Storage and Azure Blob Storage have in common, which is nearly all.

mod attempt;
mod checksum;
mod client;
mod failure;
mod transport;

pub(super) use client::{Bucket, Parts, Service, unsigned, unusable};

use super::bounds::{MOST_EMPTY_PAGES, MOST_NAMES, too_many_names};
use super::http::Clients;
use super::paths;
use super::patience::{self, Allowance};
use super::tries::Tries;
use super::{Chunk, Error, ErrorKind, Listed, OLDER_FORMAT, Store, Version, etag};
use crate::lock::RwLock;
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use attempt::{Attempt, Partial};
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

    fn file(&self, level: Level, name: FileName) -> Result<Place, Error> {
        let below = self.service.layout().file(level, name);
        let shown = format!("{}/{below}", self.shown);
        match Path::parse(format!("{}/{below}", self.service.path())) {
            Ok(key) => Ok(Place { key, shown }),
            Err(_) => Err(Error::new(ErrorKind::Config, shown, "no key of a bucket can be called so")),
        }
    }

    /// Asks the bucket, in its region, for an answer of about `bytes`, and again where another try may help.
    async fn ask<T, F>(&self, bytes: u64, question: impl Fn(Arc<dyn Bucket>, Attempt) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let allowed = patience::deadline(bytes);
        let answer = async {
            let mut tries = Tries::within(allowed);
            let mut has_moved = false;
            loop {
                let attempt = Attempt { fresh: tries.is_fresh(), partial: None };
                let failure = match self.ask_once(bytes, &question, attempt).await {
                    Err(failure) => failure,
                    answer => return answer,
                };
                if !std::mem::replace(&mut has_moved, true) && self.goes_where(&failure) {
                    continue;
                }
                if let Err(stop) = tries.next(failure.trouble()).await {
                    return Err(failure.after(stop));
                }
            }
        };
        match timeout(allowed, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::late(self.server(), allowed.as_secs())),
        }
    }

    /// Takes a client for the region that a refusal names. False if it names none, or the one that was asked.
    fn goes_where(&self, failure: &Failure) -> bool {
        let region = failure.refusal().and_then(Refusal::elsewhere);
        let Some(region) = region.filter(|region| **region != *self.client.read().region) else { return false };
        let Ok(client) = Client::new(&self.service, region, &self.clients) else { return false };
        tracing::info!("{self}: the bucket is in the region {region}, not {}", self.client.read().region);
        *self.client.write() = client;
        true
    }

    async fn ask_once<T, F>(
        &self,
        bytes: u64,
        question: impl Fn(Arc<dyn Bucket>, Attempt) -> F,
        attempt: Attempt,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let (allowed, bucket) = (patience::one_try(bytes), self.client.read().bucket.clone());
        let below = |error| Failure::below(&error, self.server());
        let answer = async {
            // What those say who give credentials must not be taken for what the bucket says of a file.
            if let Some(settings) = self.service.lacks() {
                bucket.authorize().await.map_err(|error| below(error).unsigned(settings))?;
            }
            question(bucket, attempt).await.map_err(below)
        };
        match timeout(allowed, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::late(self.server(), allowed.as_secs())),
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
        let question = |bucket: Arc<dyn Bucket>, attempt| {
            let mut options = options.clone();
            options.extensions.insert(attempt);
            async move { bucket.list_paginated(Some(prefix), options).await }
        };
        let page = self.ask(PAGE, question).await?;
        Ok((page.result.objects, page.page_token))
    }

    /// All pages of a listing, up to the end of the range at least.
    async fn pages(
        &self,
        level: Level,
        prefix: &str,
        start: Option<&str>,
        most: usize,
        range: &Range<Txid>,
        allowance: &Allowance,
    ) -> Result<Vec<Listed>, Failure> {
        let (mut files, mut token) = (Vec::new(), None);
        let (mut names, mut empty) = (0, 0);
        loop {
            let (objects, next) = self.page(prefix, start, token.clone(), most).await?;
            allowance.earn(objects.len() as u64 * ENTRY);
            names += objects.len();
            empty = if objects.is_empty() { empty + 1 } else { 0 };
            files.extend(objects.iter().filter_map(|object| listed(level, range.start, prefix, object)));
            // Keys come in their order.
            let is_behind = files.last().is_some_and(|last| last.name.min >= range.end);
            match next {
                None => return Ok(files),
                Some(_) if is_behind => return Ok(files),
                Some(_) if names > MOST_NAMES => return Err(Failure::nonsense(self.server(), too_many_names())),
                Some(next) if Some(&next) == token.as_ref() || empty > MOST_EMPTY_PAGES => {
                    return Err(Failure::nonsense(self.server(), "a listing without an end".to_owned()));
                }
                Some(next) => token = Some(next),
            }
        }
    }

    /// What a read without bytes answers: that the file is there, and how long it is.
    async fn nothing_of(&self, file: &Place, range: &Range<u64>, expected: Option<&Version>) -> Result<Chunk, Error> {
        let head = |bucket: Arc<dyn Bucket>, attempt| async move {
            let mut options = GetOptions { head: true, ..GetOptions::default() };
            options.extensions.insert(attempt);
            bucket.get_opts(&file.key, options).await.map(|answer| answer.meta)
        };
        let meta = self.ask(0, head).await.map_err(|failure| failure.error(&file.shown, Wish::File))?;
        let version = version(&meta);
        version.check(expected, &file.shown)?;
        if !range.is_empty() && range.start < meta.size {
            let cause = "it was rewritten while it was read";
            return Err(Error::new(ErrorKind::Changed, file.shown.as_str(), cause));
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
struct Place {
    key: Path,
    shown: String,
}

impl<S: Service> fmt::Display for CloudStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// About the length of what a listing says of an object.
const ENTRY: u64 = 512;

/// About the length of a page of 1000 objects.
const PAGE: u64 = 1024 * ENTRY;

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
        let allowance = Allowance::of(PAGE);
        let pages = self.pages(level, &prefix, start.as_deref(), most, &range, &allowance);
        let files = match allowance.limit(pages).await {
            Some(files) => files,
            None => Err(Failure::late(self.server(), allowance.deadline().as_secs())),
        };
        let mut files = files.map_err(|failure| failure.error(&self.shown, Wish::Listing))?;
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
        let (bytes, modified_ms) = (partial.complete(bytes), meta.last_modified.timestamp_millis());
        Ok(Chunk { bytes, file_size: meta.size, version, modified_ms })
    }

    async fn holds_older_format(&self) -> Result<bool, Error> {
        let prefix = format!("{}/{OLDER_FORMAT}/", self.service.path());
        let page = self.page(&prefix, None, None, 1).await;
        let (objects, _) = page.map_err(|failure| failure.error(&self.shown, Wish::Listing))?;
        Ok(!objects.is_empty())
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
