//! Errors as an application sees them: one sentence that names the place, the cause and what to do.

use crate::{ltx, store};
use std::fmt;
use std::sync::Arc;

/// What an error means to the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// A setting is missing or cannot be read.
    Config,
    /// The replica holds no database yet, or not the moment asked for.
    Empty,
    /// Credentials are missing or refused.
    Denied,
    /// The store does not answer.
    Unreachable,
    /// A file of the replica is not what the format says.
    Damaged,
    /// No file holds the pages of this view any more.
    TooOld,
    /// The system has no thread or file descriptor left for this process.
    Exhausted,
    /// The host asked to stop.
    Interrupted,
    /// Our own mistake.
    Internal,
}

/// Why an operation failed. Cheap to clone.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    remedy: Option<String>,
}

impl Error {
    /// `message` names the place and the cause, without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { inner: Arc::new(Inner { kind, message: message.into(), remedy: None }) }
    }

    /// The same error with what a person can do about it, as a clause.
    pub fn remedy(self, remedy: impl Into<String>) -> Error {
        let inner = Inner { kind: self.kind(), message: self.inner.message.clone(), remedy: Some(remedy.into()) };
        Error { inner: Arc::new(inner) }
    }

    /// The same error, of what was tried: `cannot open …: <error>`.
    pub fn context(self, tried: impl fmt::Display) -> Error {
        let message = format!("{tried}: {}", self.inner.message);
        Error { inner: Arc::new(Inner { kind: self.kind(), message, remedy: self.inner.remedy.clone() }) }
    }

    /// What it means to the host.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// A defect of ours.
    pub(crate) fn internal(what: &str) -> Error {
        Error::new(ErrorKind::Internal, what).remedy("please report this as a defect of litestream-vfs")
    }

    /// A file whose header names other transactions than its name.
    pub(crate) fn misnamed(file: impl fmt::Display, says: ltx::FileName) -> Error {
        Error::new(ErrorKind::Damaged, format!("the file {file} is damaged: its header belongs to {says}"))
            .remedy("restore it from where it was copied")
    }

    /// A file whose content breaks the format.
    pub fn damaged(file: impl fmt::Display, cause: ltx::LtxError) -> Error {
        Error::new(ErrorKind::Damaged, format!("the file {file} is damaged: {cause}"))
            .remedy("run `litestream restore` to see if another copy of the data is whole, then force a new snapshot")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        match &self.inner.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.inner.kind)
    }
}

impl std::error::Error for Error {}

impl From<store::StoreError> for Error {
    fn from(error: store::StoreError) -> Error {
        use store::StoreErrorKind::*;
        let (kind, remedy) = match error.kind() {
            NotFound | Changed => (ErrorKind::TooOld, None),
            Denied => (
                ErrorKind::Denied,
                Some("check the credentials or permissions: they must allow to list the replica and to read it"),
            ),
            Unreachable => (ErrorKind::Unreachable, Some("check the endpoint and the network")),
            Config => (ErrorKind::Config, None),
            Protocol => (ErrorKind::Unreachable, Some("check that the endpoint is the object store itself")),
        };
        let converted = Error::new(kind, error.to_string());
        match remedy {
            Some(remedy) => converted.remedy(remedy),
            None => converted,
        }
    }
}
