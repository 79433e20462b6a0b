//! How an object store lies in its stream: what is told of an object is the last message of a subject that its name makes,
//! its bytes are the messages of a subject that this tells, in pieces of any length.
//!
//! Learnt from NATS's own clients, and from what Litestream leaves there: its pieces are as long as what it happened to write at once,
//! from four bytes on.

use super::connection::NatsConnection;
use super::error::NatsError;
use crate::store::StoreErrorKind;
use crate::store::bounds::{MOST_NAMES, check_names};
use crate::store::timeouts::IDLE_TIMEOUT;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{
    ConsumerErrorKind, DirectGetErrorKind, Info, InfoError, LastRawMessageError, LastRawMessageErrorKind, Stream,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use chrono::DateTime;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::Value;
use std::collections::HashSet;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// What is told of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NatsObject {
    pub name: String,
    /// Another one for each time that it was written.
    pub id: String,
    /// In bytes.
    pub size: u64,
    /// Messages that hold its bytes.
    pub pieces: u64,
    /// A deleted object leaves a word of it behind for ever.
    pub is_deleted: bool,
    /// When Litestream says that it was written, in milliseconds since 1970; 0 if it does not.
    pub modified_ms: i64,
}

impl NatsObject {
    /// Reads what is told of an object.
    fn parse(told: &[u8]) -> Option<NatsObject> {
        let told: Value = serde_json::from_slice(told).ok()?;
        let number = |name: &str| told.get(name).map_or(Some(0), Value::as_u64);
        let modified = told.pointer("/headers/Litestream-Timestamp/0").and_then(Value::as_str);
        let modified = modified.and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        Some(NatsObject {
            name: told.get("name")?.as_str()?.to_owned(),
            id: told.get("nuid").and_then(Value::as_str).unwrap_or_default().to_owned(),
            size: number("size")?,
            pieces: number("chunks")?,
            is_deleted: told.get("deleted").and_then(Value::as_bool).unwrap_or(false),
            modified_ms: modified.map_or(0, |time| time.timestamp_millis()),
        })
    }
}

/// A message of a stream.
pub(super) struct Piece {
    pub sequence: u64,
    pub bytes: Bytes,
}

impl NatsConnection {
    fn bucket(&self) -> &str {
        let stream = &self.stream.cached_info().config.name;
        stream.strip_prefix("OBJ_").unwrap_or(stream)
    }

    /// The subject of what is told of an object.
    pub fn subject(&self, name: &str) -> String {
        format!("$O.{}.M.{}", self.bucket(), URL_SAFE.encode(name))
    }

    /// An object as it is now: one request. Where the bucket allows it, any of its servers answers, also one that lags behind.
    pub async fn object(&self, name: &str) -> Result<NatsObject, NatsError> {
        let subject = self.subject(name);
        let told = if self.stream.cached_info().config.allow_direct {
            match self.stream.direct_get_last_for_subject(subject).await {
                Ok(message) => NatsObject::parse(&message.payload),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => None,
                Err(error) => return Err(NatsError::silence(&error)),
            }
        } else {
            self.told(subject).await?
        };
        let told = told.filter(|object| !object.is_deleted);
        told.ok_or_else(|| NatsError::new(StoreErrorKind::NotFound, "there is no such file"))
    }

    /// What a subject tells of an object now; None if it tells nothing that makes sense. One request.
    pub async fn told(&self, subject: String) -> Result<Option<NatsObject>, NatsError> {
        let answer = self.stream.get_last_raw_message_by_subject(&subject).await;
        self.raw(answer).map(|told| told.and_then(|told| NatsObject::parse(&told.payload)))
    }

    /// The stream as it is now: one request.
    pub async fn info(&self) -> Result<Info, NatsError> {
        self.stream.get_info().await.map_err(|error| NatsError::below(&error, self.bucket()))
    }

    /// What is told of an object next, at or behind a place in the stream: its place, and the object, if it is one. None if
    /// there is no more. One request.
    pub async fn next_told(&self, sequence: u64) -> Result<Option<(u64, Option<NatsObject>)>, NatsError> {
        let question = self.stream.raw_message_builder().sequence(sequence).next_by_subject(self.told_of_all());
        let answer = question.send().await;
        self.raw(answer).map(|told| told.map(|told| (told.sequence, NatsObject::parse(&told.payload))))
    }

    /// The place of the last that was told of any object; None if nothing ever was. One request.
    pub async fn last_told(&self) -> Result<Option<u64>, NatsError> {
        let answer = self.stream.get_last_raw_message_by_subject(&self.told_of_all()).await;
        self.raw(answer).map(|told| told.map(|told| told.sequence))
    }

