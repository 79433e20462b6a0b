//! Responses of a bucket's server with a status other than success.

use crate::store::error::short;
use crate::store::redirects::destination;
use crate::store::timeouts::unless_silent;
use crate::store::tries::{is_transient, retry_after};
use crate::store::{StoreError, StoreErrorKind};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use std::time::Duration;

/// A response with a status other than success.
#[derive(Clone, Default, Debug)]
pub(super) struct CloudRefusal {
    pub status: u16,
    /// The error code of the service, such as `NoSuchKey`; empty if there is none.
    pub code: String,
    pub message: String,
    /// The region of the bucket, if the response contains it.
    pub region: Option<String>,
    /// How long the server requests to wait before another try.
    pub retry_after: Option<Duration>,
    /// The server that the response redirects to.
    pub destination: Option<String>,
}

/// The kind of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CloudOperation {
    Listing,
    File,
    Creation,
    Deletion,
}

impl CloudRefusal {
    /// Reads a response. `requested` is the URL of the request.
    ///
    /// Only the error code and the message are taken from the body: from XML for a bucket, and from JSON for a server that issues
    /// credentials.
    pub async fn read(requested: &str, is_of_bucket: bool, mut response: Response) -> CloudRefusal {
        let body = read_beginning(&mut response).await;
        CloudRefusal::of(requested, is_of_bucket, response.status(), response.headers(), &body)
    }

    /// As [`read`](CloudRefusal::read), for a response that is in the body of another one.
    pub fn of(
        requested: &str,
        is_of_bucket: bool,
        status: StatusCode,
        headers: &HeaderMap,
        body: &str,
    ) -> CloudRefusal {
        let destination = status.is_redirection().then(|| destination(requested, headers)).flatten();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let region = header("x-amz-bucket-region").map(str::to_owned);
        // Azure sends the code in this header if the response has no body.
        let code = header("x-ms-error-code").map(str::to_owned);
        let retry_after = header(RETRY_AFTER.as_str()).and_then(|value| retry_after(value, header(DATE.as_str())));
        let is_error = body.contains("<Error");
        let element = |name: &str| element(body, name).filter(|_| is_error).map(short);
        CloudRefusal {
            status: status.as_u16(),
            code: element("Code").or(code).unwrap_or_default(),
            message: element("Message").or_else(|| json_message(body).filter(|_| !is_of_bucket)).unwrap_or_default(),
            region: region.or_else(|| element("Region")),
            retry_after,
            destination,
        }
    }

    /// Returns the region of the bucket, if the request may have been refused because it was sent to another region.
    pub fn other_region(&self) -> Option<&str> {
        let region = matches!(self.status, 300..=399 | 400 | 403).then_some(self.region.as_deref()).flatten();
        region.filter(|region| is_region(region))
    }

    /// Returns whether another try may succeed.
    pub fn is_transient(&self) -> bool {
        // Two conditional writes of one object were in progress. Neither needs to have succeeded.
        const CONFLICTS: [&str; 2] = ["ConditionalRequestConflict", "OperationAborted"];
        is_transient(self.status) || self.status == 409 && CONFLICTS.contains(&self.code.as_str())
    }

    /// Returns whether the object was not created because an object of its name exists.
    pub fn means_exists(&self) -> bool {
        // Azure and Alibaba OSS return 409, all others 412.
        const CODES: [&str; 2] = ["BlobAlreadyExists", "FileAlreadyExists"];
        self.status == 412 || self.status == 409 && CODES.contains(&self.code.as_str())
    }

    /// Converts the refusal for the caller of the store.
    pub fn to_store_error(&self, server: &str, url: &str, operation: CloudOperation) -> StoreError {
        const CREDENTIAL_CODES: [&str; 4] =
            ["ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"];
        let reason = self.reason();
        let (kind, cause) = match (self.status, operation) {
            (404, _) if self.code == "ContainerNotFound" => {
                (StoreErrorKind::Config, format!("the container does not exist at {server}"))
            }
            (404, CloudOperation::File) if self.code != "NoSuchBucket" => return StoreError::missing(url),
            (404, _) => (StoreErrorKind::Config, format!("the bucket does not exist at {server} ({reason})")),
            (412, CloudOperation::File | CloudOperation::Creation) => return StoreError::changed(url),
            (403, CloudOperation::File) if self.code == "AccessDenied" || self.code.is_empty() => (
                StoreErrorKind::Denied,
                format!("{server} denies access ({reason}); without permission to list, this may mean a missing file"),
            ),
            (401 | 403, _) => (StoreErrorKind::Denied, format!("{server} denies access ({reason})")),
            _ if CREDENTIAL_CODES.contains(&self.code.as_str()) => {
                (StoreErrorKind::Denied, format!("{server} denies access ({reason})"))
            }
            (501, CloudOperation::Creation) => (
                StoreErrorKind::Config,
                format!("{server} does not support conditional writes ({reason}); write to a server that does"),
            ),
            (501, _) => (StoreErrorKind::Config, format!("{server} does not support this kind of request ({reason})")),
            _ if self.is_transient() => {
                (StoreErrorKind::Unreachable, format!("{server} is temporarily unavailable ({reason})"))
            }
            (300..=399, _) if self.destination.is_some() => {
                (StoreErrorKind::Protocol, format!("{server} refuses: {reason}"))
            }
            (300..=399, _) => (
                StoreErrorKind::Config,
                format!("the bucket is not at {server} ({reason}); add the region of the bucket to the URL"),
            ),
            _ => (StoreErrorKind::Protocol, format!("{server} rejects the request ({reason})")),
        };
        StoreError::new(kind, url, cause)
    }

    /// Returns the code or the status, the message and the redirect, for an error text.
    pub fn reason(&self) -> String {
        let code = if self.code.is_empty() { format!("status {}", self.status) } else { self.code.clone() };
        let reason = if self.message.is_empty() { code } else { format!("{code}: {}", self.message) };
        match &self.destination {
            Some(server) => format!("{reason}; it redirects to {server}, which is not followed"),
            None => reason,
        }
    }
}

/// Returns whether a text may be the name of a region. It becomes part of a host name and must not change it to another host.
pub(in crate::store) fn is_region(text: &str) -> bool {
    const LONGEST: usize = 64;
    let is_letter = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_letter)
}

/// Reads the beginning of a body, which is enough for an error.
async fn read_beginning(response: &mut Response) -> String {
    const ENOUGH: usize = 16 * 1024;
    let mut bytes = Vec::new();
    while let Ok(Ok(Some(chunk))) = unless_silent(0, response.chunk()).await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ENOUGH {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the error message in a JSON object, from one of the fields that the cloud services use.
fn json_message(body: &str) -> Option<String> {
    let object: serde_json::Value = serde_json::from_str(body).ok()?;
    let fields = [&object["error_description"], &object["error"]["message"], &object["message"], &object["Message"]];
    fields.into_iter().find_map(|message| message.as_str()).map(short)
}

/// Returns the text of an XML element that contains no other elements.
pub(super) fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    rest.split_once('<').map(|(text, _)| text).filter(|text| !text.is_empty())
}
