//! HTTP clients: TLS, timeouts, redirects and connection pools.
//!
//! All replicas of a process that read from one server with the same TLS settings share a client and its pool of connections, so
//! a process that reads a thousand replicas of a bucket needs no more connections than one that reads a few.

use super::redirects::Redirects;
use super::timeouts::CONNECT_TIMEOUT;
use super::tls::Trust;
use crate::process::{SharedByKey, get_or_try_init};
use reqwest::Client;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The maximum number of concurrent requests to one server, and so of connections. Further requests wait.
pub(super) const MAX_IN_FLIGHT: usize = 64;

/// The maximum number of idle connections to one host. One replica uses up to 16 connections while it is read.
const MAX_IDLE: usize = 32;

/// How long idle connections are kept. A poll every second keeps one of them in use.
const IDLE_FOR: Duration = Duration::from_secs(10);

/// The timeout for connecting to a cloud's metadata service. Outside of the cloud, nothing responds at its address.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

static SHARED: SharedByKey<ClientKey, Clients> = SharedByKey::new();

/// The settings of clients. Replicas with equal settings share their clients.
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
    metadata: OnceLock<Client>,
}

/// The purpose of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClientPurpose {
    /// All other requests.
    Usual,
    /// Requests that must use a new connection.
    Fresh,
    /// Requests to a cloud's metadata service.
    Metadata,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clients").field(&self.key).finish()
    }
}

impl Clients {
    /// Returns the clients for a server. They send `header` with every request.
    ///
    /// Fails if TLS cannot be configured.
    pub fn of(
        server: &str,
        trust: Trust,
        header: Option<(&'static str, &'static str)>,
        redirects: Redirects,
    ) -> Result<Arc<Clients>, String> {
        let key = ClientKey { server: server.to_owned(), trust, header, redirects };
        SHARED.get_or_try_init(key, |key| {
            Ok(Clients {
                tls: key.trust.config()?,
                permits: Semaphore::new(MAX_IN_FLIGHT),
                usual: OnceLock::new(),
                fresh: OnceLock::new(),
                metadata: OnceLock::new(),
                key: key.clone(),
            })
        })
    }

    /// Returns the server, as it was passed to [`Clients::of`].
    pub fn server(&self) -> &str {
        &self.key.server
    }

    /// Waits until another request may be sent. The caller keeps the permit until it has read the response.
    pub async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // Acquiring fails only if the semaphore is closed, and it is never closed.
        self.permits.acquire().await.ok()
    }

    /// Returns the client for a purpose.
    pub fn client(&self, purpose: ClientPurpose) -> Result<Client, reqwest::Error> {
        let (cell, connect_timeout, max_idle) = match purpose {
            ClientPurpose::Usual => (&self.usual, CONNECT_TIMEOUT, MAX_IDLE),
            ClientPurpose::Fresh => (&self.fresh, CONNECT_TIMEOUT, 0),
            ClientPurpose::Metadata => (&self.metadata, METADATA_TIMEOUT, 1),
        };
        get_or_try_init(cell, || self.build(connect_timeout, max_idle)).cloned()
    }

    /// Builds a client. It does not decompress bodies, uses the proxies in the environment, and speaks HTTP/1.1, because parallel reads
    /// are faster over separate connections.
    ///
    /// The client waits for a response without a limit: callers use [`unless_silent`](super::timeouts::unless_silent).
    fn build(&self, connect_timeout: Duration, max_idle: usize) -> Result<Client, reqwest::Error> {
        let header =
            self.key.header.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Client::builder()
            .user_agent(concat!("litestream-vfs/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter(header))
            .tls_backend_preconfigured(self.tls.clone())
            .connect_timeout(connect_timeout)
            .pool_max_idle_per_host(max_idle)
            .pool_idle_timeout(IDLE_FOR)
            .redirect(self.key.redirects.policy())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()
    }
}

/// Parses a `Content-Range` header. Returns the range and the length of the whole object.
pub(super) fn parse_content_range(header: &str) -> Option<(Range<u64>, u64)> {
    let (part, size) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = part.split_once('-')?;
    let (start, end) = (start.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
    (start < end).then_some((start..end, size.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_shared_for_the_same_server_and_settings() {
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
        assert!(gone.upgrade().is_none(), "clients are dropped with the last replica that uses them");
    }
}
