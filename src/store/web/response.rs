//! What web servers answer, and what it says of a file.

use crate::store::bounds::LONGEST_LISTING;
use crate::store::error::short;
use crate::store::timeouts::Allowance;
use crate::store::tries::{Trouble, is_transient, retry_after};
use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_RANGE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use std::error::Error as StdError;
use std::ops::Range;
use std::time::Duration;

/// Longest file that is fetched whole from a server without ranges.
const LONGEST_WHOLE: u64 = 16 * 1024 * 1024;

/// Why there is no answer that helps.
#[derive(Debug)]
pub(super) enum WebError {
    /// The server said no. It may say when to ask again.
    Refused(StatusCode, Option<Duration>),
    /// The answer is at this server, which is not asked; or the same one has redirected too often.
    Redirected(String),
    /// There was no answer, or not all of it.
    Silent(String),
    /// The answer makes no sense.
    Nonsense(String),
    /// The server lacks what reading a replica takes.
    Unfit(String),
    /// The server asks for a longer pause than there is time for.
    Busy(String),
}

/// An answer that was read to its end.
pub(super) struct WebResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What a request may bring.
#[derive(Clone, Copy)]
pub(super) enum Length {
    /// So many bytes at the most, or a whole file of [`LONGEST_WHOLE`] from a server that gives no parts.
    Part(u64),
    /// A listing of any length up to [`LONGEST_LISTING`].
    Listing,
}

impl Length {
    /// The most that an answer may have.
    pub fn most(self, status: StatusCode) -> u64 {
        match self {
            Length::Listing => LONGEST_LISTING,
            Length::Part(length) if status == StatusCode::PARTIAL_CONTENT => length,
            Length::Part(_) => LONGEST_WHOLE,
        }
    }

    /// What is known of the length beforehand.
    pub fn at_least(self) -> u64 {
        match self {
            Length::Listing => 0,
            Length::Part(length) => length,
        }
    }
}

impl WebError {
    pub fn silent(error: &reqwest::Error) -> WebError {
        let mut root: &dyn StdError = error;
        while let Some(source) = root.source() {
            root = source;
        }
        WebError::Silent(short(&root.to_string()))
    }

    /// The refusal of an answer.
    pub fn refused(response: &Response) -> WebError {
        let header = |name| header(response.headers(), name);
        WebError::Refused(response.status(), header(RETRY_AFTER).and_then(|told| retry_after(told, header(DATE))))
    }

    /// What another try may bring.
    pub fn trouble(&self) -> Trouble {
        match self {
            WebError::Refused(status, retry_after) if is_transient(status.as_u16()) => {
                Trouble::Transient { retry_after: *retry_after }
            }
            WebError::Silent(_) => Trouble::Transient { retry_after: None },
            WebError::Nonsense(_) => Trouble::Nonsense,
            WebError::Redirected(_) | WebError::Refused(..) | WebError::Unfit(_) | WebError::Busy(_) => {
                Trouble::Permanent
            }
        }
    }
}

/// The body of an answer, if it is no longer than it may be. Its bytes earn it the time to go on.
pub(super) async fn body(response: &mut Response, length: Length, allowance: &Allowance) -> Result<Bytes, WebError> {
    let most = length.most(response.status());
    let too_long = || match length {
        Length::Part(_) if most == LONGEST_WHOLE => WebError::Unfit(
            "answers with a whole file of many megabytes where a range of it was asked for; it has to serve ranges"
                .to_owned(),
        ),
        _ => WebError::Nonsense(format!("more than the {most} bytes that there can be")),
    };
    let announced = response.content_length().unwrap_or(0);
    if announced > most {
        return Err(too_long());
    }
    let mut body = BytesMut::with_capacity(announced.min(LONGEST_WHOLE) as usize);
    while let Some(chunk) = response.chunk().await.map_err(|error| WebError::silent(&error))? {
        allowance.extend(chunk.len() as u64);
        if (body.len() + chunk.len()) as u64 > most {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The bytes of a range in an answer, whether it has them alone or the whole file, and the length of the file.
pub(super) fn part(
    status: StatusCode,
    headers: &HeaderMap,
    body: Bytes,
    range: &Range<u64>,
) -> Result<(Bytes, u64), String> {
    if status != StatusCode::PARTIAL_CONTENT {
        let size = body.len() as u64;
        let (start, end) = (range.start.min(size) as usize, range.end.min(size) as usize);
        return Ok((body.slice(start..end), size));
    }
    let told = header(headers, CONTENT_RANGE).unwrap_or_default();
    let nonsense = || format!("a part that is not the one asked for ({})", short(told));
    let parsed = told.strip_prefix("bytes ").and_then(|told| {
        let (part, size) = told.split_once('/')?;
        let (start, last) = part.split_once('-')?;
        Some((start.parse::<u64>().ok()?, last.parse::<u64>().ok()?, size.parse::<u64>().ok()?))
    });
    let (start, last, size) = parsed.ok_or_else(nonsense)?;
    let is_whole = start == range.start && last.checked_add(1) == Some(range.end.min(size));
    match is_whole && body.len() as u64 == last - start + 1 {
        true => Ok((body, size)),
        false => Err(nonsense()),
    }
}

pub(super) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A time of HTTP in milliseconds since 1970; 0 if it is none.
pub(super) fn milliseconds(time: Option<&str>) -> i64 {
    let parsed = time.and_then(|time| chrono::DateTime::parse_from_rfc2822(time).ok());
    parsed.map_or(0, |time| time.timestamp_millis())
}
