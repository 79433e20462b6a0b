//! The errors of stores.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The kind of a failure, by what the caller can do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The file does not exist. This is a normal result, because files may be deleted after a listing.
    NotFound,
    /// The file has another version than the expected one.
    Changed,
    /// Credentials are missing, wrong, expired, or lack a permission.
    Denied,
    /// The server did not respond in time, or the response was interrupted. A later request may succeed.
    Unreachable,
    /// The URL or a setting is invalid, so no request can succeed.
    Config,
    /// The response of the store is invalid.
    Protocol,
    /// Nothing can be written to this store.
    ReadOnly,
}

impl StoreErrorKind {
    /// Whether a creation that fails with it has created nothing.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(self, StoreErrorKind::Denied | StoreErrorKind::Config | StoreErrorKind::ReadOnly)
    }
}

/// A failure of a store. It is cheap to clone, because callers that wait for the same bytes share it.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    url: Arc<str>,
    cause: Arc<str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// Creates an error. `url` is the URL of the object or replica with credentials masked; `cause` is a clause without a full stop.
    pub fn new(kind: StoreErrorKind, url: impl Into<Arc<str>>, cause: impl Into<Arc<str>>) -> StoreError {
        StoreError { kind, url: url.into(), cause: cause.into(), source: None }
    }

    /// Sets the error that [`source`](StdError::source) returns. It must not contain a secret.
    pub(crate) fn caused_by(self, source: impl StdError + Send + Sync + 'static) -> StoreError {
        StoreError { source: Some(Arc::new(source)), ..self }
    }

    /// Returns this error with another kind.
    pub(super) fn of_kind(self, kind: StoreErrorKind) -> StoreError {
        StoreError { kind, ..self }
    }

    /// Creates an error of the kind [`StoreErrorKind::NotFound`].
    pub(crate) fn missing(url: impl Into<Arc<str>>) -> StoreError {
        StoreError::new(StoreErrorKind::NotFound, url, "there is no such file")
    }

    /// Creates the error of a store that cannot be written.
    pub(super) fn read_only(url: impl Into<Arc<str>>) -> StoreError {
        StoreError::new(StoreErrorKind::ReadOnly, url, "replicas of this kind can only be read")
    }

    /// Creates an error of the kind [`StoreErrorKind::Changed`].
    pub(super) fn changed(url: impl Into<Arc<str>>) -> StoreError {
        StoreError::new(StoreErrorKind::Changed, url, "the file was replaced by another version")
    }

    /// Returns the kind, by what the caller can do about it.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.url, self.cause)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Shortens a text from outside to one line of at most 200 characters, for use in an error text.
pub(super) fn short(text: &str) -> String {
    const LONGEST: usize = 200;
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches('.');
    line.chars().take(LONGEST).collect()
}

/// Returns the message of the innermost source of an error, shortened.
pub(super) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    short(&root.to_string())
}
