//! The HTTP client that `object_store` uses. It limits, reads and checks each response before it returns it.
//!
//! `object_store` reads bodies of any length, and returns the status of a failed response only as text. Here each body is limited to
//! what was requested, and each failure becomes a [`CloudError`], which [`CloudError::from_source`] extracts later.

use super::attempt::Attempt;
use super::batch;
use super::body::{collect, invalid, parse_range, text};
use super::checksum;
use super::error::{CloudError, CloudErrorKind};
use super::refusal::{CloudRefusal, element};
use crate::store::bounds::{LONGEST_OTHER, LONGEST_PAGE};
use crate::store::http::{ClientPurpose, Clients, parse_content_range};
use crate::store::timeouts::unless_silent;
use async_trait::async_trait;
use bytes::Bytes;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH, RANGE};
use reqwest::{Body, Request, Response, StatusCode};
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

/// The HTTP client of one bucket. Who sends requests to the bucket by it has a permit of its clients.
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
        let length = request.body().content_length() as u64;
        let request = convert(request, &wanted.url)?;
        let response = unless_silent(length, client.execute(request)).await;
        match response.map_err(CloudErrorKind::silent)? {
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
    /// The response to a deletion in Azure.
    Batch,
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
        let asks = |for_what: &str| uri.query().is_some_and(|query| query.contains(for_what));
        let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok()).and_then(parse_range);
        let kind = match range {
            _ if request.method() == "HEAD" => BodyKind::Nothing,
            Some(range) => BodyKind::Part(range),
            None if asks("list-type=2") || asks("comp=list") => BodyKind::Listing,
            None if asks("comp=batch") => BodyKind::Batch,
            None => BodyKind::Other,
        };
        let attempt = Attempt::of(request);
        WantedBody { server, url, is_of_bucket, kind, attempt, has_tag: request.headers().contains_key(IF_MATCH) }
    }

    /// Reads the whole body. Fails if it cannot be the requested one.
    async fn read(&self, mut response: Response) -> Result<HttpResponse, CloudErrorKind> {
        let status = response.status();
        let bytes = match &self.kind {
            BodyKind::Nothing => Bytes::new(),
            BodyKind::Other => collect(&mut response, LONGEST_OTHER).await.map_err(|interrupted| interrupted.kind)?,
            BodyKind::Listing => {
                let bytes = collect(&mut response, LONGEST_PAGE).await.map_err(|interrupted| interrupted.kind)?;
                check_listing(&bytes)?;
                bytes
            }
            BodyKind::Batch => {
                let bytes = collect(&mut response, LONGEST_OTHER).await.map_err(|interrupted| interrupted.kind)?;
                batch::check(&self.url, &bytes)?;
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(batch::SUCCESS_TYPE));
                Bytes::from_static(batch::SUCCESS.as_bytes())
            }
            // `object_store` reports the error. The connection is closed because the body is not read.
            BodyKind::Part(_) if status != StatusCode::PARTIAL_CONTENT => Bytes::new(),
            BodyKind::Part(range) => {
                let bytes = self.read_part(range, &mut response).await?;
                // `object_store` requires it, but a chunked response has none.
                response.headers_mut().entry(CONTENT_LENGTH).or_insert(bytes.len().into());
                bytes
            }
        };
        let mut converted = HttpResponse::new(bytes.into());
        *converted.status_mut() = status;
        *converted.headers_mut() = std::mem::take(response.headers_mut());
        Ok(converted)
    }

    /// Reads and checks a range of a file.
    async fn read_part(&self, requested: &Range<u64>, response: &mut Response) -> Result<Bytes, CloudErrorKind> {
        let headers = &response.headers().clone();
        let tag = text(headers, ETAG.as_str()).next();
        self.check_tag(tag)?;
        // If it is invalid, `object_store` reports the error.
        let sent = text(headers, CONTENT_RANGE.as_str()).next().and_then(parse_content_range);
        let sent = sent.filter(|(sent, _)| sent.start == requested.start && sent.end <= requested.end);
        let announced = sent.as_ref().map(|(sent, _)| sent.end - sent.start);
        let is_whole = |received: &[u8]| announced.is_some_and(|announced| received.len() as u64 >= announced);
        let bytes = match collect(response, requested.end - requested.start).await {
            Ok(bytes) => bytes,
            // Only what marks the end of the body is missing.
            Err(interrupted) if is_whole(&interrupted.received) => interrupted.received.freeze(),
            Err(interrupted) => {
                if let (Some(partial), Some(tag), Some(_)) = (&self.attempt.partial, tag, &sent) {
                    partial.keep(&interrupted.received, tag);
                }
                return Err(interrupted.kind);
            }
        };
        let Some((sent, size)) = sent else { return Ok(bytes) };
        let (length, announced) = (bytes.len() as u64, sent.end - sent.start);
        if length != announced {
            return Err(invalid(&format!("{length} bytes for a range of {announced}")));
        }
        if sent == (0..size) && checksum::contradicts(&bytes, |name| text(headers, name)) {
            return Err(invalid("the checksum differs from the one in the header"));
        }
        Ok(bytes)
    }

    /// Fails if a range with this ETag cannot be of the version that was read before. Not every server supports If-Match.
    fn check_tag(&self, tag: Option<&str>) -> Result<(), CloudErrorKind> {
        if tag.is_none() && self.has_tag && !self.attempt.fresh {
            return Err(invalid("the ETag is missing, which the file had before"));
        }
        match &self.attempt.partial {
            Some(partial) if !partial.is_continued_by(tag) => {
                Err(invalid("the rest of the range is of another version than its beginning"))
            }
            _ => Ok(()),
        }
    }
}

/// Converts a request of `object_store`. `url` is that of the request.
fn convert(request: HttpRequest, url: &str) -> Result<Request, CloudErrorKind> {
    let url = Url::parse(url).map_err(|error| invalid(&format!("no request can be sent to this URL: {error}")))?;
    let (parts, body) = request.into_parts();
    let mut converted = Request::new(parts.method, url);
    *converted.headers_mut() = parts.headers;
    *converted.body_mut() = Some(Body::wrap(body));
    Ok(converted)
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

/// Fails if a body is not a listing, or is a page without the way to the next one. `object_store` accepts any XML as the listing of an
/// empty bucket, such as the sign-in page of a proxy, and does not read `IsTruncated`.
fn check_listing(body: &[u8]) -> Result<(), CloudErrorKind> {
    let beginning = String::from_utf8_lossy(&body[..body.len().min(1024)]);
    if !["<ListBucketResult", "<EnumerationResults"].iter().any(|root| beginning.contains(root)) {
        return Err(invalid("the body is not a listing"));
    }
    // Only listings of S3 and Google have this element. Version 1 of the interface has another token and ignores the start.
    let body = String::from_utf8_lossy(body);
    let is_truncated = element(&body, "IsTruncated").is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
    match is_truncated && element(&body, "NextContinuationToken").is_none() {
        true => Err(invalid("a truncated listing without a token; the server must support ListObjectsV2")),
        false => Ok(()),
    }
}
