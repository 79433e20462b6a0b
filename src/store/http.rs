//! HTTP clients: TLS, timeouts, redirects, connections, and no surprises with bodies.
//!
//! All replicas of a process that read from one server with the same TLS settings share a client, and with it a pool of
//! connections: a process that reads a thousand replicas of a bucket needs no more connections than one that reads a few.

use super::timeouts::{CONNECT_TIMEOUT, IDLE_TIMEOUT};
use super::tls::Trust;
use crate::lock::Mutex;
use crate::process::PerProcess;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests to one server that may be in flight at once, and so its connections. Others wait for their turn.
const IN_FLIGHT: usize = 64;

/// Connections to one host that are kept for the next request. One replica uses up to 16 while it is read.
const IDLE: usize = 32;

/// How long they are kept. A poll a second keeps one of them in use.
const IDLE_FOR: Duration = Duration::from_secs(10);

/// Nobody listens at the address of a cloud's metadata outside of that cloud, and nobody says so.
const TO_METADATA: Duration = Duration::from_secs(1);

/// Which redirects a client follows. None ever leads to another server, which would get the request's credentials, tokens and keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Redirects {
    /// None: a request to a bucket is signed for one path.
    Refused,
    /// At most [`MOST_REDIRECTS`], to the same scheme, host and port.
    #[cfg(any(feature = "http", feature = "webdav"))]
    WithinServer,
}

/// How many redirects of one request are followed.
#[cfg(any(feature = "http", feature = "webdav"))]
pub(super) const MOST_REDIRECTS: usize = 5;

impl Redirects {
    fn policy(self) -> Policy {
        match self {
            Redirects::Refused => Policy::none(),
            #[cfg(any(feature = "http", feature = "webdav"))]
            Redirects::WithinServer => Policy::custom(|attempt| {
                let previous = attempt.previous();
                let stays = previous.first().is_some_and(|first| first.origin() == attempt.url().origin());
                // The answer itself then tells the caller where it leads.
                if stays && previous.len() <= MOST_REDIRECTS { attempt.follow() } else { attempt.stop() }
            }),
        }
    }
}

/// The server that an answer redirects to: scheme, host and port, and nothing of the path, which may hold secrets.
/// None if the answer names no place.
pub(super) fn destination(asked: &str, headers: &HeaderMap) -> Option<String> {
    let location = headers.get(LOCATION)?;
    let target = location.to_str().ok().and_then(|location| Url::parse(asked).ok()?.join(location).ok());
    let is_server = |target: &Url| target.has_host() && target.host_str().is_some_and(|host| host.len() <= 255);
    Some(
        target
            .filter(is_server)
            .map_or_else(|| "a place that is no server".to_owned(), |url| url.origin().ascii_serialization()),
    )
}

static SHARED: PerProcess<Mutex<HashMap<ClientKey, Weak<Clients>>>> = PerProcess::new();

/// What replicas have in common that share their clients.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct ClientKey {
    server: String,
    trust: Trust,
    header: Option<(&'static str, &'static str)>,
    redirects: Redirects,
}

/// The clients of one server.
pub(super) struct Clients {
    key: ClientKey,
    tls: rustls::ClientConfig,
    permits: Semaphore,
    usual: OnceLock<Client>,
    fresh: OnceLock<Client>,
    to_metadata: OnceLock<Client>,
}

/// What a client is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClientPurpose {
    /// Everything that has no purpose of its own here.
    Usual,
    /// A request that must not use a connection that was used before.
    Fresh,
    /// A cloud's metadata.
    Metadata,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clients").field(&self.key).finish()
    }
}

impl Clients {
    /// The clients for a server, which send `header` with every request.
    pub fn of(
        server: &str,
        trust: Trust,
        header: Option<(&'static str, &'static str)>,
        redirects: Redirects,
    ) -> Result<Arc<Clients>, String> {
        let key = ClientKey { server: server.to_owned(), trust, header, redirects };
        let mut shared = SHARED.get_or_init(Mutex::default).lock();
        if let Some(clients) = shared.get(&key).and_then(Weak::upgrade) {
            return Ok(clients);
        }
        let clients = Arc::new(Clients {
            tls: key.trust.config()?,
            permits: Semaphore::new(IN_FLIGHT),
            usual: OnceLock::new(),
            fresh: OnceLock::new(),
            to_metadata: OnceLock::new(),
            key: key.clone(),
        });
        shared.retain(|_, clients| clients.strong_count() > 0);
        shared.insert(key, Arc::downgrade(&clients));
        Ok(clients)
    }

    /// The server, as it was named.
    pub fn server(&self) -> &str {
        &self.key.server
    }

    /// Waits for one's turn to send a request. The turn lasts until the answer has been read.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It fails only if the semaphore is closed, which nobody does.
        self.permits.acquire().await.ok()
    }

    pub fn client(&self, purpose: ClientPurpose) -> Result<Client, reqwest::Error> {
        let (cell, connect_timeout, idle) = match purpose {
            ClientPurpose::Usual => (&self.usual, CONNECT_TIMEOUT, IDLE),
            ClientPurpose::Fresh => (&self.fresh, CONNECT_TIMEOUT, 0),
            ClientPurpose::Metadata => (&self.to_metadata, TO_METADATA, 1),
        };
        match cell.get() {
            Some(client) => Ok(client.clone()),
            None => {
                let client = self.build(connect_timeout, idle)?;
                Ok(cell.get_or_init(|| client).clone())
            }
        }
    }

    /// Bodies come as they are stored; HTTP/1.1, since reads in parallel are faster over connections of their own.
    /// Proxies are those of the environment.
    fn build(&self, connect_timeout: Duration, idle: usize) -> Result<Client, reqwest::Error> {
        let header =
            self.key.header.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Client::builder()
            .user_agent(concat!("litestream-vfs/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter(header))
            .tls_backend_preconfigured(self.tls.clone())
            .connect_timeout(connect_timeout)
            .read_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(idle)
            .pool_idle_timeout(IDLE_FOR)
            .http1_only()
            .redirect(self.key.redirects.policy())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_share_the_clients_of_a_server_if_they_trust_the_same() {
        let of = |server: &str, trust, header| Clients::of(server, trust, header, Redirects::Refused).expect("clients");
        let system = || Trust::System(Vec::new());
        let one = of("http://one", system(), None);
        assert!(Arc::ptr_eq(&one, &of("http://one", system(), None)));
        for other in [
            of("http://other", system(), None),
            of("http://one", Trust::Anyone, None),
            of("http://one", system(), Some(("x-a", "b"))),
        ] {
            assert!(!Arc::ptr_eq(&one, &other));
        }
        let gone = Arc::downgrade(&one);
        drop(one);
        assert!(gone.upgrade().is_none(), "clients stay while a replica needs them");
    }
}
