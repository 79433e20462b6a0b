//! From a place to a bucket: the connection, TLS, and our own credentials.

use super::config::{NatsConfig, NatsCredentials};
use super::error::{NatsError, root};
use crate::store::StoreErrorKind;
use crate::store::timeouts::{CONNECT_TIMEOUT, IDLE_TIMEOUT};
use crate::store::tls::Trust;
use async_nats::connection::State;
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind, RequestError, RequestErrorKind};
use async_nats::jetstream::stream::{Info, Stream};
use async_nats::{AuthError, Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerError, jetstream};
use nkeys::KeyPair;
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// A connection to a server that has the bucket.
pub(super) struct NatsConnection {
    client: Client,
    /// The stream behind the bucket.
    pub stream: Stream<Info>,
    /// What the server last said that we may not do.
    forbidden: watch::Receiver<Option<String>>,
}

impl NatsConnection {
    pub async fn open(place: &NatsConfig) -> Result<NatsConnection, NatsError> {
        let (forbid, forbidden) = watch::channel(None);
        let options = options(place)?.event_callback(move |event| {
            if let Event::ServerError(ServerError::Other(words)) = event
                && is_prohibition(&words)
            {
                forbid.send_replace(Some(words));
            }
            std::future::ready(())
        });
        let client = options.connect(&place.servers).await.map_err(|error| refused(place, &error))?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(IDLE_TIMEOUT);
        let told = forbidden.clone();
        let stream = unless_forbidden(told, async {
            let found = context.get_stream(format!("OBJ_{}", place.bucket)).await;
            found.map_err(|error| match error.kind() {
                GetStreamErrorKind::JetStream(said) => NatsError::refusal(&said, &place.bucket),
                _ if has_no_responders(&error) => NatsError::no_jetstream(),
                _ => NatsError::silence(&error),
            })
        });
        Ok(NatsConnection { stream: stream.await?, client, forbidden })
    }

    pub fn has_ended(&self) -> bool {
        self.client.connection_state() != State::Connected
    }

    /// The answer, or that the server denies what it takes.
    pub async fn ask<T>(&self, answer: impl Future<Output = Result<T, NatsError>>) -> Result<T, NatsError> {
        unless_forbidden(self.forbidden.clone(), answer).await
    }
}

/// A server says asynchronously what it denies, and nothing to who waits for an answer.
async fn unless_forbidden<T>(
    mut forbidden: watch::Receiver<Option<String>>,
    answer: impl Future<Output = Result<T, NatsError>>,
) -> Result<T, NatsError> {
    forbidden.mark_unchanged();
    let denied = async {
        match forbidden.changed().await {
            Ok(()) => NatsError::forbidden(forbidden.borrow().as_deref().unwrap_or_default()),
            Err(_) => std::future::pending().await,
        }
    };
    match futures_util::future::select(std::pin::pin!(answer), std::pin::pin!(denied)).await {
        futures_util::future::Either::Left((answer, _)) => answer,
        futures_util::future::Either::Right((failure, _)) => Err(failure),
    }
}

/// Whether these words deny something that matters: what is not taken back in time goes by itself.
fn is_prohibition(words: &str) -> bool {
    words.to_lowercase().contains("permissions violation") && !words.contains(".CONSUMER.DELETE.")
}

/// Whether nobody listens to requests of JetStream.
fn has_no_responders(error: &GetStreamError) -> bool {
    let below = error.source().and_then(|error| error.downcast_ref::<RequestError>());
    below.is_some_and(|error| error.kind() == RequestErrorKind::NoResponders)
}

