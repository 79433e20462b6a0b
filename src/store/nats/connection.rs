//! A connection to a server, and the stream of the bucket.

use super::config::{NatsConfig, NatsCredentials};
use super::error::NatsError;
use super::options::connect_options;
use crate::store::StoreErrorKind;
use crate::store::error::root_cause;
use crate::store::reconnect::StoreConnection;
use crate::store::timeouts::{CONNECT_TIMEOUT, IDLE_TIMEOUT};
use async_nats::connection::State;
use async_nats::jetstream::context::{Context, GetStreamError, GetStreamErrorKind, RequestError, RequestErrorKind};
use async_nats::jetstream::stream::{Info, Stream};
use async_nats::{Client, ConnectError, ConnectErrorKind, Event, ServerError, jetstream};
use futures_util::future::{Either, select};
use std::error::Error as _;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch;

/// A connection to a server that has the bucket.
pub(super) struct NatsConnection {
    client: Client,
    /// Publishes messages to streams.
    pub context: Context,
    /// The stream of the bucket.
    pub stream: Stream<Info>,
    /// The server's last message that denies a permission.
    denial: watch::Receiver<Option<String>>,
}

impl StoreConnection for NatsConnection {
    type Config = NatsConfig;
    type Error = NatsError;

    async fn open(config: &NatsConfig) -> Result<NatsConnection, NatsError> {
        let (denials, denial) = watch::channel(None);
        let options = connect_options(config)?.event_callback(move |event| {
            if let Event::ServerError(ServerError::Other(message)) = event
                && is_denial(&message)
            {
                denials.send_replace(Some(message));
            }
            std::future::ready(())
        });
        let client = options.connect(&config.servers).await.map_err(|error| connect_error(config, &error))?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(IDLE_TIMEOUT);
        let stream = unless_denied(denial.clone(), async {
            let stream = context.get_stream(format!("OBJ_{}", config.bucket)).await;
            stream.map_err(|error| match error.kind() {
                GetStreamErrorKind::JetStream(rejection) => NatsError::rejected(&rejection, &config.bucket),
                _ if has_no_responders(&error) => NatsError::no_jetstream(),
                _ => NatsError::no_response(&error),
            })
        });
        Ok(NatsConnection { stream: stream.await?, client, context, denial })
    }

    fn has_ended(&self) -> bool {
        self.client.connection_state() != State::Connected
    }

    fn is_connection_failure(error: &NatsError) -> bool {
        error.is_unreachable()
    }

    fn timed_out(_: &NatsConfig, deadline: Duration) -> NatsError {
        NatsError::timed_out(deadline.as_secs())
    }
}

impl NatsConnection {
    /// Waits for a response. Fails at once if the server denies a permission meanwhile.
    pub async fn unless_denied<T>(&self, response: impl Future<Output = Result<T, NatsError>>) -> Result<T, NatsError> {
        unless_denied(self.denial.clone(), response).await
    }
}

/// Waits for `response` or a denial. A server reports a denial as an event of the connection and sends no response to the request.
async fn unless_denied<T>(
    mut denial: watch::Receiver<Option<String>>,
    response: impl Future<Output = Result<T, NatsError>>,
) -> Result<T, NatsError> {
    denial.mark_unchanged();
    let denied = async {
        match denial.changed().await {
            Ok(()) => NatsError::denied(denial.borrow().as_deref().unwrap_or_default()),
            Err(_) => std::future::pending().await,
        }
    };
    match select(pin!(response), pin!(denied)).await {
        Either::Left((result, _)) => result,
        Either::Right((error, _)) => Err(error),
    }
}

/// Returns true if a message of the server denies a permission that is needed. Deleting a consumer is not: the server deletes unused
/// consumers itself.
fn is_denial(message: &str) -> bool {
    message.to_lowercase().contains("permissions violation") && !message.contains(".CONSUMER.DELETE.")
}

/// Returns true if no JetStream receives requests.
fn has_no_responders(error: &GetStreamError) -> bool {
    let source = error.source().and_then(|error| error.downcast_ref::<RequestError>());
    source.is_some_and(|error| error.kind() == RequestErrorKind::NoResponders)
}

fn connect_error(config: &NatsConfig, error: &ConnectError) -> NatsError {
    let server = config.server();
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            let cause = match &config.credentials {
                NatsCredentials::None => format!(
                    "{server} requires credentials: set a user and a password, a token, a credentials file, or a seed"
                ),
                NatsCredentials::User { name, .. } => format!("{server} rejects the password of user {name}"),
                NatsCredentials::Token(_) => format!("{server} rejects the token"),
                NatsCredentials::Jwt { .. } => format!("{server} rejects the JWT"),
                NatsCredentials::Key(_) => format!("{server} rejects the seed"),
                NatsCredentials::File(path) => format!("{server} rejects the credentials in {}", path.display()),
            };
            NatsError::new(StoreErrorKind::Denied, cause)
        }
        ConnectErrorKind::TimedOut => {
            let seconds = CONNECT_TIMEOUT.as_secs();
            NatsError::new(
                StoreErrorKind::Unreachable,
                format!("cannot connect to {server}: no response within {seconds} seconds"),
            )
        }
        _ => NatsError::new(StoreErrorKind::Unreachable, format!("cannot connect to {server}: {}", root_cause(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_denials_of_needed_permissions_fail_a_request() {
        let is_denied = |subject: &str| is_denial(&format!("Permissions Violation for Publish to \"{subject}\""));
        assert!(is_denied("$JS.API.STREAM.INFO.OBJ_app"));
        assert!(!is_denied("$JS.API.CONSUMER.DELETE.OBJ_app.x"));
        assert!(!is_denial("stale connection"));
    }
}
