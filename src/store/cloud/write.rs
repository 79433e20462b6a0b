//! Creation and deletion of objects in a bucket.

use super::attempt::Attempt;
use super::client::{Bucket, Service};
use super::error::CloudError;
use super::refusal::CloudOperation;
use super::store::CloudStore;
use crate::store::create::CreationTries;
use crate::store::{Creation, ObjectName, StoreError, StoreErrorKind};
use bytes::Bytes;
use object_store::ObjectStoreExt;
use std::sync::Arc;

impl<S: Service> CloudStore<S> {
    /// Creates an object as [`Store::create`](crate::store::Store::create) specifies.
    pub(super) async fn create_object(&self, name: ObjectName, bytes: Bytes) -> Result<Creation, StoreError> {
        let object = self.object_at(&name.path(self.service.layout()))?;
        let tries = CreationTries::default();
        let is_refusal = |error: &object_store::Error| {
            let refusal = CloudError::from_source(error, self.server());
            refusal.refusal().is_some_and(|refusal| !refusal.is_transient())
        };
        let put = |bucket: Arc<dyn Bucket>, attempt: Attempt| {
            let (key, bytes, tries) = (&object.key, bytes.clone(), &tries);
            async move { tries.make(bucket.create(key, bytes, attempt), is_refusal).await }
        };
        match self.request(bytes.len() as u64, put).await {
            Ok(_) => Ok(Creation::Created),
            Err(error) if error.refusal().is_some_and(|refusal| refusal.means_exists()) => Ok(Creation::Exists),
            Err(error) => Err(tries.failure(error.to_store_error(&object.shown, CloudOperation::Creation))),
        }
    }

    /// Deletes an object, or does nothing if it does not exist.
    pub(super) async fn delete_object(&self, name: ObjectName) -> Result<(), StoreError> {
        let object = self.object_at(&name.path(self.service.layout()))?;
        let delete = |bucket: Arc<dyn Bucket>, attempt: Attempt| {
            let key = &object.key;
            async move { attempt.during(bucket.client().delete(key)).await }
        };
        let Err(error) = self.request(0, delete).await else { return Ok(()) };
        // Services report a missing object in different ways. It may also be missing because the response to a try was lost.
        match self.read_empty(&object, &(0..0), None).await {
            Err(missing) if missing.kind() == StoreErrorKind::NotFound => Ok(()),
            // The object may be missing, which is no failure.
            Err(failed) if error.status() == Some(404) => Err(failed),
            _ => Err(error.to_store_error(&object.shown, CloudOperation::Deletion)),
        }
    }
}
