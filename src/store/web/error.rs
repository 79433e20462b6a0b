//! Failures of requests to a web server.

use super::header::header;
use crate::store::error::root_cause;
use crate::store::redirects::MOST_REDIRECTS;
use crate::store::tries::{Trouble, is_transient, retry_after};
use crate::store::{StoreError, StoreErrorKind};
use reqwest::header::{DATE, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use std::time::Duration;

/// The reason why a request failed.
#[derive(Debug)]
pub(super) enum WebError {
    /// The server returned an error status, and maybe the pause before the next try.
    Status(StatusCode, Option<Duration>),
    /// The server redirects to this server, which is not followed; if it is the same server, it redirected too often.
    Redirected(String),
    /// There was no response, or only a part of it.
    NoResponse(String),
    /// The response violates the protocol.
    InvalidResponse(String),
    /// The server lacks a function that reading a replica needs.
    UnsupportedServer(String),
    /// The server demands a longer pause than the deadline permits, or did not carry out several requests within it.
    Busy(String),
    /// There is a directory where a file was requested.
    Directory,
    /// There is a page where a file was requested, such as the one of a proxy that wants a login.
    Page,
    /// A lock is held for too long.
    #[cfg(feature = "webdav")]
    Locked(String),
    /// The server lacks a function that writing a replica needs.
    #[cfg(feature = "webdav")]
    ReadOnly(String),
}

impl WebError {
    /// Returns the failure of a request without a complete response.
    pub fn no_response(error: &reqwest::Error) -> WebError {
        WebError::NoResponse(root_cause(error))
    }

    /// Returns the failure that the status of a response means.
    pub fn status(response: &Response) -> WebError {
        let header = |name| header(response.headers(), name);
        WebError::Status(response.status(), header(RETRY_AFTER).and_then(|value| retry_after(value, header(DATE))))
    }

    /// Returns whether another try may succeed.
    pub fn trouble(&self) -> Trouble {
        match self {
            WebError::Status(status, retry_after) if is_transient(status.as_u16()) => {
                Trouble::Transient { retry_after: *retry_after }
            }
            WebError::NoResponse(_) => Trouble::Transient { retry_after: None },
            WebError::InvalidResponse(_) | WebError::Page => Trouble::Nonsense,
            WebError::Redirected(_)
            | WebError::Status(..)
            | WebError::UnsupportedServer(_)
            | WebError::Busy(_)
            | WebError::Directory => Trouble::Permanent,
            #[cfg(feature = "webdav")]
            WebError::Locked(_) | WebError::ReadOnly(_) => Trouble::Permanent,
        }
    }

    /// Returns whether this is the status of a file that does not exist, or that of any file that may not be read: some servers, such as
    /// buckets without permission to list, do not tell the two apart.
    #[cfg(feature = "http")]
    pub fn may_mean_missing(&self) -> bool {
        matches!(self, WebError::Status(StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN, _))
    }

    /// Returns whether the server is unavailable, so that other requests would fail as well.
    #[cfg(feature = "webdav")]
    pub fn is_outage(&self) -> bool {
        matches!(self, WebError::Busy(_)) || matches!(self.trouble(), Trouble::Transient { .. })
    }

    /// Returns the failure as an error of the store, with the URL that it belongs to.
    pub fn at(&self, url: &str, server: &str) -> StoreError {
        let (kind, cause) = match self {
            WebError::Status(StatusCode::PRECONDITION_FAILED, _) => {
                (StoreErrorKind::Changed, "the file was replaced by another version".to_owned())
            }
            WebError::Status(status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), _) => {
                (StoreErrorKind::Denied, format!("{server} denies access ({status})"))
            }
            WebError::Status(status @ StatusCode::NOT_IMPLEMENTED, _) => (
                StoreErrorKind::Config,
                format!("{server} does not support this kind of request ({status}); check the scheme of the URL"),
            ),
            WebError::Status(status, _) if matches!(self.trouble(), Trouble::Transient { .. }) => {
                (StoreErrorKind::Unreachable, format!("{server} is temporarily unavailable ({status})"))
            }
            WebError::Status(status, _) => {
                (StoreErrorKind::Protocol, format!("{server} rejects the request ({status})"))
            }
            WebError::Redirected(to) if to == server => {
                (StoreErrorKind::Protocol, format!("{server} redirects more than {MOST_REDIRECTS} times"))
            }
            WebError::Redirected(to) => (
                StoreErrorKind::Protocol,
                format!(
                    "{server} redirects to {to}, which is not followed, because the credentials are only for {server}; use \
                     the URL of the target"
                ),
            ),
            WebError::NoResponse(cause) => (StoreErrorKind::Unreachable, format!("cannot reach {server}: {cause}")),
            WebError::InvalidResponse(cause) => {
                (StoreErrorKind::Protocol, format!("{server} sends an invalid response: {cause}"))
            }
            WebError::Page => {
                (StoreErrorKind::Protocol, format!("{server} sends an invalid response: a page instead of the file"))
            }
            WebError::UnsupportedServer(cause) => (StoreErrorKind::Config, format!("{server} {cause}")),
            #[cfg(feature = "webdav")]
            WebError::ReadOnly(cause) => (StoreErrorKind::ReadOnly, format!("{server} {cause}")),
            WebError::Busy(cause) => {
                (StoreErrorKind::Unreachable, format!("{server} is temporarily unavailable: {cause}"))
            }
            WebError::Directory => (StoreErrorKind::Protocol, "a directory has the name of a file".to_owned()),
            #[cfg(feature = "webdav")]
            WebError::Locked(cause) => (StoreErrorKind::Unreachable, cause.clone()),
        };
        StoreError::new(kind, url, cause)
    }
}
