//! Replicas in Amazon S3 and compatible services.

mod chain;
mod command;
mod config;
mod credential_process;
mod credentials;
mod host;
mod oss;
mod profile;
#[cfg(test)]
mod tests;

pub(super) use config::S3Config;

use super::cloud::{self, Bucket, ClientParts, CloudClient, CloudStore, Service};
use super::http::Clients;
use super::paths::Layout;
use super::redirects::Redirects;
use super::tls::Trust;
use super::url;
use async_trait::async_trait;
use credential_process::CredentialProcess;
use credentials::S3Credentials;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use std::sync::Arc;

/// The default region, as in Amazon's own tools.
const DEFAULT_REGION: &str = "us-east-1";

/// Returns the bucket that a URL of the scheme `s3` or `oss` names, and the endpoint if its host names one.
pub(super) fn bucket_and_endpoint(scheme: &str, parts: &url::UrlParts<'_>) -> (String, Option<String>) {
    if scheme == "oss" {
        return (oss::host(parts.host).0, None);
    }
    match host::AccessPoint::parse(parts) {
        Ok(Some(_)) => (parts.host.to_owned(), None),
        _ => {
            let host = host::Host::parse(parts.host);
            (host.bucket, host.endpoint)
        }
    }
}

/// Creates the store. Fails if the settings are invalid.
pub(super) fn connect(shown: Arc<str>, config: S3Config) -> Result<CloudStore<S3Config>, String> {
    let trust = Trust::of(config.skip_verify, config.authorities.as_deref(), &shown)?;
    let is_tigris = config.endpoint.as_deref().is_some_and(host::is_tigris);
    let header = is_tigris.then_some(("x-tigris-consistent", "true"));
    let clients = Clients::of(config.server(), trust, header, Redirects::Refused)?;
    CloudStore::new(shown, config, clients)
}

impl Service for S3Config {
    fn layout(&self) -> Layout {
        Layout::Hexadecimal
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn server(&self) -> &str {
        self.endpoint.as_deref().unwrap_or("Amazon S3")
    }

    fn region(&self) -> &str {
        self.region.as_deref().unwrap_or(DEFAULT_REGION)
    }

    fn client(&self, region: &str, parts: ClientParts) -> Result<Arc<dyn Bucket>, String> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(region)
            .with_virtual_hosted_style_request(!self.path_style)
            // Not every compatible service deletes several objects by one request.
            .with_disable_bulk_delete(true)
            .with_retry(parts.retry)
            .with_client_options(parts.options)
            .with_http_connector(parts.connector);
        if let Some(endpoint) = &self.endpoint {
            builder = match self.path_style {
                true => builder.with_endpoint(endpoint),
                false => builder.with_endpoint(host::with_bucket(endpoint, &self.bucket)),
            };
        }
        if let Some(key) = &self.customer_key {
            builder = builder.with_ssec_encryption(&key.0);
        }
        let bucket = sign(builder, &self.credentials).build();
        bucket.map(|bucket| Arc::new(bucket) as Arc<dyn Bucket>).map_err(|error| cloud::invalid_settings(&error))
    }

    fn credentials_hint(&self) -> Option<&'static str> {
        match self.credentials {
            S3Credentials::Role(_) => {
                Some("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and no role provides any")
            }
            S3Credentials::Process(_) => Some("the credential_process of the profile provides none"),
            S3Credentials::Static { .. } | S3Credentials::None => None,
        }
    }
}

#[async_trait]
impl Bucket for AmazonS3 {
    fn client(&self) -> &dyn CloudClient {
        self
    }

    async fn authorize(&self) -> Result<(), object_store::Error> {
        self.credentials().get_credential().await.map(drop)
    }
}

/// Configures the credentials.
fn sign(builder: AmazonS3Builder, credentials: &S3Credentials) -> AmazonS3Builder {
    match credentials {
        S3Credentials::Static { id, secret, token } => {
            let builder = builder.with_access_key_id(&id.0).with_secret_access_key(&secret.0);
            match token {
                Some(token) => builder.with_token(&token.0),
                None => builder,
            }
        }
        S3Credentials::Role(variables) => variables.iter().fold(builder, |builder, (name, value)| {
            match name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                Ok(key) => builder.with_config(key, &value.0),
                Err(_) => builder,
            }
        }),
        S3Credentials::Process(command) => builder.with_credentials(Arc::new(CredentialProcess::new(command.clone()))),
        S3Credentials::None => builder.with_skip_signature(true),
    }
}
