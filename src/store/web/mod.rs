//! Replicas behind web servers: what plain ones and those that speak WebDAV have in common.

mod config;
#[cfg(feature = "webdav")]
mod dav;
#[cfg(feature = "http")]
mod index;
#[cfg(feature = "http")]
mod manifest;
mod response;
#[cfg(all(test, feature = "http"))]
mod tests;

pub(super) use config::{Listing, WebConfig};

use super::http::{ClientPurpose, Clients};
use super::paths::Layout;
use super::redirects::{MOST_REDIRECTS, Redirects, destination};
use super::timeouts::{Allowance, one_try};
use super::tls::Trust;
use super::tries::{Stop, Tries, Trouble};
use super::{Chunk, Listed, Store, StoreError, StoreErrorKind, Version, etag};
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{CACHE_CONTROL, CONTENT_LENGTH, ETAG, HeaderMap, IF_MATCH, LAST_MODIFIED, RANGE};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use response::{Length, WebError, WebResponse, body, header, milliseconds, part};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::timeout;

/// A replica behind a web server.
#[derive(Debug)]
pub(super) struct WebStore {
    shown: Arc<str>,
    place: WebConfig,
    clients: Arc<Clients>,
    /// Whether listings tell ETags. Where they do not, those of answers are of no use.
    has_tags: AtomicBool,
    #[cfg(feature = "http")]
    sizes: index::Sizes,
    /// Whether a page for a directory named files.
    #[cfg(feature = "http")]
    has_pages: AtomicBool,
    /// Whether a manifest was found, where a directory shows none.
    has_manifest: AtomicBool,
}

impl WebStore {
    /// Makes a store of the place.
    pub fn new(shown: Arc<str>, place: WebConfig) -> Result<WebStore, String> {
        let trust = Trust::of(place.skip_verify, None, &shown)?;
        let clients = Clients::of(&place.server, trust, None, Redirects::WithinServer)?;
        clients.client(ClientPurpose::Usual).map_err(|error| format!("no client can be made: {error}"))?;
        Ok(WebStore {
            shown,
            place,
            clients,
            has_tags: AtomicBool::new(true),
            #[cfg(feature = "http")]
            sizes: index::Sizes::default(),
            #[cfg(feature = "http")]
            has_pages: AtomicBool::new(false),
            has_manifest: AtomicBool::new(false),
        })
    }

    fn url(&self, below: &str) -> String {
        format!("{}/{below}", self.place.base)
    }

    fn request(&self, client: &Client, method: Method, below: &str) -> RequestBuilder {
        let request = client.request(method, self.url(below));
        match &self.place.user {
            Some(user) => request.basic_auth(user, self.place.password.as_ref().map(|password| &password.0)),
            None => request,
        }
    }

    /// Sends a request and has its answer read, and again where another try may help. `read` is told whether the answer came over a
    /// connection that was not used before, so that there is no further try if it makes no sense.
    async fn ask<T>(
        &self,
        length: Length,
        request: impl Fn(&Client) -> RequestBuilder,
        read: impl Fn(WebResponse, bool) -> Result<T, WebError>,
    ) -> Result<T, WebError> {
        let allowance = Allowance::of(length.at_least());
        let answer = async {
            let mut tries = Tries::within(allowance.deadline());
            loop {
                let purpose = if tries.is_fresh() { ClientPurpose::Fresh } else { ClientPurpose::Usual };
                let client = self.clients.client(purpose).map_err(|error| WebError::silent(&error))?;
                let read = |answer| read(answer, tries.is_fresh());
                let failure = match self.ask_once(length, request(&client), &allowance).await.and_then(read) {
                    Err(failure) => failure,
                    answer => return answer,
                };
                match tries.next(failure.trouble()).await {
                    Ok(()) => {}
                    Err(stop @ Stop::PauseTooLong { .. }) => return Err(WebError::Busy(stop.to_string())),
                    Err(Stop::Exhausted) => return Err(failure),
                }
            }
        };
        let late = || WebError::Silent(format!("no answer within {} seconds", allowance.deadline().as_secs()));
        allowance.limit(answer).await.unwrap_or_else(|| Err(late()))
    }

