//! Why a store could not answer.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// What went wrong, by what a caller can do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// There is no such file. Listings are a moment's truth, so this is an ordinary answer.
    NotFound,
    /// Another version than the expected one stands under that name.
    Changed,
    /// Credentials are missing, wrong, expired, or lack a permission.
    Denied,
    /// Nobody answered in time, or the answer broke off; another try may succeed.
    Unreachable,
    /// The URL or a setting cannot be right, so no try will succeed.
    Config,
    /// The store answered with something that makes no sense.
    Protocol,
}

/// A failure of a store. Cheap to clone, since callers who asked for the same bytes share it.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    place: Arc<str>,
    cause: Arc<str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// `place` is the URL of the object or replica with credentials masked; `cause` a clause without a full stop.
    pub fn new(kind: StoreErrorKind, place: impl Into<Arc<str>>, cause: impl Into<Arc<str>>) -> StoreError {
        StoreError { kind, place: place.into(), cause: cause.into(), source: None }
    }

    /// Sets the error that [`source`](StdError::source) returns. It must not contain a secret.
    pub(crate) fn caused_by(self, source: impl StdError + Send + Sync + 'static) -> StoreError {
        StoreError { source: Some(Arc::new(source)), ..self }
    }

    pub(super) fn missing(place: impl Into<Arc<str>>) -> StoreError {
        StoreError::new(StoreErrorKind::NotFound, place, "there is no such file")
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.cause)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// One line of a foreign text, of a length for a clause.
pub(super) fn short(text: &str) -> String {
    const LONGEST: usize = 200;
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches('.');
    line.chars().take(LONGEST).collect()
}
