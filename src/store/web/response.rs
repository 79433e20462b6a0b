//! Responses of web servers, and what they contain.

use super::error::WebError;
use super::header::header;
use crate::store::bounds::{LONGEST_LISTING, LONGEST_OTHER};
use crate::store::error::short;
use crate::store::http::parse_content_range;
use crate::store::timeouts::{Allowance, unless_silent};
use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_RANGE, HeaderMap};
use reqwest::{Response, StatusCode};
use std::ops::Range;

/// Length in bytes of the longest file that is read as a whole from a server without range requests.
const LONGEST_WHOLE_FILE: u64 = 16 * 1024 * 1024;

/// A response with its complete body.
pub(super) struct WebResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Whether the path ends with a slash, after redirects.
    pub is_directory: bool,
    pub body: Bytes,
}

/// The length that a response may have.
#[derive(Clone, Copy)]
pub(super) enum ResponseLength {
    /// A range of at most this length, or a whole file of up to [`LONGEST_WHOLE_FILE`] from a server without range requests.
    Range(u64),
    /// A listing of up to [`LONGEST_LISTING`].
    Listing,
    /// Up to [`LONGEST_OTHER`], which is not used, for a request with a body of this length.
    #[cfg_attr(not(feature = "webdav"), expect(dead_code, reason = "only WebDAV is written"))]
    Change(u64),
}

impl ResponseLength {
    /// Returns the greatest permitted length of a response with this status, in bytes.
    fn limit(self, status: StatusCode) -> u64 {
        match self {
            ResponseLength::Listing => LONGEST_LISTING,
            ResponseLength::Change(_) => LONGEST_OTHER,
            ResponseLength::Range(length) if self.is_known(status) => length,
            ResponseLength::Range(_) => LONGEST_WHOLE_FILE,
        }
    }

    /// Returns whether [`known`](ResponseLength::known) is the length of a response with this status, or that of the request's body. Otherwise
    /// the response is a listing or a whole file.
    pub fn is_known(self, status: StatusCode) -> bool {
        match self {
            ResponseLength::Listing => false,
            ResponseLength::Change(_) => true,
            ResponseLength::Range(_) => status == StatusCode::PARTIAL_CONTENT,
        }
    }

    /// Returns the length of the request's body in bytes.
    pub fn sent(self) -> u64 {
        if let ResponseLength::Change(length) = self { length } else { 0 }
    }

    /// Returns the length in bytes that is known before the response, of its body or of the request's; 0 for a listing.
    pub fn known(self) -> u64 {
        match self {
            ResponseLength::Listing => 0,
            ResponseLength::Range(length) | ResponseLength::Change(length) => length,
        }
    }
}

/// Reads the body of a response. Fails if it is longer than `length` permits. Each received byte extends the allowance.
pub(super) async fn read_body(
    response: &mut Response,
    length: ResponseLength,
    allowance: &Allowance,
) -> Result<Bytes, WebError> {
    let limit = length.limit(response.status());
    let too_long = || match length {
        ResponseLength::Range(_) if limit == LONGEST_WHOLE_FILE => WebError::UnsupportedServer(
            "returns a whole file of more than 16 MiB instead of the requested range; it must support range requests"
                .to_owned(),
        ),
        _ => WebError::InvalidResponse(format!("more than the expected {limit} bytes")),
    };
    let announced = response.content_length().unwrap_or(0);
    if announced > limit {
        return Err(too_long());
    }
    let mut body = BytesMut::with_capacity(announced.min(LONGEST_WHOLE_FILE) as usize);
    loop {
        let chunk = unless_silent(0, response.chunk()).await.map_err(WebError::NoResponse)?;
        let Some(chunk) = chunk.map_err(|error| WebError::no_response(&error))? else { return Ok(body.freeze()) };
        allowance.extend(chunk.len() as u64);
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
}

/// Returns the bytes of the requested range, whether the response contains only them or the whole file, and the length of the file.
///
/// Fails with [`WebError::Page`] if the response is a page, which no file of a replica looks like.
pub(super) fn range_of(response: &WebResponse, range: &Range<u64>) -> Result<(Bytes, u64), WebError> {
    let body = &response.body;
    if response.status != StatusCode::PARTIAL_CONTENT {
        if body.trim_ascii_start().starts_with(b"<") {
            return Err(WebError::Page);
        }
        let size = body.len() as u64;
        let (start, end) = (range.start.min(size) as usize, range.end.min(size) as usize);
        return Ok((body.slice(start..end), size));
    }
    let content_range = header(&response.headers, CONTENT_RANGE).unwrap_or_default();
    let invalid =
        || WebError::InvalidResponse(format!("another range than the requested one ({})", short(content_range)));
    let (sent, size) = parse_content_range(content_range).ok_or_else(invalid)?;
    let is_complete = sent == (range.start..range.end.min(size));
    match is_complete && body.len() as u64 == sent.end - sent.start {
        true => Ok((body.clone(), size)),
        false => Err(invalid()),
    }
}

/// Parses a date of HTTP. Returns milliseconds since 1970, or 0 if it is absent or invalid.
pub(super) fn parse_date(date: Option<&str>) -> i64 {
    let date = date.and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok());
    date.map_or(0, |date| date.timestamp_millis())
}