    async fn ask_once(
        &self,
        length: Length,
        request: RequestBuilder,
        allowance: &Allowance,
    ) -> Result<WebResponse, WebError> {
        let answer = async {
            let _turn = self.clients.permit().await;
            let mut response = request.send().await.map_err(|error| WebError::silent(&error))?;
            let (status, headers) = (response.status(), response.headers().clone());
            if status.is_redirection()
                && let Some(server) = destination(response.url().as_str(), &headers)
            {
                return Err(WebError::Redirected(server));
            }
            if !status.is_success() {
                return Err(WebError::refused(&response));
            }
            Ok(WebResponse { status, headers, body: body(&mut response, length, allowance).await? })
        };
        // Of a listing nobody knows beforehand how long it is, so `allowance` alone bounds it.
        let Length::Part(bytes) = length else { return answer.await };
        let late = |_| WebError::Silent(format!("no answer within {} seconds", one_try(bytes).as_secs()));
        timeout(one_try(bytes), answer).await.map_err(late)?
    }

    /// Length and version of a file, without its bytes.
    async fn head(&self, below: &str) -> Result<(u64, Version), WebError> {
        let request = |client: &Client| self.request(client, Method::HEAD, below).header(CACHE_CONTROL, "no-cache");
        let read = |answer: WebResponse, _| {
            let length = header(&answer.headers, CONTENT_LENGTH).and_then(|length| length.parse().ok());
            let length = length.ok_or_else(|| WebError::Nonsense("a file without a length".to_owned()))?;
            Ok((length, self.version(&answer.headers, length)))
        };
        self.ask(Length::Part(0), request, read).await
    }

    /// Whether a failure says that a file is not there.
    fn is_missing(&self, failure: &WebError) -> bool {
        match failure {
            WebError::Refused(StatusCode::NOT_FOUND | StatusCode::GONE, _) => true,
            // Buckets that nobody may list say so of what is not there.
            WebError::Refused(StatusCode::FORBIDDEN, _) => self.has_manifest.load(Ordering::Relaxed),
            _ => false,
        }
    }

    fn error(&self, failure: &WebError, shown: &str) -> StoreError {
        let server = &self.place.server;
        let (kind, cause) = match failure {
            failure if self.is_missing(failure) => return StoreError::missing(shown),
            WebError::Refused(StatusCode::PRECONDITION_FAILED, _) => {
                (StoreErrorKind::Changed, "another version stands there by now".to_owned())
            }
            WebError::Refused(status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), _) => {
                (StoreErrorKind::Denied, format!("{server} denies access ({status})"))
            }
            WebError::Refused(status, _) if matches!(failure.trouble(), Trouble::Transient { .. }) => {
                (StoreErrorKind::Unreachable, format!("{server} cannot serve now ({status})"))
            }
            WebError::Refused(status, _) => {
                (StoreErrorKind::Protocol, format!("{server} does not take the request ({status})"))
            }
            WebError::Redirected(to) if to == server => {
                (StoreErrorKind::Protocol, format!("{server} redirects more than {MOST_REDIRECTS} times"))
            }
            WebError::Redirected(to) => (
                StoreErrorKind::Protocol,
                format!(
                    "{server} redirects to {to}, which is not followed: the credentials of the URL are for {server} alone; \
                     use the URL that it leads to"
                ),
            ),
            WebError::Silent(cause) => (StoreErrorKind::Unreachable, format!("cannot reach {server}: {cause}")),
            WebError::Nonsense(cause) => {
                (StoreErrorKind::Protocol, format!("{server} answers what makes no sense: {cause}"))
            }
            WebError::Unfit(cause) => (StoreErrorKind::Config, format!("{server} {cause}")),
            WebError::Busy(cause) => (StoreErrorKind::Unreachable, format!("{server} cannot serve now: {cause}")),
        };
        StoreError::new(kind, shown, cause)
    }

    /// Which file an answer is about.
    fn version(&self, headers: &HeaderMap, size: u64) -> Version {
        let tag = header(headers, ETAG).filter(|_| self.has_tags.load(Ordering::Relaxed));
        etag::version(tag, size, header(headers, LAST_MODIFIED).unwrap_or(NEVER))
    }

    async fn nothing_of(&self, below: &str, shown: &str, expected: Option<&Version>) -> Result<Chunk, StoreError> {
        let (file_size, version) = self.head(below).await.map_err(|failure| self.error(&failure, shown))?;
        version.check(expected, shown)?;
        Ok(Chunk { bytes: Bytes::new(), file_size, version, modified_ms: 0 })
    }
}

