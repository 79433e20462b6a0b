//! The HTTP client that `object_store` uses. It limits, reads and checks each response before it returns it.
//!
//! `object_store` reads bodies of any length, and returns the status of a failed response only as text. Here each body is limited to
//! what was requested, and each failure becomes a [`CloudError`], which [`CloudError::from_source`] extracts later.

use super::attempt::Attempt;
use super::checksum;
use super::error::{CloudError, CloudErrorKind};
use super::refusal::CloudRefusal;
use crate::store::bounds::{LONGEST_OTHER, LONGEST_PAGE};
use crate::store::http::{ClientPurpose, Clients};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_MATCH, RANGE};
use std::ops::Range;
use std::sync::Arc;
use url::Url;

/// Creates HTTP clients whose errors are [`CloudError`]s.
#[derive(Debug)]
pub(in crate::store) struct Connector(pub Arc<Clients>);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // `object_store` sets this timeout only for a cloud's metadata service.
        let is_metadata = options.get_config_value(&ClientConfigKey::ConnectTimeout).is_some();
        let purpose = if is_metadata { ClientPurpose::Metadata } else { ClientPurpose::Usual };
        Ok(HttpClient::new(Transport { clients: self.0.clone(), purpose }))
    }
}

/// The HTTP client of one bucket.
#[derive(Debug)]
pub(super) struct Transport {
    clients: Arc<Clients>,
    purpose: ClientPurpose,
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let wanted = WantedBody::of(&request, self.clients.server());
        let response = self.send(request, &wanted).await;
        // The retries of `object_store` are disabled, so it ignores the kind.
        response.map_err(|kind| HttpError::new(HttpErrorKind::Unknown, CloudError { server: wanted.server, kind }))
    }
}

impl Transport {
    async fn send(&self, request: HttpRequest, wanted: &WantedBody) -> Result<HttpResponse, CloudErrorKind> {
        let purpose = if wanted.attempt.fresh { ClientPurpose::Fresh } else { self.purpose };
        let client = self.clients.client(purpose);
        let client = client.map_err(|error| CloudErrorKind::InvalidResponse(error.to_string()))?;
        let _permit = self.clients.permit().await;
        match HttpClient::new(client).execute(request).await {
            Ok(response) if response.status().is_success() => wanted.read(response).await,
            Ok(response) => {
                Err(CloudErrorKind::Refused(CloudRefusal::read(&wanted.url, wanted.is_of_bucket, response).await))
            }
            Err(error) => Err(CloudErrorKind::unreachable(&error)),
        }
    }
}

/// The response that a request expects.
struct WantedBody {
    /// Scheme, host and port.
    server: String,
    url: String,
    /// Whether the request is for the server of the bucket, and not for one that issues credentials. False if the endpoint is not a
    /// URL, but the name of a service.
    is_of_bucket: bool,
    kind: BodyKind,
    attempt: Attempt,
    /// Whether the file is expected to have an ETag.
    has_tag: bool,
}

/// The kind of a body.
enum BodyKind {
    /// No body.
    Nothing,
    /// A page of a listing.
    Listing,
    /// A range of a file.
    Part(Range<u64>),
    /// Credentials.
    Other,
}

