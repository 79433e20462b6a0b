//! Requests to the stream behind an object store.
//!
//! The last message of the subject `$O.<bucket>.M.<name>` contains the metadata of an object. The messages of the subject
//! `$O.<bucket>.C.<id>`, where the metadata contains the id, are its bytes. This follows NATS's own clients. Litestream writes a
//! message for each buffer that it happens to flush, so a message can be as short as four bytes. When it deletes an object, it replaces the
//! metadata by a marker, which stays.

use super::connection::NatsConnection;
use super::error::NatsError;
use super::messages::Messages;
use super::object::NatsObject;
use crate::store::StoreErrorKind;
use crate::store::bounds::MOST_NAMES;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{
    DirectGetErrorKind, Info, InfoError, LastRawMessageError, LastRawMessageErrorKind,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use futures_util::{Stream, StreamExt, TryStreamExt};
use std::future::ready;

/// The most objects whose metadata is accepted from a server, deleted ones included: the markers of about a hundred days with a deletion per
/// second. Their names are not kept, see [`SubjectSet`](super::subjects::SubjectSet).
const MOST_SUBJECTS: usize = 8 * MOST_NAMES;

/// Fails if a bucket has the metadata of more than [`MOST_SUBJECTS`] objects.
pub(super) fn check_subjects(count: usize) -> Result<(), NatsError> {
    if count <= MOST_SUBJECTS {
        return Ok(());
    }
    let cause = format!(
        "the bucket has the metadata of more than {MOST_SUBJECTS} objects, most of them deleted; move the replica to a new bucket"
    );
    Err(NatsError::new(StoreErrorKind::Protocol, cause))
}

impl NatsConnection {
    pub fn bucket(&self) -> &str {
        let stream = &self.stream.cached_info().config.name;
        stream.strip_prefix("OBJ_").unwrap_or(stream)
    }

    /// Returns the subject of an object's metadata.
    pub fn metadata_subject(&self, name: &str) -> String {
        format!("$O.{}.M.{}", self.bucket(), URL_SAFE.encode(name))
    }

    /// Returns the subject pattern that matches the metadata of all objects.
    fn all_metadata(&self) -> String {
        format!("$O.{}.M.>", self.bucket())
    }

    /// Returns the metadata of an object that exists. One request. If the bucket allows direct reads, any of its servers
    /// responds, including one that lags behind.
    pub async fn object(&self, name: &str) -> Result<NatsObject, NatsError> {
        let subject = self.metadata_subject(name);
        let object = if self.stream.cached_info().config.allow_direct {
            match self.stream.direct_get_last_for_subject(subject).await {
                Ok(message) => NatsObject::parse(&message.payload),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => None,
                Err(error) => return Err(NatsError::no_response(&error)),
            }
        } else {
            self.metadata(subject).await?
        };
        let object = object.filter(|object| !object.is_deleted);
        object.ok_or_else(|| NatsError::new(StoreErrorKind::NotFound, "the file does not exist"))
    }

    /// Returns the metadata that is the last message of `subject`, or None if there is none or it is invalid. One request.
    pub async fn metadata(&self, subject: String) -> Result<Option<NatsObject>, NatsError> {
        let message = self.last_message(&subject).await?;
        Ok(message.and_then(|message| NatsObject::parse(&message.payload)))
    }

    /// Returns the last message of `subject` from the leader of the stream, or None if there is none. One request.
    pub async fn last_message(&self, subject: &str) -> Result<Option<StreamMessage>, NatsError> {
        let response = self.stream.get_last_raw_message_by_subject(subject).await;
        self.found(response)
    }

    /// Returns the subject of the messages that contain an object's bytes.
    pub fn pieces_subject(&self, id: &str) -> String {
        format!("$O.{}.C.{id}", self.bucket())
    }

    /// Returns the current state of the stream. One request.
    pub async fn info(&self) -> Result<Info, NatsError> {
        self.stream.get_info().await.map_err(|error| NatsError::from_cause(&error, self.bucket()))
    }

    /// Returns the first metadata message at or after `sequence`: its sequence number, and the object if the message is
    /// valid. Returns None if there is no such message. One request.
    pub async fn next_metadata(&self, sequence: u64) -> Result<Option<(u64, Option<NatsObject>)>, NatsError> {
        let request = self.stream.raw_message_builder().sequence(sequence).next_by_subject(self.all_metadata());
        let message = self.found(request.send().await)?;
        Ok(message.map(|message| (message.sequence, NatsObject::parse(&message.payload))))
    }

    /// Returns the sequence number of the last metadata message of any object, or None if there is none. One request.
    pub async fn last_metadata(&self) -> Result<Option<u64>, NatsError> {
        let response = self.stream.get_last_raw_message_by_subject(&self.all_metadata()).await;
        Ok(self.found(response)?.map(|message| message.sequence))
    }

    fn found(&self, response: Result<StreamMessage, LastRawMessageError>) -> Result<Option<StreamMessage>, NatsError> {
        match response {
            Ok(message) => Ok(Some(message)),
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                LastRawMessageErrorKind::JetStream(rejection) => Err(NatsError::rejected(&rejection, self.bucket())),
                _ => Err(NatsError::no_response(&error)),
            },
        }
    }

    /// Returns the number of all subjects of the stream, and the metadata subjects of all objects. One request per hundred thousand subjects.
    /// Each request skips those before, so a subject is left out if one before it is purged meanwhile.
    pub async fn metadata_subjects(&self) -> Result<(u64, impl Stream<Item = Result<String, NatsError>>), NatsError> {
        let failed = |error: InfoError| NatsError::from_cause(&error, self.bucket());
        let subjects = self.stream.info_with_subjects(self.all_metadata()).await.map_err(failed)?;
        let count = subjects.info.state.subjects_count;
        let subjects = subjects.map_ok(|(subject, _)| subject).map_err(failed).enumerate();
        Ok((count, subjects.then(|(before, subject)| ready(check_subjects(before + 1).and(subject)))))
    }

    /// Receives the metadata messages from `sequence` on.
    pub async fn metadata_from(&self, sequence: u64) -> Result<Messages, NatsError> {
        const BATCH: usize = 2000;
        self.messages(self.all_metadata(), sequence, BATCH).await
    }

    /// Receives the messages that contain an object's bytes, from `sequence` on.
    pub async fn pieces_from(&self, object: &NatsObject, sequence: u64) -> Result<Messages, NatsError> {
        /// About the number of bytes in flight, whatever the length of the pieces.
        const IN_FLIGHT: u64 = 4 << 20;
        let length = (object.size / object.pieces.max(1)).max(1);
        let batch = (IN_FLIGHT / length).clamp(16, 8192) as usize;
        self.messages(self.pieces_subject(&object.id), sequence, batch).await
    }

    async fn messages(&self, subject: String, sequence: u64, batch: usize) -> Result<Messages, NatsError> {
        Messages::receive(&self.stream, subject, sequence, batch, self.bucket()).await
    }
}
