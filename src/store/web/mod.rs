//! Replicas behind web servers: what plain ones and those that speak WebDAV have in common.

mod answer;
#[cfg(feature = "webdav")]
mod dav;
#[cfg(feature = "http")]
mod index;
#[cfg(feature = "http")]
mod manifest;
mod place;
#[cfg(all(test, feature = "http"))]
mod tests;

pub(super) use place::{Listing, WebPlace};

use super::http::{Clients, MOST_REDIRECTS, Redirects, destination};
use super::paths::Layout;
use super::patience::{self, CONNECT_TIMEOUT};
use super::tls::Trust;
use super::{Chunk, Error, ErrorKind, Listed, Store, Version, etag};
use crate::ltx::{FileName, Level, Txid};
use answer::{Answer, Failure, header, length, part};
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{CACHE_CONTROL, CONTENT_LENGTH, ETAG, HeaderMap, IF_MATCH, LAST_MODIFIED, RANGE};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A replica behind a web server.
#[derive(Debug)]
pub(super) struct WebStore {
    shown: Arc<str>,
    place: WebPlace,
    client: Client,
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

/// Longest file that is fetched whole from a server without ranges.
const LONGEST_WHOLE: u64 = 16 * 1024 * 1024;

impl WebStore {
    /// Makes a store of the place.
    pub fn new(shown: Arc<str>, place: WebPlace) -> Result<WebStore, String> {
        let clients = Clients::new(Trust::of(place.skip_verify, None, &shown)?)?;
        let client = clients
            .client(CONNECT_TIMEOUT, Redirects::WithinServer)
            .map_err(|error| format!("no client can be made: {error}"))?;
        Ok(WebStore {
            shown,
            place,
            client,
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

    fn request(&self, method: Method, below: &str) -> RequestBuilder {
        let request = self.client.request(method, self.url(below));
        match &self.place.user {
            Some(user) => request.basic_auth(user, self.place.password.as_ref().map(|password| &password.0)),
            None => request,
        }
    }

    /// Sends a request, and again where another try may help. `bytes` is about the length of the answer.
    async fn ask(&self, bytes: u64, request: impl Fn() -> RequestBuilder) -> Result<Answer, Failure> {
        let deadline = patience::deadline(bytes);
        let tries = async {
            let mut pause = Duration::from_millis(100);
            loop {
                let failure = match self.ask_once(request()).await {
                    Err(failure) if failure.is_passing() => failure,
                    answer => return answer,
                };
                if pause > LAST_PAUSE {
                    return Err(failure);
                }
                sleep(pause).await;
                pause *= 3;
            }
        };
        let late = |_| Failure::Silent(format!("no answer within {} seconds", deadline.as_secs()));
        timeout(deadline, tries).await.map_err(late)?
    }

    async fn ask_once(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let response = request.send().await.map_err(|error| Failure::silent(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_redirection()
            && let Some(server) = destination(response.url().as_str(), &headers)
        {
            return Err(Failure::Redirected(server));
        }
        if !status.is_success() {
            return Err(Failure::Refused(status));
        }
        if status == StatusCode::OK && length(&response) > LONGEST_WHOLE {
            return Err(Failure::Unfit(
                "answers with a whole file of many megabytes where a range of it was asked for; it has to serve ranges"
                    .to_owned(),
            ));
        }
        let body = response.bytes().await.map_err(|error| Failure::silent(&error))?;
        Ok(Answer { status, headers, body })
    }

    /// Length and version of a file, without its bytes.
    async fn head(&self, below: &str) -> Result<(u64, Version), Failure> {
        let request = || self.request(Method::HEAD, below).header(CACHE_CONTROL, "no-cache");
        let answer = self.ask(0, request).await?;
        let length = header(&answer.headers, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let length = length.ok_or_else(|| Failure::Nonsense("a file without a length".to_owned()))?;
        Ok((length, self.version(&answer.headers, length)))
    }

    /// Whether a failure says that a file is not there.
    fn is_missing(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Refused(StatusCode::NOT_FOUND | StatusCode::GONE) => true,
            // Buckets that nobody may list say so of what is not there.
            Failure::Refused(StatusCode::FORBIDDEN) => self.has_manifest.load(Ordering::Relaxed),
            _ => false,
        }
    }

    fn error(&self, failure: &Failure, shown: &str) -> Error {
        let server = &self.place.server;
        let (kind, cause) = match failure {
            failure if self.is_missing(failure) => return Error::missing(shown),
            Failure::Refused(StatusCode::PRECONDITION_FAILED) => {
                (ErrorKind::Changed, "another version stands there by now".to_owned())
            }
            Failure::Refused(status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => {
                (ErrorKind::Denied, format!("{server} denies access ({status})"))
            }
            Failure::Refused(status) if failure.is_passing() => {
                (ErrorKind::Unreachable, format!("{server} cannot serve now ({status})"))
            }
            Failure::Refused(status) => (ErrorKind::Protocol, format!("{server} does not take the request ({status})")),
            Failure::Redirected(to) if to == server => {
                (ErrorKind::Protocol, format!("{server} redirects more than {MOST_REDIRECTS} times"))
            }
            Failure::Redirected(to) => (
                ErrorKind::Protocol,
                format!(
                    "{server} redirects to {to}, which is not followed: the credentials of the URL are for {server} alone; \
                     use the URL that it leads to"
                ),
            ),
            Failure::Silent(cause) => (ErrorKind::Unreachable, format!("cannot reach {server}: {cause}")),
            Failure::Nonsense(cause) => (ErrorKind::Protocol, format!("{server} answers what makes no sense: {cause}")),
            Failure::Unfit(cause) => (ErrorKind::Config, format!("{server} {cause}")),
        };
        Error::new(kind, shown, cause)
    }

    /// Which file an answer is about.
    fn version(&self, headers: &HeaderMap, size: u64) -> Version {
        let tag = header(headers, ETAG).filter(|_| self.has_tags.load(Ordering::Relaxed));
        etag::version(tag, size, header(headers, LAST_MODIFIED).unwrap_or(NEVER))
    }

    async fn nothing_of(&self, below: &str, shown: &str, expected: Option<&Version>) -> Result<Chunk, Error> {
        let (file_size, version) = self.head(below).await.map_err(|failure| self.error(&failure, shown))?;
        version.check(expected, shown)?;
        Ok(Chunk { bytes: Bytes::new(), file_size, version })
    }
}

/// What stands for the time of a file where a server tells none.
const NEVER: &str = "never";

/// The pauses between tries become longer; none is longer than this.
const LAST_PAUSE: Duration = Duration::from_secs(1);

impl fmt::Display for WebStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[async_trait]
impl Store for WebStore {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, Error> {
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
    ) -> Result<Chunk, Error> {
        let answer = self.read_range(level, name, range, expected).await;
        #[cfg(feature = "http")]
        match &answer {
            Ok(chunk) if level == Level::ZERO && self.has_manifest.load(Ordering::Relaxed) => {
                self.sizes.note_newest(name, chunk.file_size, &chunk.version);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.sizes.forget(level, name),
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
    ) -> Result<Chunk, Error> {
        let below = Layout::Decimal.file(level, name);
        let shown = format!("{}/{below}", self.shown);
        if range.is_empty() {
            return self.nothing_of(&below, &shown, expected).await;
        }
        // Longer ones are refused by servers that read signed numbers.
        let last = range.end.min(i64::MAX as u64) - 1;
        let request = || {
            let request = self.request(Method::GET, &below).header(RANGE, format!("bytes={}-{last}", range.start));
            match expected {
                // A cache may have what was seen before, but not the absence of what came since.
                None => request.header(CACHE_CONTROL, "no-cache"),
                Some(version) => {
                    etag::if_match(version).into_iter().fold(request, |request, tag| request.header(IF_MATCH, tag))
                }
            }
        };
        let answer = match self.ask(last - range.start, request).await {
            Ok(answer) => answer,
            Err(Failure::Refused(StatusCode::RANGE_NOT_SATISFIABLE)) => {
                return self.nothing_of(&below, &shown, expected).await;
            }
            Err(failure) => return Err(self.error(&failure, &shown)),
        };
        let (bytes, file_size) = part(answer.status, &answer.headers, answer.body, &range)
            .map_err(|cause| self.error(&Failure::Nonsense(cause), &shown))?;
        let version = self.version(&answer.headers, file_size);
        version.check(expected, &shown)?;
        Ok(Chunk { bytes, file_size, version })
    }
}
