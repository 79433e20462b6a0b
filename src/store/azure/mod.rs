//! Replicas in Azure Blob Storage.

mod config;
mod credentials;

pub(super) use config::AzureConfig;

use super::cloud::{self, Bucket, ClientParts, CloudClient, CloudStore, Service};
use super::http::Clients;
use super::paths::Layout;
use super::redirects::Redirects;
use super::tls::Trust;
use async_trait::async_trait;
use credentials::AzureCredentials;
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use std::sync::Arc;
use url::form_urlencoded;

impl AzureConfig {
    /// Creates the store. Fails if the settings are invalid.
    pub fn connect(self, shown: Arc<str>) -> Result<CloudStore<AzureConfig>, String> {
        let clients = Clients::of(self.server(), Trust::of(self.skip_verify, None, &shown)?, None, Redirects::Refused)?;
        CloudStore::new(shown, self, clients)
    }
}

impl Service for AzureConfig {
    fn layout(&self) -> Layout {
        Layout::Decimal
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn server(&self) -> &str {
        &self.endpoint
    }

    fn region(&self) -> &str {
        ""
    }

    fn client(&self, _region: &str, parts: ClientParts) -> Result<Arc<dyn Bucket>, String> {
        let builder = MicrosoftAzureBuilder::new()
            .with_account(&self.account)
            .with_container_name(&self.container)
            .with_endpoint(self.endpoint.clone())
            .with_retry(parts.retry)
            .with_client_options(parts.options)
            .with_http_connector(parts.connector);
        let builder =
            match &self.credentials {
                AzureCredentials::None => builder.with_skip_signature(true),
                AzureCredentials::Sas(query) => {
                    let pairs = form_urlencoded::parse(query.0.as_bytes()).into_owned();
                    builder.with_sas_authorization(pairs.collect::<Vec<_>>())
                }
                AzureCredentials::Key(key) => builder.with_access_key(&key.0),
                AzureCredentials::Identity(variables) => variables.iter().fold(builder, |builder, (name, value)| {
                    match name.to_ascii_lowercase().parse::<AzureConfigKey>() {
                        Ok(key) => builder.with_config(key, &value.0),
                        Err(_) => builder,
                    }
                }),
            };
        let bucket = builder.build().map_err(|error| match &self.credentials {
            // The error of `object_store` may quote the key.
            AzureCredentials::Key(_) => "the key of the account is not valid Base64".to_owned(),
            _ => cloud::invalid_settings(&error),
        })?;
        Ok(Arc::new(bucket))
    }

    fn credentials_hint(&self) -> Option<&'static str> {
        matches!(self.credentials, AzureCredentials::Identity(_)).then_some(
            "neither LITESTREAM_AZURE_ACCOUNT_KEY nor LITESTREAM_AZURE_SAS_TOKEN is set, and no identity provides any",
        )
    }
}

#[async_trait]
impl Bucket for MicrosoftAzure {
    fn client(&self) -> &dyn CloudClient {
        self
    }

    fn timestamp_name(&self) -> &'static str {
        // Names of metadata in Azure are identifiers.
        "litestreamtimestamp"
    }

    async fn authorize(&self) -> Result<(), object_store::Error> {
        self.credentials().get_credential().await.map(drop)
    }
}
