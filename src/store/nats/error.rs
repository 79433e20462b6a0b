//! Failures of requests to a NATS server.

use crate::store::error::{root_cause, short};
use crate::store::{StoreError, StoreErrorKind};
use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use std::error::Error as StdError;

/// The reason why a request failed.
#[derive(Clone, Debug)]
pub(super) struct NatsError {
    pub kind: StoreErrorKind,
    cause: String,
}

impl NatsError {
    pub fn new(kind: StoreErrorKind, cause: impl Into<String>) -> NatsError {
        NatsError { kind, cause: cause.into() }
    }

    /// The response violates the protocol; `what` is the part that does.
    pub fn invalid_response(what: &str) -> NatsError {
        NatsError::new(StoreErrorKind::Protocol, format!("the server sends an invalid response: {what}"))
    }

    /// Returns the error of JetStream that caused `error`, or [`no_response`](Self::no_response) if none did.
    pub fn from_cause(error: Cause<'_>, bucket: &str) -> NatsError {
        match causes(error).find_map(|cause| cause.downcast_ref::<jetstream::Error>()) {
            Some(rejection) => NatsError::rejected(rejection, bucket),
            None => NatsError::no_response(error),
        }
    }

    /// The request got no response, or one that says only that it failed.
    pub fn no_response(error: Cause<'_>) -> NatsError {
        NatsError::new(StoreErrorKind::Unreachable, format!("the server does not respond: {}", root_cause(error)))
    }

    /// The request did not complete in time.
    pub fn timed_out(seconds: u64) -> NatsError {
        NatsError::new(StoreErrorKind::Unreachable, format!("no response within {seconds} seconds"))
    }

    /// JetStream rejected the request.
    pub fn rejected(error: &jetstream::Error, bucket: &str) -> NatsError {
        /// The server runs, but the servers of the stream are electing a leader.
        const UNAVAILABLE: usize = 503;
        match error.error_code() {
            ErrorCode::STREAM_NOT_FOUND => NatsError::new(
                StoreErrorKind::Config,
                format!("the bucket '{bucket}' does not exist; create it with `nats object add {bucket}`"),
            ),
            ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                NatsError::no_jetstream()
            }
            _ if error.code() == UNAVAILABLE => NatsError::new(
                StoreErrorKind::Unreachable,
                format!("the server is temporarily unavailable ({})", short(&error.to_string())),
            ),
            _ => NatsError::new(
                StoreErrorKind::Protocol,
                format!("the server rejects the request ({})", short(&error.to_string())),
            ),
        }
    }

    pub fn no_jetstream() -> NatsError {
        NatsError::new(StoreErrorKind::Config, "JetStream is not enabled on the server, or not for this account")
    }

    /// The server denied a permission; its message names the subject.
    pub fn denied(message: &str) -> NatsError {
        NatsError::new(StoreErrorKind::Denied, format!("the server denies a permission ({})", short(message)))
    }

    /// Whether the server denies something else than to publish an object.
    pub fn is_of_another_subject(&self) -> bool {
        self.kind == StoreErrorKind::Denied && !self.cause.contains("$O.")
    }

    pub fn is_not_found(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }

    pub fn is_unreachable(&self) -> bool {
        self.kind == StoreErrorKind::Unreachable
    }

    /// Returns the failure as an error of the store, with the URL that it belongs to.
    pub fn at(self, url: impl Into<std::sync::Arc<str>>) -> StoreError {
        StoreError::new(self.kind, url, self.cause)
    }
}

type Cause<'a> = &'a (dyn StdError + 'static);

/// Iterates over an error and its sources.
fn causes<'a>(error: Cause<'a>) -> impl Iterator<Item = Cause<'a>> {
    fn source<'a>(error: &Cause<'a>) -> Option<Cause<'a>> {
        (*error).source()
    }
    std::iter::successors(Some(error), source)
}
