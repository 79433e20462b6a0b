//! What went wrong between us and an SSH server, in a clause.

use crate::store::error::short;
use crate::store::{Error, ErrorKind};

/// A question that brought nothing.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    kind: ErrorKind,
    cause: String,
    /// Whether the connection ended, so that another one may bring an answer.
    pub is_lost: bool,
    /// Whether there is no more of what was asked for.
    pub is_end: bool,
    /// Whether the server refused the request, so that it may answer others.
    pub is_refusal: bool,
}

impl Failure {
    pub fn new(kind: ErrorKind, cause: impl Into<String>) -> Failure {
        Failure { kind, cause: cause.into(), is_lost: false, is_end: false, is_refusal: false }
    }

    /// The connection ended while somebody waited for an answer.
    pub fn lost() -> Failure {
        Failure { is_lost: true, ..Failure::new(ErrorKind::Unreachable, "the connection broke off") }
    }

    pub fn nonsense(what: &str) -> Failure {
        Failure::new(ErrorKind::Protocol, format!("the server answers what SFTP would not: {what}"))
    }

    /// What the status of a refused request means.
    pub fn status(code: u32, message: &str) -> Failure {
        const END: u32 = 1;
        const NO_SUCH_FILE: u32 = 2;
        const PERMISSION_DENIED: u32 = 3;
        const FAILURE: u32 = 4;
        let message = short(message);
        let failure = match code {
            END => Failure { is_end: true, ..Failure::nonsense("an end where none can be") },
            NO_SUCH_FILE => Failure::new(ErrorKind::NotFound, "there is no such file"),
            PERMISSION_DENIED => Failure::new(ErrorKind::Denied, "the server's user may not read it"),
            FAILURE => Failure::new(ErrorKind::Unreachable, format!("the server cannot read it now ({message})")),
            _ => Failure::new(ErrorKind::Protocol, format!("the server refuses (status {code}, {message})")),
        };
        Failure { is_refusal: true, ..failure }
    }

    pub fn is_missing(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }

    /// The failure as callers know it.
    pub fn error(self, place: impl Into<std::sync::Arc<str>>) -> Error {
        Error::new(self.kind, place, self.cause)
    }
}