/// What stands for the time of a file where a server tells none.
const NEVER: &str = "never";

impl fmt::Display for WebStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[async_trait]
impl Store for WebStore {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        let listed = match self.place.listing {
            #[cfg(feature = "webdav")]
            Listing::Dav => self.properties(level, from).await,
            #[cfg(feature = "http")]
            Listing::Index => self.index(level, from).await,
        };
        match listed {
            Ok(mut files) => {
                files.sort_unstable_by_key(|file| file.name);
                files.dedup_by_key(|file| file.name);
                Ok(files)
            }
            Err(failure) if self.is_missing(&failure) => Ok(Vec::new()),
            Err(failure) => Err(self.error(&failure, &self.shown)),
        }
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let answer = self.read_range(level, name, range, expected).await;
        #[cfg(feature = "http")]
        match &answer {
            Ok(chunk) if level == Level::ZERO && self.has_manifest.load(Ordering::Relaxed) => {
                self.sizes.note_newest(name, chunk.file_size, &chunk.version);
            }
            Err(error) if error.kind() == StoreErrorKind::NotFound => self.sizes.forget(level, name),
            _ => {}
        }
        answer
    }
}

impl WebStore {
    async fn read_range(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let below = Layout::Decimal.file(level, name);
        let shown = format!("{}/{below}", self.shown);
        if range.is_empty() {
            return self.nothing_of(&below, &shown, expected).await;
        }
        // Longer ones are refused by servers that read signed numbers.
        let last = range.end.min(i64::MAX as u64) - 1;
        let request = |client: &Client| {
            let request =
                self.request(client, Method::GET, &below).header(RANGE, format!("bytes={}-{last}", range.start));
            // A cache may have what was seen before, but not the absence of what came since. A read of the first byte alone
            // asks whether the file is still the same.
            let is_about_now = expected.is_none() || last == 0;
            let request = if is_about_now { request.header(CACHE_CONTROL, "no-cache") } else { request };
            let tag = expected.and_then(etag::if_match);
            tag.into_iter().fold(request, |request, tag| request.header(IF_MATCH, tag))
        };
        let has_tag = expected.is_some_and(|version| etag::if_match(version).is_some());
        let read = |answer: WebResponse, is_fresh: bool| {
            if has_tag && !is_fresh && !answer.headers.contains_key(ETAG) {
                return Err(WebError::Nonsense("a file without an ETag, which it had before".to_owned()));
            }
            let (bytes, size) =
                part(answer.status, &answer.headers, answer.body, &range).map_err(WebError::Nonsense)?;
            let modified_ms = milliseconds(header(&answer.headers, LAST_MODIFIED));
            Ok(Chunk { bytes, file_size: size, version: self.version(&answer.headers, size), modified_ms })
        };
        let chunk = match self.ask(Length::Part(last - range.start + 1), request, read).await {
            Ok(chunk) => chunk,
            Err(WebError::Refused(StatusCode::RANGE_NOT_SATISFIABLE, _)) => {
                return self.nothing_of(&below, &shown, expected).await;
            }
            Err(failure) => return Err(self.error(&failure, &shown)),
        };
        chunk.version.check(expected, &shown)?;
        Ok(chunk)
    }
}
