//! What went wrong between us and a NATS server, in a clause.

use crate::store::error::short;
use crate::store::{StoreError, StoreErrorKind};
use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use std::error::Error as StdError;

/// A question that brought nothing.
#[derive(Clone, Debug)]
pub(super) struct NatsError {
    kind: StoreErrorKind,
    cause: String,
}

impl NatsError {
    pub fn new(kind: StoreErrorKind, cause: impl Into<String>) -> NatsError {
        NatsError { kind, cause: cause.into() }
    }

    pub fn nonsense(what: &str) -> NatsError {
        NatsError::new(StoreErrorKind::Protocol, format!("the server answers what JetStream would not: {what}"))
    }

    /// What JetStream said, if that lies below; else there was no answer, or none that tells more.
    pub fn below(error: Cause<'_>, bucket: &str) -> NatsError {
        match causes(error).find_map(|cause| cause.downcast_ref::<jetstream::Error>()) {
            Some(said) => NatsError::refusal(said, bucket),
            None => NatsError::silence(error),
        }
    }

    /// There was no answer, or one that tells of nothing but that.
    pub fn silence(error: Cause<'_>) -> NatsError {
        NatsError::new(StoreErrorKind::Unreachable, format!("the server does not answer: {}", root(error)))
    }

    /// The server took so long that nothing will come any more.
    pub fn late(seconds: u64) -> NatsError {
        NatsError::new(StoreErrorKind::Unreachable, format!("no answer within {seconds} seconds"))
    }

    /// What JetStream said.
    pub fn refusal(error: &jetstream::Error, bucket: &str) -> NatsError {
        /// The server is there, but those who keep the bucket are choosing whom to follow.
        const CANNOT_NOW: usize = 503;
        match error.error_code() {
            ErrorCode::STREAM_NOT_FOUND => NatsError::new(
                StoreErrorKind::Config,
                format!("there is no bucket '{bucket}'; make it with `nats object add {bucket}`"),
            ),
            ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                NatsError::no_jetstream()
            }
            _ if error.code() == CANNOT_NOW => NatsError::new(
                StoreErrorKind::Unreachable,
                format!("the server cannot serve now ({})", short(&error.to_string())),
            ),
            _ => {
                NatsError::new(StoreErrorKind::Protocol, format!("the server refuses ({})", short(&error.to_string())))
            }
        }
    }

    pub fn no_jetstream() -> NatsError {
        NatsError::new(StoreErrorKind::Config, "the server has no JetStream, or not for this account")
    }

    /// The server does not let us say something: its words have the subject.
    pub fn forbidden(words: &str) -> NatsError {
        NatsError::new(StoreErrorKind::Denied, format!("the server denies it ({})", short(words)))
    }

    pub fn is_missing(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }

    /// Whether another connection may bring an answer.
    pub fn is_passing(&self) -> bool {
        self.kind == StoreErrorKind::Unreachable
    }

    /// The failure as callers know it.
    pub fn error(self, place: impl Into<std::sync::Arc<str>>) -> StoreError {
        StoreError::new(self.kind, place, self.cause)
    }
}

type Cause<'a> = &'a (dyn StdError + 'static);

/// An error, and what lies below it.
fn causes<'a>(error: Cause<'a>) -> impl Iterator<Item = Cause<'a>> {
    fn next<'a>(error: &Cause<'a>) -> Option<Cause<'a>> {
        (*error).source()
    }
    std::iter::successors(Some(error), next)
}

/// What lies below all that was said of an error.
pub(super) fn root(error: Cause<'_>) -> String {
    short(&causes(error).last().unwrap_or(error).to_string())
}
