//! Creating and deleting objects, for replicas that are written.

use super::paths::Layout;
use super::{Chunk, Store, StoreError, StoreErrorKind};
use crate::ltx::{FileName, Header, Level};
use crate::random;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::future::join_all;
use std::sync::atomic::{AtomicBool, Ordering};

/// The name of an object that a writer creates or deletes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectName {
    /// A file of a level.
    File(Level, FileName),
    /// The lease of a writer. In S3 it is `lock.json`, as in Litestream, which has no leases elsewhere.
    Lease,
    /// An object of [`probe_create`], by a random number. It is in the directory of level 0, and readers ignore its name,
    /// which comes before those of files: of a process that was killed, it stays, and listings from a file on do not have it.
    Probe(u64),
}

impl ObjectName {
    /// Returns the path of the object, relative to the replica's path.
    pub(super) fn path(self, layout: Layout) -> String {
        match self {
            ObjectName::File(level, name) => layout.file(level, name),
            ObjectName::Lease if layout == Layout::Hexadecimal => "lock.json".to_owned(),
            ObjectName::Lease => "ltx/lock.json".to_owned(),
            ObjectName::Probe(number) => format!("{}/.probe-{number:016x}", layout.level(Level::ZERO)),
        }
    }
}

/// The number of bytes that [`Store::read_object`] reads.
pub(super) const OBJECT_LENGTH: u64 = 64 * 1024;

/// Converts the result of a read of an object to that of [`Store::read_object`].
pub(super) fn unless_missing(read: Result<Chunk, StoreError>) -> Result<Option<Bytes>, StoreError> {
    match read {
        Ok(chunk) => Ok(Some(chunk.bytes)),
        Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the time of the transactions in the file that an object is, if it is one. Litestream expects it in the metadata of an object, or as
/// the modification time of a file: `litestream restore -timestamp` chooses files by it.
pub(super) fn time_of(bytes: &[u8]) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(Header::parse(bytes).ok()?.timestamp_ms)
}

/// Returns [`time_of`] as Litestream writes it into metadata.
pub(super) fn timestamp_of(bytes: &[u8]) -> Option<String> {
    time_of(bytes).map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// The result of [`Store::create`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Creation {
    /// This call created the object. It is durable.
    Created,
    /// An object of this name exists. An earlier try of the same call may have created it, if its response was lost.
    Exists,
}

/// The tries of one creation. A refusal of the last one does not show what the earlier ones did.
#[derive(Default, Debug)]
pub(super) struct CreationTries {
    may_exist: AtomicBool,
}

impl CreationTries {
    /// Makes a try. `is_refusal` selects the errors after which the try has created nothing.
    pub async fn make<T, E>(
        &self,
        attempt: impl Future<Output = Result<T, E>>,
        is_refusal: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        // The future may be dropped at its deadline.
        let might_exist = self.may_exist.swap(true, Ordering::Relaxed);
        let result = attempt.await;
        if !might_exist && result.as_ref().is_err_and(is_refusal) {
            self.may_exist.store(false, Ordering::Relaxed);
        }
        result
    }

    /// Returns the error of the last try, as one that leaves it open whether an earlier try has created the object, if that may be so.
    pub fn failure(&self, error: StoreError) -> StoreError {
        match self.may_exist.load(Ordering::Relaxed) && error.kind().is_refusal() {
            true => error.of_kind(StoreErrorKind::Unreachable),
            false => error,
        }
    }
}

/// Checks that the store creates no object twice: neither one after the other, nor by several concurrent calls. Creates objects with random
/// names, and deletes them.
///
/// Fails with [`StoreErrorKind::Config`] if an object was created twice, because then two writers could replace each other's files. Fails
/// with the error of the store if it cannot be written.
pub async fn probe_create(store: &dyn Store) -> Result<(), StoreError> {
    let objects = [(); 2].map(|()| ObjectName::Probe(random::number()));
    let fault = find_fault(store, objects).await;
    let deleted = join_all(objects.map(|object| store.delete(object))).await;
    match fault? {
        None => deleted.into_iter().collect(),
        Some(fault) => {
            let cause = format!(
                "{fault}, so two writers could overwrite each other; write to a server that supports conditional writes \
                 (If-None-Match)"
            );
            Err(StoreError::new(StoreErrorKind::Config, store.to_string(), cause))
        }
    }
}

/// Creates each of two objects more than once. Returns what the store does wrong.
async fn find_fault(
    store: &dyn Store,
    [repeated, contested]: [ObjectName; 2],
) -> Result<Option<&'static str>, StoreError> {
    const CREATORS: usize = 4;
    store.create(repeated, Bytes::from_static(b"first")).await?;
    if store.create(repeated, Bytes::from_static(b"second")).await? == Creation::Created {
        return Ok(Some("the server replaces objects although it is told not to"));
    }
    let creators = (0..CREATORS).map(|number| store.create(contested, Bytes::from(number.to_string())));
    let created: Vec<Creation> = join_all(creators).await.into_iter().collect::<Result<_, _>>()?;
    let winners = created.iter().filter(|creation| **creation == Creation::Created).count();
    Ok((winners > 1).then_some("the server lets several writers create one object at the same time"))
}
