//! Bodies of responses, and the headers that describe them.

use super::error::CloudErrorKind;
use crate::store::timeouts::unless_silent;
use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use std::ops::Range;

/// A body that was not read to its end.
pub(super) struct InterruptedBody {
    pub received: BytesMut,
    pub kind: CloudErrorKind,
}

/// Reads a body of at most `most` bytes.
pub(super) async fn collect(response: &mut Response, most: u64) -> Result<Bytes, InterruptedBody> {
    let announced = text(response.headers(), CONTENT_LENGTH.as_str()).next().and_then(|length| length.parse().ok());
    let too_long = || InterruptedBody {
        received: BytesMut::new(),
        kind: invalid(&format!("more than the {most} bytes that were requested")),
    };
    if announced.is_some_and(|announced: u64| announced > most) {
        return Err(too_long());
    }
    let mut received = BytesMut::with_capacity(announced.unwrap_or(0) as usize);
    loop {
        match unless_silent(0, response.chunk()).await {
            Ok(Ok(Some(chunk))) if (received.len() + chunk.len()) as u64 > most => return Err(too_long()),
            Ok(Ok(Some(chunk))) => received.extend_from_slice(&chunk),
            Ok(Ok(None)) => return Ok(received.freeze()),
            Ok(Err(error)) => return Err(InterruptedBody { received, kind: CloudErrorKind::unreachable(&error) }),
            Err(silence) => return Err(InterruptedBody { received, kind: CloudErrorKind::silent(silence) }),
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
