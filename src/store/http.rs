//! HTTP clients: TLS, timeouts, and no surprises with bodies.

use super::patience::IDLE_TIMEOUT;
use super::tls::Trust;
use reqwest::Client;
use reqwest::header::{HeaderMap, HeaderValue};
use std::time::Duration;

/// Makes clients that believe the same servers.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    tls: rustls::ClientConfig,
    headers: HeaderMap,
}

impl Clients {
    pub fn new(trust: Trust) -> Result<Clients, String> {
        Ok(Clients { tls: trust.config()?, headers: HeaderMap::new() })
    }

    /// Clients that send this with every request.
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Clients {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// A client for one server. Bodies come as they are stored; HTTP/1.1, since reads in parallel are faster over
    /// connections of their own. Proxies are those of the environment.
    pub fn client(&self, connect_timeout: Duration) -> Result<Client, reqwest::Error> {
        Client::builder()
            .user_agent(concat!("litestream-vfs/", env!("CARGO_PKG_VERSION")))
            .default_headers(self.headers.clone())
            .tls_backend_preconfigured(self.tls.clone())
            .connect_timeout(connect_timeout)
            .read_timeout(IDLE_TIMEOUT)
            .http1_only()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()
    }
}
