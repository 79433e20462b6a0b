//! What web servers answer, and what it says of a file.

use crate::store::error::short;
use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderName};
use reqwest::{Response, StatusCode};
use std::error::Error as StdError;
use std::ops::Range;

/// Why there is no answer that helps.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server said no.
    Refused(StatusCode),
    /// The answer is at this server, which is not asked; or the same one has redirected too often.
    Redirected(String),
    /// There was no answer, or not all of it.
    Silent(String),
    /// The answer makes no sense.
    Nonsense(String),
    /// The server lacks what reading a replica takes.
    Unfit(String),
}

/// An answer that was read to its end.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Failure {
    pub fn silent(error: &reqwest::Error) -> Failure {
        let mut root: &dyn StdError = error;
        while let Some(source) = root.source() {
            root = source;
        }
        Failure::Silent(short(&root.to_string()))
    }

    /// Whether another try may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Failure::Refused(status) => status.is_server_error() || [408, 425, 429].contains(&status.as_u16()),
            Failure::Silent(_) => true,
            Failure::Redirected(_) | Failure::Nonsense(_) | Failure::Unfit(_) => false,
        }
    }
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
    let nonsense = || "a part that is not the one asked for".to_owned();
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

pub(super) fn length(response: &Response) -> u64 {
    response.content_length().unwrap_or(0)
}
