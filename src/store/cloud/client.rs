//! The client of a bucket: what is particular to a service, and what every service has alike.

use super::error::{CloudError, What};
use super::transport::Connector;
use crate::store::http::Clients;
use crate::store::paths::Layout;
use async_trait::async_trait;
use object_store::list::PaginatedListStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is particular to a service and a place there.
pub(in crate::store) trait Service: fmt::Debug + Send + Sync {
    /// How keys are made.
    fn layout(&self) -> Layout;
    /// The replica's path below the bucket.
    fn path(&self) -> &str;
    /// Whom complaints name when nobody answered.
    fn server(&self) -> &str;
    /// Where the bucket is taken to be.
    fn region(&self) -> &str;
    /// A client for the bucket in that region, made with these.
    fn client(&self, region: &str, parts: ClientParts) -> Result<Arc<dyn Bucket>, String>;
    /// What is to be said if nobody gives the credentials that have to be asked for; None if there are some for good.
    fn lacks(&self) -> Option<&'static str>;
}

/// What every client is made with.
pub(in crate::store) struct ClientParts {
    pub connector: Connector,
    pub options: ClientOptions,
    pub retry: RetryConfig,
}

/// A client of `object_store`.
#[async_trait]
pub(in crate::store) trait Bucket: ObjectStore + PaginatedListStore {
    /// Finds credentials if there are none yet, or those there are end soon.
    async fn authorize(&self) -> Result<(), object_store::Error>;
}

/// A client, and the region it signs for. Another takes its place once the server says where the bucket is.
#[derive(Clone)]
pub(super) struct Client {
    pub region: Arc<str>,
    pub bucket: Arc<dyn Bucket>,
}

impl Client {
    pub fn new(service: &impl Service, region: &str, clients: &Arc<Clients>) -> Result<Client, String> {
        let connector = Connector(clients.clone());
        let mut options = ClientOptions::new().with_timeout_disabled().with_connect_timeout_disabled();
        options = options.with_allow_http(true);
        let bucket = service.client(region, ClientParts { connector, options, retry: no_tries() })?;
        Ok(Client { region: region.into(), bucket })
    }
}

/// The failure of one who was to give credentials.
pub(in crate::store) fn unsigned(cause: String) -> object_store::Error {
    let failure = CloudError { server: String::new(), what: What::Unsigned { cause, is_passing: false } };
    object_store::Error::Generic { store: "credentials", source: failure.into() }
}

/// What `object_store` says of settings that make no client.
pub(in crate::store) fn unusable(error: &object_store::Error) -> String {
    format!("no client can be made: {}", error.to_string().trim_end_matches('.'))
}

/// `object_store` tries nothing again: it knows neither a deadline nor what a server asks for.
fn no_tries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}
