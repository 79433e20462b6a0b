//! The errors that an application sees: one sentence with the object, the cause and the remedy.

use crate::{ltx, store};
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

/// The category of an [`Error`], which decides the result code that SQLite returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is missing or invalid.
    Config,
    /// The replica contains no database yet, or not the requested state.
    Empty,
    /// Credentials are missing or were rejected.
    Denied,
    /// The store does not respond.
    Unreachable,
    /// A file of the replica violates the LTX format.
    Damaged,
    /// The pages of this view are no longer in any file.
    TooOld,
    /// The process has reached its limit on threads or file descriptors.
    Exhausted,
    /// Another connection of this process is writing.
    Busy,
    /// Another writer has committed first, so the transaction is rolled back.
    Conflict,
    /// Nothing may be written.
    ReadOnly,
    /// A transaction is too large.
    TooLarge,
    /// It is unknown whether a transaction was committed.
    Unconfirmed,
    /// The application interrupted the operation.
    Interrupted,
    /// A bug in this crate.
    Internal,
}

/// The reason why an operation failed. Cheap to clone.
#[derive(Clone)]
pub struct Error {
    inner: Arc<ErrorDetails>,
}

#[derive(Clone)]
struct ErrorDetails {
    kind: ErrorKind,
    message: String,
    remedy: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Creates an error. `message` names the object and the cause, without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { inner: Arc::new(ErrorDetails { kind, message: message.into(), remedy: None, source: None }) }
    }

    /// Adds what the user can do about the error, as a clause.
    pub fn remedy(self, remedy: impl Into<String>) -> Error {
        self.with(|details| details.remedy = Some(remedy.into()))
    }

    /// Puts the operation that failed before the message: `cannot open …: <message>`.
    pub fn context(self, operation: impl fmt::Display) -> Error {
        self.with(|details| details.message = format!("{operation}: {}", details.message))
    }

    /// Sets the error that [`source`](StdError::source) returns. The message must contain its text already.
    pub(crate) fn caused_by(self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.with(|details| details.source = Some(Arc::new(source)))
    }

    fn with(mut self, change: impl FnOnce(&mut ErrorDetails)) -> Error {
        change(Arc::make_mut(&mut self.inner));
        self
    }

    /// Returns the category of the error.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Creates an error for a bug in this crate.
    pub(crate) fn internal(what: &str) -> Error {
        Error::new(ErrorKind::Internal, what).remedy("please report this as a bug of litestream-vfs")
    }

    /// Creates an error for a file whose header contains other transactions than its name.
    pub(crate) fn misnamed(file: impl fmt::Display, in_header: ltx::FileName) -> Error {
        Error::new(ErrorKind::Damaged, format!("the file {file} is damaged: its header belongs to {in_header}"))
            .remedy("copy it again from its source")
    }

    /// Creates an error for a file that violates the LTX format.
    pub fn damaged(file: impl fmt::Display, cause: ltx::LtxError) -> Error {
        Error::new(ErrorKind::Damaged, format!("the file {file} is damaged: {cause}"))
            .remedy("run `litestream restore` to see if another copy of the data is intact, then force a new snapshot")
            .caused_by(cause)
    }
}

/// Whether a call of the system failed because the process, or the system, has too many open files.
pub(crate) fn is_limit_on_files(cause: &io::Error) -> bool {
    #[cfg(unix)]
    return matches!(cause.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    #[cfg(not(unix))]
    return {
        let _ = cause;
        false
    };
}

/// Returns what to do about a call of the system that failed: `usual`, unless there are too many open files.
pub(crate) fn remedy_unless_files(cause: &io::Error, usual: &'static str) -> &'static str {
    if is_limit_on_files(cause) { "raise the limit on open files (ulimit -n)" } else { usual }
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

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<store::StoreError> for Error {
    fn from(error: store::StoreError) -> Error {
        use store::StoreErrorKind::*;
        let (kind, remedy) = match error.kind() {
            NotFound | Changed => (ErrorKind::TooOld, None),
            Denied => (
                ErrorKind::Denied,
                Some("check the credentials and permissions: they must allow listing and reading the replica"),
            ),
            Unreachable => (ErrorKind::Unreachable, Some("check the endpoint and the network")),
            Config => (ErrorKind::Config, None),
            ReadOnly => (ErrorKind::ReadOnly, None),
            Protocol => (ErrorKind::Unreachable, Some("check that the endpoint is the object store itself")),
        };
        let converted = Error::new(kind, error.to_string()).caused_by(error);
        match remedy {
            Some(remedy) => converted.remedy(remedy),
            None => converted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_leads_to_the_first_cause() {
        let fault = ltx::LtxError::Page { pgno: 7, fault: ltx::PageFault::Cut };
        let error = Error::damaged("a.ltx", fault.clone()).context("cannot open it").remedy("copy it");
        let source: &ltx::LtxError = error.source().and_then(|source| source.downcast_ref()).expect("an LtxError");
        assert_eq!(source, &fault);
        assert_eq!(source.source().map(|fault| fault.to_string()).as_deref(), Some("its frame is truncated"));

        let system = std::io::Error::from(std::io::ErrorKind::TimedOut);
        let error = store::StoreError::new(store::StoreErrorKind::Unreachable, "file:///r", "it timed out");
        let error = Error::from(error.caused_by(system));
        let source = error.source().expect("a StoreError");
        assert_eq!(source.to_string(), "file:///r: it timed out");
        assert!(source.source().is_some_and(|system| system.is::<std::io::Error>()));
    }
}
