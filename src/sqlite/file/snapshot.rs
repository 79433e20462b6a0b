//! The state that a transaction reads.

use super::DbFile;
use crate::error::{Error, ErrorKind};
use crate::replica::{Overlay, View};
use std::sync::Arc;

/// The state that a transaction reads.
#[derive(Clone, Debug)]
pub(super) enum Snapshot {
    /// A state of the replica.
    View(Arc<View>),
    /// A database without pages: the replica is empty, and may be written.
    Empty,
}

impl Snapshot {
    /// Returns the view; None for an empty replica.
    pub(super) fn view(&self) -> Option<&Arc<View>> {
        match self {
            Snapshot::View(view) => Some(view),
            Snapshot::Empty => None,
        }
    }

    /// Returns from how many files wrong bytes of this state were read.
    pub(super) fn spoiled_files(&self) -> u64 {
        self.view().map_or(0, |view| view.spoiled_files())
    }

    /// Returns the size of the database in bytes.
    pub(super) fn size(&self) -> u64 {
        self.view().map_or(0, |view| u64::from(view.commit()) * u64::from(view.page_size()))
    }

    /// Returns an overlay without pages over this state.
    pub(super) fn overlay(&self) -> Overlay {
        Overlay::new(self.view().map(|view| view.page_size()), self.size())
    }
}

impl DbFile {
    /// Returns the state that reads see: that of the transaction, or the last one that this reader has seen, because outside a transaction no
    /// newer view is fetched.
    pub(super) fn snapshot(&self) -> Result<Snapshot, Error> {
        match self.pinned() {
            Some(snapshot) => Ok(snapshot),
            None => self.or_empty(self.connection.last_view()),
        }
    }

    /// Converts a view to a state. That a replica is empty is no error if it may be written.
    pub(super) fn or_empty(&self, view: Result<Arc<View>, Error>) -> Result<Snapshot, Error> {
        match view {
            Ok(view) => Ok(Snapshot::View(view)),
            Err(error) if self.writes && error.kind() == ErrorKind::Empty => Ok(Snapshot::Empty),
            Err(error) => Err(error),
        }
    }

    /// Returns the view that reads see. Fails if the replica is empty.
    pub(super) fn view(&self) -> Result<Arc<View>, Error> {
        match self.snapshot()? {
            Snapshot::View(view) => Ok(view),
            Snapshot::Empty => Err(self.connection.empty()),
        }
    }

    pub(super) fn pinned(&self) -> Option<Snapshot> {
        self.pinned.borrow().clone()
    }
}