fn options(place: &NatsConfig) -> Result<ConnectOptions, NatsError> {
    let options = ConnectOptions::new()
        .name(concat!("litestream-vfs/", env!("CARGO_PKG_VERSION")))
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(IDLE_TIMEOUT))
        // Others would get the credentials as well.
        .ignore_discovered_servers()
        .require_tls(place.tls)
        .tls_client_config(tls(place).map_err(|cause| NatsError::new(StoreErrorKind::Config, cause))?);
    Ok(match &place.credentials {
        NatsCredentials::None => options,
        NatsCredentials::User { name, password } => options.user_and_password(name.clone(), password.0.clone()),
        NatsCredentials::Token(token) => options.token(token.0.clone()),
        NatsCredentials::Key(seed) => {
            key(&seed.0, "the seed")?;
            options.nkey(seed.0.trim().to_owned())
        }
        NatsCredentials::Jwt { jwt, seed } => with_jwt(options, &jwt.0, key(&seed.0, "the seed")?),
        NatsCredentials::File(path) => {
            let unfit = |cause: String| NatsError::new(StoreErrorKind::Config, format!("{}: {cause}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|error| unfit(format!("it cannot be read: {error}")))?;
            let lacking = || unfit("it holds no JWT and no seed, as a file of credentials does".to_owned());
            let (jwt, seed) = blocks(&text).ok_or_else(lacking)?;
            with_jwt(options, jwt, key(seed, &path.display().to_string())?)
        }
    })
}

fn with_jwt(options: ConnectOptions, jwt: &str, key: KeyPair) -> ConnectOptions {
    let key = Arc::new(key);
    options.jwt(jwt.trim().to_owned(), move |nonce| {
        let signed = key.sign(&nonce).map_err(AuthError::new);
        async move { signed }
    })
}

fn key(seed: &str, source: &str) -> Result<KeyPair, NatsError> {
    // What is wrong with a seed may quote it.
    KeyPair::from_seed(seed.trim())
        .map_err(|_| NatsError::new(StoreErrorKind::Config, format!("{source} holds no seed of a user's key (SU…)")))
}

/// The JWT and the seed of a file of credentials: each stands in a line of its own, behind one that begins it.
fn blocks(text: &str) -> Option<(&str, &str)> {
    let mut lines = text.lines().map(str::trim);
    let mut block = |name: &str| {
        lines.find(|line| line.starts_with("---") && line.contains("BEGIN") && line.contains(name))?;
        lines.next().filter(|line| !line.is_empty())
    };
    Some((block("JWT")?, block("SEED")?))
}

fn tls(place: &NatsConfig) -> Result<ClientConfig, String> {
    let mut authorities = Vec::new();
    for path in &place.authorities {
        authorities.extend(certificates(path)?);
    }
    let mut config = Trust::System(authorities).config()?;
    config.alpn_protocols.clear();
    if let Some((certificate, key)) = &place.certificate {
        let chain = certificates(certificate)?;
        let unfit = |cause: String| format!("{} and {}: {cause}", certificate.display(), key.display());
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unfit(error.to_string()))?;
        let own = CertifiedKey::from_der(chain, key, &ring::default_provider());
        let own = own.map_err(|error| unfit(error.to_string()))?;
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(own));
    }
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{} holds no certificate", path.display())),
        Err(error) => Err(format!("{} holds no certificates that can be read: {error}", path.display())),
    }
}

fn refused(place: &NatsConfig, error: &ConnectError) -> NatsError {
    let server = place.server();
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            let shown = match &place.credentials {
                NatsCredentials::None => {
                    let cause =
                        format!("{server} asks for credentials: a user with a password, a token, creds or a seed");
                    return NatsError::new(StoreErrorKind::Denied, cause);
                }
                NatsCredentials::User { name, .. } => format!("{name} in with the password"),
                NatsCredentials::Token(_) => "us in with the token".to_owned(),
                NatsCredentials::Jwt { .. } => "us in with the JWT".to_owned(),
                NatsCredentials::Key(_) => "us in with the seed".to_owned(),
                NatsCredentials::File(path) => format!("us in with the credentials in {}", path.display()),
            };
            NatsError::new(StoreErrorKind::Denied, format!("{server} does not let {shown}"))
        }
        ConnectErrorKind::TimedOut => {
            let seconds = CONNECT_TIMEOUT.as_secs();
            NatsError::new(
                StoreErrorKind::Unreachable,
                format!("cannot connect to {server}: no answer within {seconds} seconds"),
            )
        }
        _ => NatsError::new(StoreErrorKind::Unreachable, format!("cannot connect to {server}: {}", root(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_credentials_holds_a_jwt_and_a_seed() {
        let file = "-----BEGIN NATS USER JWT-----\r\neyJ0.e30.x_-y\r\n------END NATS USER JWT------\r\n\r\n\
                    ***** IMPORTANT *****\r\nNKEYs are secrets.\r\n\r\n\
                    -----BEGIN USER NKEY SEED-----\r\nSUA\r\n------END USER NKEY SEED------\r\n";
        assert_eq!(blocks(file), Some(("eyJ0.e30.x_-y", "SUA")));
        assert_eq!(blocks(&file.replace("SEED", "SHED")), None);
        assert_eq!(blocks("eyJ0\nSUA"), None);
    }

    #[test]
    fn a_complaint_about_a_seed_does_not_show_it() {
        let Err(failure) = key("SUhush", "the seed") else { panic!("that is no seed") };
        assert_eq!(failure.error("nats://h/b").to_string(), "nats://h/b: the seed holds no seed of a user's key (SU…)");
    }

    #[test]
    fn what_the_server_denies_is_told_from_what_it_may_deny() {
        let denied = |subject: &str| is_prohibition(&format!("Permissions Violation for Publish to \"{subject}\""));
        assert!(denied("$JS.API.STREAM.INFO.OBJ_app"));
        assert!(!denied("$JS.API.CONSUMER.DELETE.OBJ_app.x"));
        assert!(!is_prohibition("stale connection"));
    }
}
