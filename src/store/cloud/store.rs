//! A replica in a bucket.

use super::client::{Client, Service};
use crate::lock::RwLock;
use crate::ltx::{FileName, Level};
use crate::store::http::Clients;
use crate::store::{StoreError, StoreErrorKind, Version, etag};
use object_store::ObjectMeta;
use object_store::path::Path;
use std::fmt;
use std::sync::Arc;

/// A replica in a bucket. Its implementation of [`Store`](crate::store::Store) is in `read`.
pub(in crate::store) struct CloudStore<S> {
    /// The masked URL of the replica.
    pub(super) shown: Arc<str>,
    pub(super) service: S,
    pub(super) clients: Arc<Clients>,
    pub(super) client: RwLock<Client>,
}

/// The key of an object, and its masked URL.
pub(super) struct ObjectRef {
    pub key: Path,
    pub shown: String,
}

impl<S: Service> CloudStore<S> {
    /// Creates the store. Sends no request. Fails if the settings are invalid.
    pub fn new(shown: Arc<str>, service: S, clients: Arc<Clients>) -> Result<CloudStore<S>, String> {
        let client = Client::new(&service, service.region(), &clients)?;
        Ok(CloudStore { shown, service, clients, client: RwLock::new(client) })
    }

    pub(super) fn server(&self) -> &str {
        self.service.server()
    }

    /// Returns the object of a file. Fails if its name is not allowed as a key.
    pub(super) fn object(&self, level: Level, name: FileName) -> Result<ObjectRef, StoreError> {
        self.object_at(&self.service.layout().file(level, name))
    }

    /// Returns the object at a path relative to the replica. Fails if it is not allowed as a key.
    pub(super) fn object_at(&self, path: &str) -> Result<ObjectRef, StoreError> {
        let shown = format!("{}/{path}", self.shown);
        match Path::parse(format!("{}/{path}", self.service.path())) {
            Ok(key) => Ok(ObjectRef { key, shown }),
            Err(_) => Err(StoreError::new(StoreErrorKind::Config, shown, "the path is not allowed in a bucket")),
        }
    }
}

/// Returns the version of an object.
pub(super) fn version(meta: &ObjectMeta) -> Version {
    etag::version(meta.e_tag.as_deref(), meta.size, meta.last_modified.timestamp_millis())
}

impl<S: Service> fmt::Debug for CloudStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client is left out because its debug output contains credentials.
        f.debug_struct("CloudStore").field("service", &self.service).finish_non_exhaustive()
    }
}

impl<S: Service> fmt::Display for CloudStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
