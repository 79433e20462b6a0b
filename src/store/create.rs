//! Creating and deleting objects, for replicas that are written.

use super::paths::Layout;
use super::{Store, StoreError, StoreErrorKind, random};
use crate::ltx::{FileName, Level};
use bytes::Bytes;

/// The name of an object that a writer creates or deletes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectName {
    /// A file of a level.
    File(Level, FileName),
    /// An object of [`probe_create`], by a random number. It is in the directory of level 0, and readers ignore its name.
    Probe(u64),
}

impl ObjectName {
    /// Returns the path of the object, relative to the replica's path.
    pub(super) fn path(self, layout: Layout) -> String {
        match self {
            ObjectName::File(level, name) => layout.file(level, name),
            ObjectName::Probe(number) => format!("{}/probe-{number:016x}", layout.level(Level::ZERO)),
        }
    }
}

/// The result of [`Store::create`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Creation {
    /// This call created the object. It is durable.
    Created,
    /// An object of this name exists. An earlier try of the same call may have created it, if its response was lost.
    Exists,
}

/// Checks that the store creates no object twice. Creates an object with a random name, tries to create it again, and deletes it.
///
/// Fails with [`StoreErrorKind::Config`] if the second object replaced the first, because then two writers could replace each other's
/// files. Fails with the error of the store if it cannot be written.
pub async fn probe_create(store: &dyn Store) -> Result<(), StoreError> {
    let object = ObjectName::Probe(random::number());
    store.create(object, Bytes::from_static(b"first")).await?;
    let second = store.create(object, Bytes::from_static(b"second")).await;
    let deleted = store.delete(object).await;
    match second? {
        Creation::Exists => deleted,
        Creation::Created => {
            let cause = "the server replaces objects although it is told not to, so two writers could overwrite each other; \
                         write to a server that supports conditional writes (If-None-Match)";
            Err(StoreError::new(StoreErrorKind::Config, store.to_string(), cause))
        }
    }
}
