//! Creation and deletion of objects.
//!
//! The bytes of an object are published first, under a subject of their own. The metadata follows, on condition that the last message of
//! its subject is still the one that was read before: none, or that of a deleted object. So an object exists completely or not at all,
//! and of several writers one creates it.
//!
//! A deletion purges both and leaves no message. NATS's own clients leave one, so that there is one for each object that ever existed.
//! Creation is exact without it. The server numbers the messages of a stream, and a number is not used again after a purge. Once the
//! metadata of an object is message n, it is the last of its subject until it is purged or replaced. So the condition of a second creator, no
//! message or a marker, is false until the object is deleted. A message that arrives late can create an object after a deletion, as in
//! every other store, but not a second one. In a cluster, servers up to version 2.9.20 check
//! the number of a marker only before they order the messages, so over a marker two creators could succeed.

use super::connection::NatsConnection;
use super::error::NatsError;
use super::object::NatsObject;
use crate::random;
use crate::store::{Creation, StoreErrorKind, create};
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use chrono::{SecondsFormat, Utc};
use ring::digest::{SHA256, digest};
use serde_json::json;
use std::collections::VecDeque;

/// The length of a message with bytes of an object, as in NATS's own clients.
const PIECE_LENGTH: usize = 128 * 1024;

/// What the deletion of an object purges.
pub(super) struct Deletion {
    /// The subject of the metadata.
    subject: String,
    /// The last message with the metadata when the deletion began.
    last: u64,
    /// The subject of the object's bytes, if it is known.
    pieces: Option<String>,
}

impl NatsConnection {
    /// Creates an object as [`Store::create`](crate::store::Store::create) specifies.
    pub async fn create(&self, name: &str, bytes: &Bytes) -> Result<Creation, NatsError> {
        let subject = self.metadata_subject(name);
        let Some(last) = self.last_of_missing(&subject).await? else { return Ok(Creation::Exists) };
        let [one, other] = [(); 2].map(|()| random::number());
        let id = format!("{one:016x}{other:016x}");
        let pieces = self.pieces_subject(&id);
        let created = match self.publish_pieces(&pieces, bytes).await {
            Ok(count) => self.publish_metadata(&subject, last, self.metadata_of(name, &id, bytes, count)).await,
            // Nothing refers to the pieces. A server that does not respond keeps them.
            Err(error) if !error.is_unreachable() => {
                let _ = self.purge(&pieces).await;
                Err(error)
            }
            Err(error) => Err(error),
        };
        // If the response to the metadata was lost, the object may exist.
        if matches!(created, Ok(Creation::Exists)) {
            self.purge(&pieces).await?;
        }
        created
    }

    /// Returns what the deletion of an object has to purge, or None if it does not exist. One request.
    ///
    /// The marker of an object that Litestream has deleted stays: a creator may have read it and expect it.
    pub async fn deletion(&self, name: &str) -> Result<Option<Deletion>, NatsError> {
        let subject = self.metadata_subject(name);
        let Some(message) = self.last_message(&subject).await? else { return Ok(None) };
        let object = NatsObject::parse(&message.payload);
        if object.as_ref().is_some_and(|object| object.is_deleted) {
            return Ok(None);
        }
        // Another id than those of all clients could be a pattern that matches the bytes of other objects.
        let is_id = |id: &String| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let pieces = object.map(|object| object.id).filter(is_id).map(|id| self.pieces_subject(&id));
        Ok(Some(Deletion { subject, last: message.sequence, pieces }))
    }

    /// Purges the metadata of an object, then its bytes: without metadata it does not exist.
    ///
    /// May be repeated, and keeps an object that was created under the same name since, because its metadata is a later message.
    pub async fn purge_deleted(&self, deletion: &Deletion) -> Result<(), NatsError> {
        let before = deletion.last.saturating_add(1);
        let purged = self.stream.purge().filter(&deletion.subject).sequence(before).await;
        purged.map_err(|error| NatsError::from_cause(&error, self.bucket()))?;
        match &deletion.pieces {
            Some(pieces) => self.purge(pieces).await,
            None => Ok(()),
        }
    }

    /// Returns the sequence number of the last message with the metadata of an object that does not exist, 0 if there is none. Returns None
    /// if the object exists.
    async fn last_of_missing(&self, subject: &str) -> Result<Option<u64>, NatsError> {
        Ok(match self.last_message(subject).await? {
            None => Some(0),
            Some(message) => {
                NatsObject::parse(&message.payload).is_some_and(|object| object.is_deleted).then_some(message.sequence)
            }
        })
    }

    /// Publishes the bytes of an object. Returns the number of messages.
    async fn publish_pieces(&self, subject: &str, bytes: &Bytes) -> Result<usize, NatsError> {
        const CONCURRENT_REQUESTS: usize = 16;
        let failed = |error: PublishError| self.publish_error(&error);
        let mut unacknowledged: VecDeque<<PublishAckFuture as IntoFuture>::IntoFuture> = VecDeque::new();
        let mut count = 0;
        for start in (0..bytes.len()).step_by(PIECE_LENGTH) {
            if unacknowledged.len() == CONCURRENT_REQUESTS
                && let Some(oldest) = unacknowledged.pop_front()
            {
                oldest.await.map_err(failed)?;
            }
            let piece = bytes.slice(start..bytes.len().min(start + PIECE_LENGTH));
            let message = PublishMessage::build().payload(piece);
            let sent = self.context.send_publish(subject.to_owned(), message).await.map_err(failed)?;
            unacknowledged.push_back(sent.into_future());
            count += 1;
        }
        for sent in unacknowledged {
            sent.await.map_err(failed)?;
        }
        Ok(count)
    }

    /// Publishes the metadata of an object if `last` is still the last message of its subject.
    async fn publish_metadata(&self, subject: &str, last: u64, metadata: String) -> Result<Creation, NatsError> {
        let message = PublishMessage::build().expected_last_subject_sequence(last).payload(metadata.into());
        match self.publish(subject.to_owned(), message).await {
            Ok(()) => Ok(Creation::Created),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(Creation::Exists),
            Err(error) => Err(self.publish_error(&error)),
        }
    }

    fn metadata_of(&self, name: &str, id: &str, bytes: &Bytes, pieces: usize) -> String {
        let digest = URL_SAFE.encode(digest(&SHA256, bytes));
        let metadata = json!({
            "name": name, "bucket": self.bucket(), "nuid": id, "size": bytes.len(), "chunks": pieces,
            "digest": format!("SHA-256={digest}"), "options": {"max_chunk_size": PIECE_LENGTH}, "mtime": now(),
            "headers": {"Litestream-Timestamp": [create::timestamp_of(bytes).unwrap_or_else(now)]},
        });
        metadata.to_string()
    }

    async fn publish(&self, subject: String, message: PublishMessage) -> Result<(), PublishError> {
        self.context.send_publish(subject, message).await?.await.map(drop)
    }

    fn publish_error(&self, error: &PublishError) -> NatsError {
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => NatsError::new(
                StoreErrorKind::Config,
                format!("the server accepts no messages of {} KiB; raise its max_payload", PIECE_LENGTH / 1024),
            ),
            _ => NatsError::from_cause(error, self.bucket()),
        }
    }

    async fn purge(&self, subject: &str) -> Result<(), NatsError> {
        let purged = self.stream.purge().filter(subject).await;
        purged.map(drop).map_err(|error| NatsError::from_cause(&error, self.bucket()))
    }
}

/// Returns the current time in RFC 3339.
fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}
