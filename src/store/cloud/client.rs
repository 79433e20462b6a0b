//! The client of a bucket, and the trait that each service implements.

use super::attempt::Attempt;
use super::error::{CloudError, CloudErrorKind};
use super::transport::Connector;
use crate::store::create;
use crate::store::http::Clients;
use crate::store::paths::Layout;
use async_trait::async_trait;
use bytes::Bytes;
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use object_store::{Attribute, BackoffConfig, ClientOptions, ObjectStore, PutMode, PutOptions, RetryConfig};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A bucket of a service, with its settings.
pub(in crate::store) trait Service: fmt::Debug + Send + Sync {
    /// Returns the layout of the keys.
    fn layout(&self) -> Layout;
    /// Returns the path of the replica in the bucket.
    fn path(&self) -> &str;
    /// Returns the server or the name of the service, for error texts.
    fn server(&self) -> &str;
    /// Returns the region that the bucket is assumed to be in.
    fn region(&self) -> &str;
    /// Creates a client for the bucket in that region. Fails if the settings are invalid.
    fn client(&self, region: &str, parts: ClientParts) -> Result<Arc<dyn Bucket>, String>;
    /// Returns the error text for the case that no credentials are found. Returns None if none have to be requested, because they are
    /// fixed or the bucket is public.
    fn credentials_hint(&self) -> Option<&'static str>;
}

/// The settings that all clients have in common.
pub(in crate::store) struct ClientParts {
    pub connector: Connector,
    pub options: ClientOptions,
    pub retry: RetryConfig,
}

/// A client of a bucket.
#[async_trait]
pub(in crate::store) trait Bucket: Send + Sync {
    /// Returns the client of `object_store`.
    fn client(&self) -> &dyn CloudClient;

    /// Fetches credentials if there are none yet, or if they expire soon.
    async fn authorize(&self) -> Result<(), object_store::Error>;

    /// The name of the metadata in which Litestream keeps the time of a file.
    fn timestamp_name(&self) -> &'static str {
        "litestream-timestamp"
    }

    /// Creates an object. Fails with status 412, or 409 with a code for this case, if an object of this name exists.
    async fn create(&self, key: &Path, bytes: Bytes, attempt: Attempt) -> Result<(), object_store::Error> {
        let mut options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        options.extensions.insert(attempt);
        if let Some(timestamp) = create::timestamp_of(&bytes) {
            options.attributes.insert(Attribute::Metadata(self.timestamp_name().into()), timestamp.into());
        }
        self.client().put_opts(key, bytes.into(), options).await.map(drop)
    }
}

/// A client of `object_store`.
pub(in crate::store) trait CloudClient: ObjectStore + PaginatedListStore {}

impl<T: ObjectStore + PaginatedListStore> CloudClient for T {}

/// A client, and the region that it signs requests for. It is replaced if the bucket turns out to be in another region.
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
        let bucket = service.client(region, ClientParts { connector, options, retry: no_retries() })?;
        Ok(Client { region: region.into(), bucket })
    }
}

/// Creates the error of a provider that has no credentials.
pub(in crate::store) fn no_credentials(cause: String) -> object_store::Error {
    let kind = CloudErrorKind::NoCredentials { cause, is_transient: false };
    let error = CloudError { server: String::new(), kind };
    object_store::Error::Generic { store: "credentials", source: error.into() }
}

/// Returns the error text for settings that `object_store` does not accept.
pub(in crate::store) fn invalid_settings(error: &object_store::Error) -> String {
    format!("cannot create a client: {}", error.to_string().trim_end_matches('.'))
}

/// Disables the retries of `object_store`, because they consider neither the deadline nor `Retry-After`.
fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}
