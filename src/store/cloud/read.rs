//! Reads of files in a bucket.

use super::attempt::{Attempt, Partial};
use super::client::{Bucket, Service};
use super::error::CloudError;
use super::refusal::CloudOperation;
use super::store::{CloudStore, ObjectRef, version};
use crate::ltx::{FileName, Level, Txid};
use crate::store::create::{OBJECT_LENGTH, unless_missing};
use crate::store::{
    Chunk, Creation, Listed, OLDER_FORMAT, ObjectName, Store, StoreError, StoreErrorKind, Version, etag,
};
use async_trait::async_trait;
use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectMeta};
use std::ops::Range;
use std::sync::Arc;

/// The maximum end of a range. Some servers parse ranges as signed integers.
const MAX_END: u64 = i64::MAX as u64;

/// The status of a response if the object has another version than the one in `If-Match`.
const PRECONDITION_FAILED: u16 = 412;

/// The status of a response to a range that begins at or after the end of the object.
const RANGE_NOT_SATISFIABLE: u16 = 416;

/// The properties of an object, the range in a response, and its bytes.
type ObjectRange = (ObjectMeta, Range<u64>, Bytes);

impl<S: Service> CloudStore<S> {
    /// Reads an empty range: checks that the object exists and has the expected version, and returns its size.
    ///
    /// `range` is the range that was requested before. If it is not empty, it is expected to begin at or after the end.
    pub(super) async fn read_empty(
        &self,
        object: &ObjectRef,
        range: &Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let head = |bucket: Arc<dyn Bucket>, attempt| async move {
            let mut options = GetOptions { head: true, ..GetOptions::default() };
            options.extensions.insert(attempt);
            bucket.client().get_opts(&object.key, options).await.map(|response| response.meta)
        };
        let meta = self.request(0, head).await;
        let meta = meta.map_err(|error| error.to_store_error(&object.shown, CloudOperation::File))?;
        let version = version(&meta);
        version.check(expected, &object.shown)?;
        if !range.is_empty() && range.start < meta.size {
            let cause = "the file was replaced while it was read";
            return Err(StoreError::new(StoreErrorKind::Changed, object.shown.as_str(), cause));
        }
        Ok(Chunk {
            bytes: Bytes::new(),
            file_size: meta.size,
            version,
            modified_ms: meta.last_modified.timestamp_millis(),
        })
    }

    /// Requests a range. `partial` keeps the bytes of interrupted responses, so that a retry only requests the rest.
    async fn request_range(
        &self,
        object: &ObjectRef,
        range: &Range<u64>,
        expected: Option<&Version>,
        partial: &Arc<Partial>,
    ) -> Result<ObjectRange, CloudError> {
        let get = |bucket: Arc<dyn Bucket>, attempt: Attempt| {
            let (received, tag) = partial.received().unzip();
            let mut options = GetOptions {
                range: Some(GetRange::Bounded(range.start + received.unwrap_or(0)..range.end)),
                if_match: tag.or_else(|| expected.and_then(etag::if_match)),
                ..GetOptions::default()
            };
            options.extensions.insert(Attempt { partial: Some(partial.clone()), ..attempt });
            async move {
                let response = bucket.client().get_opts(&object.key, options).await?;
                Ok((response.meta.clone(), response.range.clone(), response.bytes().await?))
            }
        };
        self.request(range.end - range.start, get).await
    }

    /// Reads a range of an object, as [`Store::read`] does.
    async fn read_at(
        &self,
        object: ObjectRef,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let range = range.start..range.end.min(MAX_END);
        if range.is_empty() {
            return self.read_empty(&object, &range, expected).await;
        }
        let partial = Arc::new(Partial::default());
        let (meta, sent, bytes) = match self.request_range(&object, &range, expected, &partial).await {
            Ok(response) => response,
            Err(error) => return self.after_failed_range(error, &object, &range, expected).await,
        };
        let version = version(&meta);
        // Not every server supports If-Match.
        version.check(expected, &object.shown)?;
        if bytes.len() as u64 != sent.end - sent.start {
            let cause = format!("the response of {} was interrupted", self.server());
            return Err(StoreError::new(StoreErrorKind::Unreachable, object.shown, cause));
        }
        let (bytes, modified_ms) = (partial.complete(bytes), meta.last_modified.timestamp_millis());
        Ok(Chunk { bytes, file_size: meta.size, version, modified_ms })
    }

    /// Handles the failure of a request for a range, which may be a range after the end of the file.
    async fn after_failed_range(
        &self,
        error: CloudError,
        object: &ObjectRef,
        range: &Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let convert = |error: &CloudError| error.to_store_error(&object.shown, CloudOperation::File);
        match error.status() {
            Some(RANGE_NOT_SATISFIABLE) => self.read_empty(object, range, expected).await,
            // Some servers respond to a range that begins at the end with an invalid response.
            None if error.is_invalid_response() => {
                self.read_empty(object, range, expected).await.map_err(|_| convert(&error))
            }
            // Some servers respond with this status for a missing file, too.
            Some(PRECONDITION_FAILED) => {
                let exists = self.read_empty(object, &(0..0), expected).await;
                Err(exists.err().unwrap_or_else(|| convert(&error)))
            }
            _ => Err(convert(&error)),
        }
    }
}

#[async_trait]
impl<S: Service + 'static> Store for CloudStore<S> {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        self.list_range(level, from..Txid(u64::MAX)).await
    }

    async fn list_range(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, StoreError> {
        self.list_level(level, range).await
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        self.read_at(self.object(level, name)?, range, expected).await
    }

    async fn read_object(&self, object: ObjectName) -> Result<Option<Bytes>, StoreError> {
        let object = self.object_at(&object.path(self.service.layout()))?;
        unless_missing(self.read_at(object, 0..OBJECT_LENGTH, None).await)
    }

    async fn create(&self, object: ObjectName, bytes: Bytes) -> Result<Creation, StoreError> {
        self.create_object(object, bytes).await
    }

    async fn delete(&self, object: ObjectName) -> Result<(), StoreError> {
        self.delete_object(object).await
    }

    async fn holds_older_format(&self) -> Result<bool, StoreError> {
        let prefix = format!("{}/{OLDER_FORMAT}/", self.service.path());
        let page = self.list_page(&prefix, None, None, 1).await;
        let (objects, _) = page.map_err(|error| error.to_store_error(&self.shown, CloudOperation::Listing))?;
        Ok(!objects.is_empty())
    }
}
