//! HTTP clients: TLS, timeouts, redirects, and no surprises with bodies.

use super::patience::IDLE_TIMEOUT;
use super::tls::Trust;
use reqwest::header::{HeaderMap, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use std::time::Duration;

/// Which redirects a client follows. None ever leads to another server, which would get the request's credentials, tokens and keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    pub fn client(&self, connect_timeout: Duration, redirects: Redirects) -> Result<Client, reqwest::Error> {
        Client::builder()
            .user_agent(concat!("litestream-vfs/", env!("CARGO_PKG_VERSION")))
            .default_headers(self.headers.clone())
            .tls_backend_preconfigured(self.tls.clone())
            .connect_timeout(connect_timeout)
            .read_timeout(IDLE_TIMEOUT)
            .http1_only()
            .redirect(redirects.policy())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()
    }
}
