//! The failures of requests to a bucket.

use super::refusal::{CloudOperation, CloudRefusal};
use crate::store::error::{root_cause, short};
use crate::store::tries::{Stop, Trouble};
use crate::store::{StoreError, StoreErrorKind};
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error as StdError;
use std::fmt;

/// A failed request.
#[derive(Clone, Debug)]
pub(super) struct CloudError {
    /// Scheme, host and port of the server.
    pub server: String,
    pub kind: CloudErrorKind,
}

#[derive(Clone, Debug)]
pub(super) enum CloudErrorKind {
    /// There was no response, or it was incomplete.
    Unreachable { connected: bool, cause: String },
    /// No request was sent within so many seconds, because as many requests to the server as are allowed were in progress.
    Crowded(u64),
    /// The response has a status other than success.
    Refused(CloudRefusal),
    /// The response has a successful status, but is invalid.
    InvalidResponse(String),
    /// No request was sent, because there are no credentials. If `is_transient`, another try may find some.
    NoCredentials { cause: String, is_transient: bool },
}

impl CloudError {
    /// Extracts the [`CloudError`] from an error of `object_store`, or else creates one from its root cause. `server` is the server
    /// that the request was sent to.
    pub fn from_source(error: &object_store::Error, server: &str) -> CloudError {
        let mut cause: &(dyn StdError + 'static) = error;
        let mut http_kind = None;
        loop {
            if let Some(error) = cause.downcast_ref::<CloudError>() {
                return error.clone();
            }
            http_kind = http_kind.or(cause.downcast_ref::<HttpError>().map(HttpError::kind));
            match cause.source() {
                Some(source) => cause = source,
                None => break,
            }
        }
        let text = mask_quotations(&short(&cause.to_string()));
        let kind = match http_kind {
            Some(kind) if kind != HttpErrorKind::Decode => CloudErrorKind::Unreachable { connected: true, cause: text },
            _ => CloudErrorKind::InvalidResponse(text),
        };
        CloudError { server: server.to_owned(), kind }
    }

    /// Creates the error for a request that exceeded its time.
    pub fn timed_out(server: &str, seconds: u64) -> CloudError {
        let cause = format!("no response within {seconds} seconds");
        CloudError { server: server.to_owned(), kind: CloudErrorKind::Unreachable { connected: true, cause } }
    }

    /// Creates the error for a request that could not be sent in time because of other requests.
    pub fn crowded(server: &str, seconds: u64) -> CloudError {
        CloudError { server: server.to_owned(), kind: CloudErrorKind::Crowded(seconds) }
    }

    /// Creates the error for credentials that have not arrived in time. `hint` says which settings are missing.
    pub fn late_credentials(server: &str, hint: &str, seconds: u64) -> CloudError {
        let cause = without_credentials(hint, &format!("no answer within {seconds} seconds"));
        CloudError { server: server.to_owned(), kind: CloudErrorKind::NoCredentials { cause, is_transient: true } }
    }

    /// Creates the error for a response that is invalid.
    pub fn invalid_response(server: &str, cause: String) -> CloudError {
        CloudError { server: server.to_owned(), kind: CloudErrorKind::InvalidResponse(cause) }
    }

    /// Converts the failure of a request for credentials. `hint` says which settings are missing.
    pub fn into_no_credentials(self, hint: &str) -> CloudError {
        let cause = match &self.kind {
            // It may have nothing to do with a response, such as a file that cannot be read.
            CloudErrorKind::InvalidResponse(cause) => cause.clone(),
            _ => self.to_string(),
        };
        let is_transient = matches!(self.trouble(), Trouble::Transient { .. });
        let cause = without_credentials(hint, &cause);
        CloudError { kind: CloudErrorKind::NoCredentials { cause, is_transient }, ..self }
    }

    /// Returns whether another try may succeed.
    pub fn trouble(&self) -> Trouble {
        match &self.kind {
            CloudErrorKind::Unreachable { .. }
            | CloudErrorKind::Crowded(_)
            | CloudErrorKind::NoCredentials { is_transient: true, .. } => Trouble::Transient { retry_after: None },
            CloudErrorKind::Refused(refusal) if refusal.is_transient() => {
                Trouble::Transient { retry_after: refusal.retry_after }
            }
            CloudErrorKind::InvalidResponse(_) => Trouble::Nonsense,
            CloudErrorKind::Refused(_) | CloudErrorKind::NoCredentials { .. } => Trouble::Permanent,
        }
    }

    /// Adds the reason why the request is not tried again, if it is a pause that the server requested.
    pub fn with_stop(mut self, stop: Stop) -> CloudError {
        if let (CloudErrorKind::Refused(refusal), Stop::PauseTooLong { .. }) = (&mut self.kind, stop) {
            let before = if refusal.message.is_empty() { String::new() } else { format!("{}; ", refusal.message) };
            refusal.message = format!("{before}{stop}");
        }
        self
    }

    /// Returns the refusal, or None if the request failed otherwise.
    pub fn refusal(&self) -> Option<&CloudRefusal> {
        match &self.kind {
            CloudErrorKind::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Returns the status of the refusal, or None if the request failed otherwise.
    pub fn status(&self) -> Option<u16> {
        self.refusal().map(|refusal| refusal.status)
    }

    pub fn is_invalid_response(&self) -> bool {
        matches!(self.kind, CloudErrorKind::InvalidResponse(_))
    }

    /// Converts the error for the caller of the store. `url` is the masked URL of the object or replica.
    pub fn to_store_error(&self, url: &str, operation: CloudOperation) -> StoreError {
        let kind = match &self.kind {
            CloudErrorKind::Unreachable { .. } | CloudErrorKind::Crowded(_) => StoreErrorKind::Unreachable,
            CloudErrorKind::InvalidResponse(_) => StoreErrorKind::Protocol,
            CloudErrorKind::NoCredentials { .. } => StoreErrorKind::Denied,
            CloudErrorKind::Refused(refusal) => return refusal.to_store_error(&self.server, url, operation),
        };
        StoreError::new(kind, url, self.to_string())
    }
}

impl fmt::Display for CloudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = &self.server;
        match &self.kind {
            CloudErrorKind::Unreachable { connected: false, cause } => write!(f, "cannot connect to {server}: {cause}"),
            CloudErrorKind::Unreachable { connected: true, cause } => {
                write!(f, "the connection to {server} failed: {cause}")
            }
            CloudErrorKind::Crowded(seconds) => {
                write!(
                    f,
                    "no request was sent to {server} within {seconds} seconds, because other requests to it are in progress"
                )
            }
            CloudErrorKind::InvalidResponse(cause) => write!(f, "the response of {server} is invalid: {cause}"),
            CloudErrorKind::NoCredentials { cause, .. } => f.write_str(cause),
            CloudErrorKind::Refused(refusal) => write!(f, "{server} refuses: {}", refusal.reason()),
        }
    }
}

impl StdError for CloudError {}

impl CloudErrorKind {
    /// Creates the kind for a response that is missing or incomplete.
    pub fn unreachable(error: &reqwest::Error) -> CloudErrorKind {
        CloudErrorKind::Unreachable { connected: !error.is_connect(), cause: root_cause(error) }
    }

    /// The server has sent nothing for too long.
    pub fn silent(cause: String) -> CloudErrorKind {
        CloudErrorKind::Unreachable { connected: true, cause }
    }
}

fn without_credentials(hint: &str, cause: &str) -> String {
    format!("there are no credentials: {hint} ({cause})")
}

/// Masks what a text quotes from a response (errors of `serde` and `object_store` do): it may be a secret or the page of a proxy.
fn mask_quotations(text: &str) -> String {
    match (text.split_once('"'), text.rsplit_once('"')) {
        (Some((before, _)), Some((_, after))) => format!("{before}***{after}"),
        _ => text.to_owned(),
    }
}
