//! Messages of a stream, received one after the other.

use super::error::NatsError;
use super::object::NatsObject;
use crate::store::StoreErrorKind;
use crate::store::timeouts::IDLE_TIMEOUT;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{ConsumerErrorKind, Info, Stream};
use bytes::Bytes;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// A message of a stream: a piece of an object, or the metadata of one.
pub(super) struct ReceivedMessage {
    pub sequence: u64,
    pub bytes: Bytes,
}

/// Messages of one subject, received through a consumer of their own, which is deleted on drop.
pub(super) struct Messages {
    /// Number of messages at the beginning; approximate if the stream changes meanwhile.
    pub count: u64,
    /// The number that the consumer gives to the next message.
    next: u64,
    stream: pull::Stream,
    _consumer: ConsumerGuard,
}

impl Messages {
    /// Creates a consumer for the messages of `subject` from `sequence` on, and requests `batch` of them at a time.
    pub async fn receive(
        stream: &Stream<Info>,
        subject: String,
        sequence: u64,
        batch: usize,
        bucket: &str,
    ) -> Result<Messages, NatsError> {
        let consumer = stream.create_consumer(pull::Config {
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
            ConsumerErrorKind::JetStream(rejection) => NatsError::rejected(&rejection, bucket),
            _ => NatsError::no_response(&error),
        })?;
        let info = consumer.cached_info();
        let (count, name) = (info.num_pending, info.name.clone());
        let guard = ConsumerGuard { stream: stream.clone(), name };
        let stream = consumer.stream().max_messages_per_batch(batch).expires(IDLE_TIMEOUT * 2).messages().await;
        let stream = stream.map_err(|error| NatsError::no_response(&error))?;
        Ok(Messages { count, next: 1, stream, _consumer: guard })
    }

    /// Receives the next message. Returns None if no message arrived for a second, which does not mean that none is left: servers
    /// miscount the remaining messages while others write, and older servers (2.9) send none of the earlier messages once
    /// anything in the stream was purged. Also returns None if messages were lost: the server does not send again what it sent before the
    /// client connected again.
    pub async fn next(&mut self) -> Result<Option<ReceivedMessage>, NatsError> {
        const LONGEST_SILENCE: Duration = Duration::from_secs(1);
        let message = match timeout(LONGEST_SILENCE, self.stream.next()).await {
            Err(_) => return Ok(None),
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return Err(NatsError::no_response(&error)),
            Ok(None) => return Err(NatsError::new(StoreErrorKind::Unreachable, "the server stopped sending messages")),
        };
        let info = message.info().map_err(|_| NatsError::invalid_response("a message without a sequence number"))?;
        if info.consumer_sequence != self.next {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(ReceivedMessage { sequence: info.stream_sequence, bytes: message.payload.clone() }))
    }

    /// Receives the next message as [`next`](Self::next) does, and parses it as the metadata of an object.
    pub async fn next_object(&mut self) -> Result<Option<(u64, Option<NatsObject>)>, NatsError> {
        Ok(self.next().await?.map(|message| (message.sequence, NatsObject::parse(&message.bytes))))
    }
}

/// Deletes a consumer in the background when it is dropped. If that fails, the server deletes the consumer after a while.
struct ConsumerGuard {
    stream: Stream<Info>,
    name: String,
}

impl Drop for ConsumerGuard {
    fn drop(&mut self) {
        let (stream, name) = (self.stream.clone(), std::mem::take(&mut self.name));
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { stream.delete_consumer(&name).await.map(drop) });
        }
    }
}
