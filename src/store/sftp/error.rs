//! What went wrong between us and an SSH server, in a clause.

use crate::store::error::short;
use crate::store::{StoreError, StoreErrorKind};

/// A question that brought nothing.
#[derive(Clone, Debug)]
pub(super) struct SftpError {
    kind: StoreErrorKind,
    cause: String,
    /// Whether the connection ended, so that another one may bring an answer.
    pub is_lost: bool,
    /// Whether there is no more of what was asked for.
    pub is_end: bool,
    /// Whether the server refused the request, so that it may answer others.
    pub is_refusal: bool,
}

impl SftpError {
    pub fn new(kind: StoreErrorKind, cause: impl Into<String>) -> SftpError {
        SftpError { kind, cause: cause.into(), is_lost: false, is_end: false, is_refusal: false }
    }

    /// The connection ended while somebody waited for an answer.
    pub fn lost() -> SftpError {
        SftpError { is_lost: true, ..SftpError::new(StoreErrorKind::Unreachable, "the connection broke off") }
    }

    pub fn nonsense(what: &str) -> SftpError {
        SftpError::new(StoreErrorKind::Protocol, format!("the server answers what SFTP would not: {what}"))
    }

    /// What the status of a refused request means.
    pub fn status(code: u32, message: &str) -> SftpError {
        const END: u32 = 1;
        const NO_SUCH_FILE: u32 = 2;
        const PERMISSION_DENIED: u32 = 3;
        const FAILURE: u32 = 4;
        let message = short(message);
        let failure = match code {
            END => SftpError { is_end: true, ..SftpError::nonsense("an end where none can be") },
            NO_SUCH_FILE => SftpError::new(StoreErrorKind::NotFound, "there is no such file"),
            PERMISSION_DENIED => SftpError::new(StoreErrorKind::Denied, "the server's user may not read it"),
            FAILURE => {
                SftpError::new(StoreErrorKind::Unreachable, format!("the server cannot read it now ({message})"))
            }
            _ => SftpError::new(StoreErrorKind::Protocol, format!("the server refuses (status {code}, {message})")),
        };
        SftpError { is_refusal: true, ..failure }
    }

    pub fn is_missing(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }

    /// The failure as callers know it.
    pub fn error(self, place: impl Into<std::sync::Arc<str>>) -> StoreError {
        StoreError::new(self.kind, place, self.cause)
    }
}
