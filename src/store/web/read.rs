//! Reads of files.

use super::WebStore;
use super::error::WebError;
use super::header::header;
use super::request::NO_DATE;
use super::response::{ResponseLength, WebResponse, parse_date, range_of};
use crate::ltx::{FileName, Level};
use crate::store::paths::Layout;
use crate::store::{Chunk, StoreError, Version, etag};
use bytes::Bytes;
use reqwest::header::{CACHE_CONTROL, ETAG, IF_MATCH, LAST_MODIFIED, RANGE};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use std::ops::Range;

impl WebStore {
    /// Reads a range as [`Store::read`](crate::store::Store::read) specifies.
    pub(super) async fn read_range(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        self.read_at(&Layout::Decimal.file(level, name), range, expected).await
    }

    /// Reads a range of the file at a path relative to the replica.
    pub(super) async fn read_at(
        &self,
        path: &str,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let url = format!("{}/{path}", self.url);
        // Servers that parse signed numbers reject greater ones.
        let end = range.end.min(i64::MAX as u64);
        if range.start >= end {
            return self.read_nothing(path, &url, expected).await;
        }
        let last = end - 1;
        let expects_etag = expected.is_some_and(|version| etag::if_match(version).is_some());
        let parse = |response: WebResponse, is_fresh: bool| {
            if expects_etag && !is_fresh && !response.headers.contains_key(ETAG) {
                return Err(WebError::InvalidResponse("a file without the ETag that it had before".to_owned()));
            }
            let (bytes, file_size) = range_of(&response, &range)?;
            let modified_ms = parse_date(header(&response.headers, LAST_MODIFIED));
            Ok(Chunk { bytes, file_size, version: self.version(&response.headers, file_size), modified_ms })
        };
        let read = async |condition: Option<&Version>| {
            let request = |client: &Client| {
                let request = self.range_request(client, path, range.start, last, expected.is_none());
                match condition.and_then(etag::if_match) {
                    Some(etag) => request.header(IF_MATCH, etag),
                    None => request,
                }
            };
            self.send(ResponseLength::Range(last - range.start + 1), request, parse).await
        };
        let chunk = match read(expected).await {
            // A condition never applies to a weak ETag, which some servers have for every file. The response shows the version then.
            Err(WebError::Status(StatusCode::PRECONDITION_FAILED, _)) => read(None).await,
            chunk => chunk,
        };
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(WebError::Status(StatusCode::RANGE_NOT_SATISFIABLE, _)) => {
                return self.read_nothing(path, &url, expected).await;
            }
            Err(error) => return Err(self.error(&error, &url)),
        };
        chunk.version.check(expected, &url)?;
        Ok(chunk)
    }

    /// `is_first` says whether no version of the file is known.
    fn range_request(&self, client: &Client, path: &str, start: u64, last: u64, is_first: bool) -> RequestBuilder {
        let request = self.request(client, Method::GET, path).header(RANGE, format!("bytes={start}-{last}"));
        // A cached response may serve a read of an expected version. Any other read must not get the cached absence of a file that was
        // written since, and a read of only the first byte checks whether the file is unchanged.
        let must_be_current = is_first || last == 0;
        if must_be_current { request.header(CACHE_CONTROL, "no-cache") } else { request }
    }

    /// Returns length and version of a file by a read of its first byte.
    pub(super) async fn read_length(&self, path: &str) -> Result<(u64, Version), WebError> {
        let request = |client: &Client| self.range_request(client, path, 0, 0, true);
        let parse = |response: WebResponse, _| {
            let (_, size) = range_of(&response, &(0..1))?;
            Ok((size, self.version(&response.headers, size)))
        };
        match self.send(ResponseLength::Range(1), request, parse).await {
            // Only an empty file has no first byte.
            Err(WebError::Status(StatusCode::RANGE_NOT_SATISFIABLE, _)) => Ok((0, etag::version(None, 0, NO_DATE))),
            found => found,
        }
    }

    /// Reads an empty range: checks the version, and returns the length of the file.
    async fn read_nothing(&self, path: &str, url: &str, expected: Option<&Version>) -> Result<Chunk, StoreError> {
        let (file_size, version) = self.head(path).await.map_err(|error| self.error(&error, url))?;
        version.check(expected, url)?;
        Ok(Chunk { bytes: Bytes::new(), file_size, version, modified_ms: 0 })
    }
}