    fn raw(&self, answer: Result<StreamMessage, LastRawMessageError>) -> Result<Option<StreamMessage>, NatsError> {
        match answer {
            Ok(message) => Ok(Some(message)),
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                LastRawMessageErrorKind::JetStream(said) => Err(NatsError::refusal(&said, self.bucket())),
                _ => Err(NatsError::silence(&error)),
            },
        }
    }

    /// The subjects of all objects of which something is told: one request for every hundred thousand.
    pub async fn subjects(&self) -> Result<HashSet<String>, NatsError> {
        let failed = |error: InfoError| NatsError::below(&error, self.bucket());
        let subjects = self.stream.info_with_subjects(self.told_of_all()).await.map_err(failed)?;
        // One more than there may be shows that there are too many.
        let subjects = subjects.map_ok(|(subject, _)| subject).take(MOST_NAMES + 1);
        let subjects: HashSet<String> = subjects.try_collect().await.map_err(failed)?;
        check_names(subjects.len()).map(|()| subjects).map_err(|what| NatsError::nonsense(&what))
    }

    /// What is told of objects, from a place in the stream on.
    pub async fn objects_from(&self, sequence: u64) -> Result<Messages, NatsError> {
        const AT_ONCE: usize = 2000;
        self.messages(self.told_of_all(), sequence, AT_ONCE).await
    }

    fn told_of_all(&self) -> String {
        format!("$O.{}.M.>", self.bucket())
    }

    /// The pieces of an object, from a place in the stream on.
    pub async fn pieces_from(&self, object: &NatsObject, sequence: u64) -> Result<Messages, NatsError> {
        /// About so many bytes are under way, whatever the length of pieces.
        const UNDER_WAY: u64 = 4 << 20;
        let length = (object.size / object.pieces.max(1)).max(1);
        let at_once = (UNDER_WAY / length).clamp(16, 8192) as usize;
        self.messages(format!("$O.{}.C.{}", self.bucket(), object.id), sequence, at_once).await
    }

    async fn messages(&self, subject: String, sequence: u64, at_once: usize) -> Result<Messages, NatsError> {
        let consumer = self.stream.create_consumer(pull::Config {
            filter_subject: subject,
            deliver_policy: match sequence {
                0 | 1 => DeliverPolicy::All,
                start_sequence => DeliverPolicy::ByStartSequence { start_sequence },
            },
            ack_policy: AckPolicy::None,
            inactive_threshold: IDLE_TIMEOUT * 6,
            num_replicas: 1,
            memory_storage: true,
            ..pull::Config::default()
        });
        let consumer = consumer.await.map_err(|error| match error.kind() {
            ConsumerErrorKind::JetStream(said) => NatsError::refusal(&said, self.bucket()),
            _ => NatsError::silence(&error),
        })?;
        let info = consumer.cached_info();
        let (count, name) = (info.num_pending, info.name.clone());
        let taken = ReceivedPiece { stream: self.stream.clone(), name };
        let stream = consumer.stream().max_messages_per_batch(at_once).expires(IDLE_TIMEOUT * 2).messages().await;
        let stream = stream.map_err(|error| NatsError::silence(&error))?;
        Ok(Messages { count, stream, _taken: taken })
    }
}

/// Messages as they come. The server keeps a place for whoever reads them, which is given back at the end.
pub(super) struct Messages {
    /// How many there were at the beginning, roughly if they change meanwhile.
    pub count: u64,
    stream: pull::Stream,
    _taken: ReceivedPiece,
}

impl Messages {
    /// The next one. None if nothing came for a while: there may be more all the same. Servers lose count of what is left when
    /// others write, and older ones (2.9) send nothing more of what was there once anything at all is purged.
    pub async fn next(&mut self) -> Result<Option<Piece>, NatsError> {
        let message = match timeout(WHILE, self.stream.next()).await {
            Err(_) => return Ok(None),
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return Err(NatsError::silence(&error)),
            Ok(None) => return Err(NatsError::new(StoreErrorKind::Unreachable, "the answer broke off")),
        };
        let place = message.info().map_err(|_| NatsError::nonsense("a message without a place"))?;
        Ok(Some(Piece { sequence: place.stream_sequence, bytes: message.payload.clone() }))
    }

    /// The next one, as what is told of an object, and whether it is of any interest.
    pub async fn next_object(&mut self) -> Result<Option<(u64, Option<NatsObject>)>, NatsError> {
        Ok(self.next().await?.map(|piece| (piece.sequence, NatsObject::parse(&piece.bytes))))
    }
}

/// Who sends nothing for so long is asked again.
const WHILE: Duration = Duration::from_secs(1);

/// Gives back, in the background, what the server keeps for a reader. If that fails it goes by itself.
struct ReceivedPiece {
    stream: Stream<Info>,
    name: String,
}

impl Drop for ReceivedPiece {
    fn drop(&mut self) {
        let (stream, name) = (self.stream.clone(), std::mem::take(&mut self.name));
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { stream.delete_consumer(&name).await.map(drop) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_an_object_is_read() {
        let told = br#"{"name":"ltx/9/x.ltx","headers":{"Litestream-Timestamp":["2026-11-21T15:33:58.135Z"]},
            "options":{"max_chunk_size":131072},"bucket":"app","nuid":"yeB","size":13166,
            "mtime":"0001-01-01T00:00:00Z","chunks":37,"digest":"SHA-256=6Wv8"}"#;
        let object = NatsObject {
            name: "ltx/9/x.ltx".to_owned(),
            id: "yeB".to_owned(),
            size: 13166,
            pieces: 37,
            is_deleted: false,
            modified_ms: 1_795_275_238_135,
        };
        assert_eq!(NatsObject::parse(told), Some(object));
        let deleted =
            NatsObject::parse(br#"{"name":"x","bucket":"app","nuid":"yeB","deleted":true}"#).expect("an object");
        assert!(deleted.is_deleted && deleted.size == 0 && deleted.modified_ms == 0);
        assert_eq!(NatsObject::parse(b"{}"), None);
        assert_eq!(NatsObject::parse(br#"{"name":"x","size":-1}"#), None);
        assert_eq!(NatsObject::parse(b"<xml>"), None);
    }
}