impl WantedBody {
    /// Derives the expected response from a request. `endpoint` is the server of the bucket, or the name of the service.
    fn of(request: &HttpRequest, endpoint: &str) -> WantedBody {
        let uri = request.uri();
        let url = uri.to_string();
        // The host may begin with the bucket.
        let is_of_bucket = host_and_port(endpoint)
            .zip(host_and_port(&url))
            .is_some_and(|((host, port), (requested, at))| requested.ends_with(host.as_str()) && at == port);
        let server = match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
            _ => uri.path().to_owned(),
        };
        let is_listing = uri.query().is_some_and(|query| query.contains("list-type=2") || query.contains("comp=list"));
        let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok()).and_then(parse_range);
        let kind = match range {
            _ if request.method() == "HEAD" => BodyKind::Nothing,
            Some(range) => BodyKind::Part(range),
            None if is_listing => BodyKind::Listing,
            None => BodyKind::Other,
        };
        let attempt = request.extensions().get::<Attempt>().cloned().unwrap_or_default();
        WantedBody { server, url, is_of_bucket, kind, attempt, has_tag: request.headers().contains_key(IF_MATCH) }
    }

    /// Reads the whole body. Fails if it cannot be the requested one.
    async fn read(&self, response: HttpResponse) -> Result<HttpResponse, CloudErrorKind> {
        let (parts, body) = response.into_parts();
        let bytes = match &self.kind {
            BodyKind::Nothing => Bytes::new(),
            BodyKind::Other => {
                collect(body, &parts.headers, LONGEST_OTHER).await.map_err(|interrupted| interrupted.kind)?
            }
            BodyKind::Listing => {
                let bytes =
                    collect(body, &parts.headers, LONGEST_PAGE).await.map_err(|interrupted| interrupted.kind)?;
                check_listing(&bytes)?;
                bytes
            }
            // `object_store` reports the error. The connection is closed because the body is not read.
            BodyKind::Part(_) if parts.status != StatusCode::PARTIAL_CONTENT => Bytes::new(),
            BodyKind::Part(range) => self.read_part(range, &parts.headers, body).await?,
        };
        Ok(HttpResponse::from_parts(parts, bytes.into()))
    }

    /// Reads and checks a range of a file.
    async fn read_part(
        &self,
        requested: &Range<u64>,
        headers: &HeaderMap,
        body: HttpResponseBody,
    ) -> Result<Bytes, CloudErrorKind> {
        let tag = text(headers, ETAG.as_str()).next();
        if tag.is_none() && self.has_tag && !self.attempt.fresh {
            return Err(invalid("the ETag is missing, which the file had before"));
        }
        // If it is invalid, `object_store` reports the error.
        let sent = text(headers, CONTENT_RANGE.as_str()).next().and_then(parse_content_range);
        let is_requested =
            sent.as_ref().is_some_and(|(sent, _)| sent.start == requested.start && sent.end <= requested.end);
        let bytes = match collect(body, headers, requested.end - requested.start).await {
            Ok(bytes) => bytes,
            Err(interrupted) => {
                if let (Some(partial), Some(tag), true) = (&self.attempt.partial, tag, is_requested) {
                    partial.keep(&interrupted.received, tag);
                }
                return Err(interrupted.kind);
            }
        };
        let Some((sent, size)) = sent.filter(|_| is_requested) else { return Ok(bytes) };
        let (length, announced) = (bytes.len() as u64, sent.end - sent.start);
        if length != announced {
            return Err(invalid(&format!("{length} bytes for a range of {announced}")));
        }
        if sent == (0..size) && checksum::contradicts(&bytes, |name| text(headers, name)) {
            return Err(invalid("the checksum differs from the one in the header"));
        }
        Ok(bytes)
    }
}

/// Returns the error for a response with a successful status that is invalid.
fn invalid(cause: &str) -> CloudErrorKind {
    CloudErrorKind::InvalidResponse(cause.to_owned())
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

/// Fails if a body is not a listing. `object_store` accepts any XML as the listing of an empty bucket, such as the sign-in page of a
/// proxy.
fn check_listing(body: &[u8]) -> Result<(), CloudErrorKind> {
    let beginning = String::from_utf8_lossy(&body[..body.len().min(1024)]);
    match ["<ListBucketResult", "<EnumerationResults"].iter().any(|root| beginning.contains(root)) {
        true => Ok(()),
        false => Err(invalid("the body is not a listing")),
    }
}

/// A body that was not read to its end.
struct InterruptedBody {
    received: BytesMut,
    kind: CloudErrorKind,
}

/// Reads a body of at most `most` bytes.
async fn collect(body: HttpResponseBody, headers: &HeaderMap, most: u64) -> Result<Bytes, InterruptedBody> {
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
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) if (received.len() + chunk.len()) as u64 > most => return Err(too_long()),
            Ok(chunk) => received.extend_from_slice(&chunk),
            Err(error) => return Err(InterruptedBody { received, kind: CloudErrorKind::unreachable(&error) }),
        }
    }
    Ok(received.freeze())
}

/// Returns the values of a header that are text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

/// Parses a `Range` header in the form that `object_store` writes.
fn parse_range(header: &str) -> Option<Range<u64>> {
    let (start, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    Some(start.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?)
}

/// Parses a `Content-Range` header. Returns the range and the length of the whole object.
fn parse_content_range(header: &str) -> Option<(Range<u64>, u64)> {
    let (part, size) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = part.split_once('-')?;
    let (start, end) = (start.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
    (start < end).then_some((start..end, size.parse().ok()?))
}
