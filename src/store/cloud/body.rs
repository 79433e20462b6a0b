//! Bodies of responses, and the headers that describe them.

use super::error::CloudErrorKind;
use crate::store::timeouts::unless_silent;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::client::HttpResponseBody;
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use std::ops::Range;

/// A body that was not read to its end.
pub(super) struct InterruptedBody {
    pub received: BytesMut,
    pub kind: CloudErrorKind,
}

/// Reads a body of at most `most` bytes.
pub(super) async fn collect(body: HttpResponseBody, headers: &HeaderMap, most: u64) -> Result<Bytes, InterruptedBody> {
    let announced = text(headers, CONTENT_LENGTH.as_str()).next().and_then(|length| length.parse().ok());
    let too_long = || InterruptedBody {
        received: BytesMut::new(),
        kind: invalid(&format!("more than the {most} bytes that were requested")),
    };
    if announced.is_some_and(|announced: u64| announced > most) {
        return Err(too_long());
    }
    let mut received = BytesMut::with_capacity(announced.unwrap_or(0) as usize);
    let mut stream = body.bytes_stream();
    loop {
        match unless_silent(0, stream.next()).await {
            Ok(Some(Ok(chunk))) if (received.len() + chunk.len()) as u64 > most => return Err(too_long()),
            Ok(Some(Ok(chunk))) => received.extend_from_slice(&chunk),
            Ok(Some(Err(error))) => {
                return Err(InterruptedBody { received, kind: CloudErrorKind::unreachable(&error) });
            }
            Err(silence) => return Err(InterruptedBody { received, kind: CloudErrorKind::silent(silence) }),
            Ok(None) => return Ok(received.freeze()),
        }
    }
}

/// Returns the error for a response with a successful status that is invalid.
pub(super) fn invalid(cause: &str) -> CloudErrorKind {
    CloudErrorKind::InvalidResponse(cause.to_owned())
}

/// Returns the values of a header that are text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

/// Parses a `Range` header in the form that `object_store` writes.
pub(super) fn parse_range(header: &str) -> Option<Range<u64>> {
    let (start, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    Some(start.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?)
}

/// Parses a `Content-Range` header. Returns the range and the length of the whole object.
pub(super) fn parse_content_range(header: &str) -> Option<(Range<u64>, u64)> {
    let (part, size) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = part.split_once('-')?;
    let (start, end) = (start.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
    (start < end).then_some((start..end, size.parse().ok()?))
}
