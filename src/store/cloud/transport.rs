//! The HTTP client below `object_store`: what it receives is bounded, read to its end and looked at before it goes up.
//!
//! `object_store` reads bodies of any length, and keeps the status of a failed answer to itself, as text. Here every body is
//! bounded by what was asked for, and every failure becomes a [`CloudError`] that is found again at the end.

use super::attempt::Attempt;
use super::checksum;
use super::error::{CloudError, CloudRefusal, What};
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

/// Makes HTTP clients whose failures are [`CloudError`]s.
#[derive(Debug)]
pub(in crate::store) struct Connector(pub Arc<Clients>);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // What `object_store` sets for the address of a cloud's metadata alone.
        let is_metadata = options.get_config_value(&ClientConfigKey::ConnectTimeout).is_some();
        let purpose = if is_metadata { ClientPurpose::Metadata } else { ClientPurpose::Usual };
        Ok(HttpClient::new(Transport { clients: self.0.clone(), purpose }))
    }
}

#[derive(Debug)]
pub(super) struct Transport {
    clients: Arc<Clients>,
    purpose: ClientPurpose,
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let wanted = WantedBody::by(&request, self.clients.server());
        let answer = self.answer(request, &wanted).await;
        // `object_store` is told to try nothing again, so the kind does not matter to it.
        answer.map_err(|what| HttpError::new(HttpErrorKind::Unknown, CloudError { server: wanted.server, what }))
    }
}

impl Transport {
    async fn answer(&self, request: HttpRequest, wanted: &WantedBody) -> Result<HttpResponse, What> {
        let purpose = if wanted.attempt.fresh { ClientPurpose::Fresh } else { self.purpose };
        let client = self.clients.client(purpose).map_err(|error| What::Nonsense(error.to_string()))?;
        let _turn = self.clients.turn().await;
        match HttpClient::new(client).execute(request).await {
            Ok(response) if response.status().is_success() => wanted.take(response).await,
            Ok(response) => {
                Err(What::CloudRefusal(CloudRefusal::read(&wanted.url, wanted.is_of_bucket, response).await))
            }
            Err(error) => Err(What::silence(&error)),
        }
    }
}

/// What a request asks for.
struct WantedBody {
    /// Scheme, host and port.
    server: String,
    url: String,
    /// The server of the bucket is asked, and not one that gives credentials. It is known where it is not the service's own.
    is_of_bucket: bool,
    kind: BodyKind,
    attempt: Attempt,
    /// A file with an ETag is expected.
    has_tag: bool,
}

enum BodyKind {
    /// What has no body.
    Nothing,
    /// A page of a listing.
    Listing,
    /// A range of a file.
    Part(Range<u64>),
    /// Credentials.
    Other,
}

