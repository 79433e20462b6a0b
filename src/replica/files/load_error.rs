//! Why a file could not be read.

use crate::error::{Error, ErrorKind};
use crate::ltx::{FileName, Header, Level, LtxError};
use crate::store::{self, Listed, Store};

/// Why a file could not be read.
#[derive(Debug)]
pub(in crate::replica) enum LoadError {
    /// The file no longer exists, or has been replaced: the listing that named it is out of date.
    Moved,
    /// Any other error.
    Other(Error),
}

impl LoadError {
    /// Returns the error for a file whose content violates the file format.
    pub(in crate::replica) fn damaged(store: &dyn Store, level: Level, name: FileName, cause: LtxError) -> LoadError {
        LoadError::Other(Error::damaged(display_name(store, level, name), cause))
    }

    /// Returns the error, or None if the file no longer exists or has been replaced.
    pub(in crate::replica) fn cause(&self) -> Option<&Error> {
        match self {
            LoadError::Moved => None,
            LoadError::Other(error) => Some(error),
        }
    }

    /// Returns whether the file exists but its content violates the file format.
    pub(in crate::replica) fn is_damage(&self) -> bool {
        matches!(self, LoadError::Other(error) if error.kind() == ErrorKind::Damaged)
    }
}

impl From<store::StoreError> for LoadError {
    fn from(error: store::StoreError) -> LoadError {
        match error.kind() {
            store::StoreErrorKind::NotFound | store::StoreErrorKind::Changed => LoadError::Moved,
            _ => LoadError::Other(error.into()),
        }
    }
}

/// Returns how errors name a file.
pub(in crate::replica) fn display_name(store: &dyn Store, level: Level, name: FileName) -> String {
    format!("{name} at level {level} of {store}")
}

/// Parses a header and checks that it belongs to the name of the file.
pub(in crate::replica) fn named_header(store: &dyn Store, listed: &Listed, bytes: &[u8]) -> Result<Header, Error> {
    let shown = || display_name(store, listed.level, listed.name);
    let header = Header::parse(bytes).map_err(|cause| Error::damaged(shown(), cause))?;
    let in_header = header.name();
    if in_header == listed.name { Ok(header) } else { Err(Error::misnamed(shown(), in_header)) }
}
