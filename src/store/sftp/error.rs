//! Failures of requests to an SFTP server.

use crate::store::error::short;
use crate::store::{StoreError, StoreErrorKind};

/// The reason why a request failed.
#[derive(Clone, Debug)]
pub(super) struct SftpError {
    pub kind: StoreErrorKind,
    cause: String,
    /// The connection ended, so the request may succeed over another one.
    pub is_connection_lost: bool,
    /// The end of the file or directory is reached.
    pub is_end: bool,
    /// The server rejected this request; others may succeed.
    pub is_rejection: bool,
}

impl SftpError {
    pub fn new(kind: StoreErrorKind, cause: impl Into<String>) -> SftpError {
        SftpError { kind, cause: cause.into(), is_connection_lost: false, is_end: false, is_rejection: false }
    }

    /// The connection ended before the response.
    pub fn connection_lost() -> SftpError {
        SftpError {
            is_connection_lost: true,
            ..SftpError::new(StoreErrorKind::Unreachable, "the connection to the server was lost")
        }
    }

    /// The response violates the protocol; `what` is the part that does.
    pub fn invalid_response(what: &str) -> SftpError {
        SftpError::new(StoreErrorKind::Protocol, format!("the server sends an invalid response: {what}"))
    }

    /// Makes this an error after which the file may exist.
    pub fn into_unreachable(self) -> SftpError {
        SftpError { kind: StoreErrorKind::Unreachable, ..self }
    }

    /// Returns the error that a status code means.
    pub fn from_status(code: u32, message: &str) -> SftpError {
        const END: u32 = 1;
        const NO_SUCH_FILE: u32 = 2;
        const PERMISSION_DENIED: u32 = 3;
        const FAILURE: u32 = 4;
        let message = short(message);
        let error = match code {
            END => SftpError { is_end: true, ..SftpError::invalid_response("an unexpected end of file") },
            NO_SUCH_FILE => SftpError::new(StoreErrorKind::NotFound, "the file does not exist"),
            PERMISSION_DENIED => SftpError::new(StoreErrorKind::Denied, "the user has no permission for it"),
            FAILURE => SftpError::new(
                StoreErrorKind::Unreachable,
                format!("the server currently refuses it (status {FAILURE}, {message})"),
            ),
            _ => SftpError::new(
                StoreErrorKind::Protocol,
                format!("the server rejects the request (status {code}, {message})"),
            ),
        };
        SftpError { is_rejection: true, ..error }
    }

    pub fn is_not_found(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }

    /// Returns the failure as an error of the store, with the URL that it belongs to.
    pub fn at(self, url: impl Into<std::sync::Arc<str>>) -> StoreError {
        StoreError::new(self.kind, url, self.cause)
    }
}

/// Returns a failure of the network as [`StoreErrorKind::Unreachable`]. Describes any other error by `problem`.
pub(super) fn ssh_error(server: &str, problem: &str, error: &russh::Error) -> SftpError {
    use russh::Error::{Disconnect, HUP, IO, SendError};
    let cause = short(&error.to_string());
    match error {
        Disconnect | HUP | IO(_) | SendError => {
            SftpError::new(StoreErrorKind::Unreachable, format!("the connection to {server} failed: {cause}"))
        }
        _ => SftpError::new(StoreErrorKind::Protocol, format!("{problem} with {server}: {cause}")),
    }
}