impl WantedBody {
    /// `endpoint` is the server of the bucket, or the name of the service.
    fn by(request: &HttpRequest, endpoint: &str) -> WantedBody {
        let uri = request.uri();
        let url = uri.to_string();
        // The bucket may stand in front of the host.
        let is_of_bucket = host_and_port(endpoint)
            .zip(host_and_port(&url))
            .is_some_and(|((host, port), (asked, at))| asked.ends_with(host.as_str()) && at == port);
        let server = match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
            _ => uri.path().to_owned(),
        };
        let is_listing = uri.query().is_some_and(|query| query.contains("list-type=2") || query.contains("comp=list"));
        let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok()).and_then(range);
        let kind = match range {
            _ if request.method() == "HEAD" => BodyKind::Nothing,
            Some(range) => BodyKind::Part(range),
            None if is_listing => BodyKind::Listing,
            None => BodyKind::Other,
        };
        let attempt = request.extensions().get::<Attempt>().cloned().unwrap_or_default();
        WantedBody { server, url, is_of_bucket, kind, attempt, has_tag: request.headers().contains_key(IF_MATCH) }
    }

    /// The answer with its whole body, if it can be what was asked for.
    async fn take(&self, response: HttpResponse) -> Result<HttpResponse, What> {
        let (parts, body) = response.into_parts();
        let bytes = match &self.kind {
            BodyKind::Nothing => Bytes::new(),
            BodyKind::Other => collect(body, &parts.headers, LONGEST_OTHER).await.map_err(|cut| cut.what)?,
            BodyKind::Listing => {
                let bytes = collect(body, &parts.headers, LONGEST_PAGE).await.map_err(|cut| cut.what)?;
                check_listing(&bytes)?;
                bytes
            }
            // `object_store` says what is wrong with it. What is not read closes the connection.
            BodyKind::Part(_) if parts.status != StatusCode::PARTIAL_CONTENT => Bytes::new(),
            BodyKind::Part(range) => self.part(range, &parts.headers, body).await?,
        };
        Ok(HttpResponse::from_parts(parts, bytes.into()))
    }

    async fn part(&self, asked: &Range<u64>, headers: &HeaderMap, body: HttpResponseBody) -> Result<Bytes, What> {
        let tag = text(headers, ETAG.as_str()).next();
        if tag.is_none() && self.has_tag && !self.attempt.fresh {
            return Err(What::Nonsense("a file without an ETag, which it had before".to_owned()));
        }
        // Where it makes no sense, `object_store` says so.
        let sent = text(headers, CONTENT_RANGE.as_str()).next().and_then(content_range);
        let is_asked = sent.as_ref().is_some_and(|(sent, _)| sent.start == asked.start && sent.end <= asked.end);
        let bytes = match collect(body, headers, asked.end - asked.start).await {
            Ok(bytes) => bytes,
            Err(cut) => {
                if let (Some(partial), Some(tag), true) = (&self.attempt.partial, tag, is_asked) {
                    partial.keep(&cut.came, tag);
                }
                return Err(cut.what);
            }
        };
        let Some((sent, size)) = sent.filter(|_| is_asked) else { return Ok(bytes) };
        let (length, announced) = (bytes.len() as u64, sent.end - sent.start);
        if length != announced {
            return Err(What::Nonsense(format!("{length} bytes as a part of {announced}")));
        }
        if sent == (0..size) && checksum::contradicts(&bytes, |name| text(headers, name)) {
            return Err(What::Nonsense("a file that has not the checksum that is sent with it".to_owned()));
        }
        Ok(bytes)
    }
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

/// `object_store` would take any XML, such as the page of a proxy that wants a password, for the listing of an empty bucket.
fn check_listing(body: &[u8]) -> Result<(), What> {
    let beginning = String::from_utf8_lossy(&body[..body.len().min(1024)]);
    match ["<ListBucketResult", "<EnumerationResults"].iter().any(|root| beginning.contains(root)) {
        true => Ok(()),
        false => Err(What::Nonsense("what came is no listing".to_owned())),
    }
}

/// A body that was not read to its end.
struct Cut {
    came: BytesMut,
    what: What,
}

/// Reads a body of at most so many bytes.
async fn collect(body: HttpResponseBody, headers: &HeaderMap, most: u64) -> Result<Bytes, Cut> {
    let announced = text(headers, CONTENT_LENGTH.as_str()).next().and_then(|length| length.parse().ok());
    let too_long = |came| Cut { came, what: What::Nonsense(format!("more than the {most} bytes that were asked for")) };
    if announced.is_some_and(|announced: u64| announced > most) {
        return Err(too_long(BytesMut::new()));
    }
    let mut came = BytesMut::with_capacity(announced.unwrap_or(0) as usize);
    let mut stream = body.bytes_stream();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) if (came.len() + chunk.len()) as u64 > most => return Err(too_long(BytesMut::new())),
            Ok(chunk) => came.extend_from_slice(&chunk),
            Err(error) => return Err(Cut { came, what: What::silence(&error) }),
        }
    }
    Ok(came.freeze())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

/// The range of a header `Range`, as `object_store` writes it.
fn range(header: &str) -> Option<Range<u64>> {
    let (start, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    Some(start.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?)
}

/// The range of a header `Content-Range`, and the length of the whole.
fn content_range(header: &str) -> Option<(Range<u64>, u64)> {
    let (part, size) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = part.split_once('-')?;
    let (start, end) = (start.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
    (start < end).then_some((start..end, size.parse().ok()?))
}
