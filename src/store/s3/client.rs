//! The HTTP client of a bucket: TLS, timeouts and tries.

use super::failure::Connector;
use super::host;
use super::place::{Credentials, S3Place};
use crate::store::patience::{CONNECT_TIMEOUT, IDLE_TIMEOUT};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};
use std::sync::Once;
use std::time::Duration;

/// The region of a bucket of which nothing is known, as Amazon's own tools have it.
pub(super) const DEFAULT_REGION: &str = "us-east-1";

/// Enough to outlast a connection that broke or a server that was told to slow down; a longer outage is the
/// caller's to wait for, who knows whether somebody waits.
const TRIES_AFTER_THE_FIRST: usize = 3;

/// The first try counts, so that a server that answers at last is still waited for.
const LAST_TRY_BEGINS_BEFORE: Duration = Duration::from_secs(6);

/// Makes a client for the bucket in `region`.
pub(super) fn build(place: &S3Place, region: &str) -> Result<AmazonS3, String> {
    install_tls();
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&place.bucket)
        .with_region(region)
        .with_virtual_hosted_style_request(!place.path_style)
        .with_retry(tries())
        .with_client_options(options(place)?)
        .with_http_connector(Connector);
    if let Some(endpoint) = &place.endpoint {
        builder = match place.path_style {
            true => builder.with_endpoint(endpoint),
            false => builder.with_endpoint(host::with_bucket(endpoint, &place.bucket)),
        };
    }
    if let Some(key) = &place.customer_key {
        builder = builder.with_ssec_encryption(&key.0);
    }
    sign(builder, &place.credentials)
        .build()
        .map_err(|error| format!("no client can be made: {}", error.to_string().trim_end_matches('.')))
}

fn sign(builder: AmazonS3Builder, credentials: &Credentials) -> AmazonS3Builder {
    match credentials {
        Credentials::Static { id, secret, token } => {
            let builder = builder.with_access_key_id(&id.0).with_secret_access_key(&secret.0);
            match token {
                Some(token) => builder.with_token(&token.0),
                None => builder,
            }
        }
        Credentials::Role(variables) => variables.iter().fold(builder, |builder, (name, value)| {
            match name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                Ok(key) => builder.with_config(key, &value.0),
                Err(_) => builder,
            }
        }),
    }
}

fn tries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        },
        max_retries: TRIES_AFTER_THE_FIRST,
        retry_timeout: LAST_TRY_BEGINS_BEFORE,
    }
}

fn options(place: &S3Place) -> Result<ClientOptions, String> {
    let mut options = ClientOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(IDLE_TIMEOUT)
        .with_timeout_disabled()
        .with_allow_http(place.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")))
        .with_allow_invalid_certificates(place.skip_verify);
    if let Some(path) = &place.authorities {
        let failed = |cause: String| format!("AWS_CA_BUNDLE names {}: {cause}", path.display());
        let bundle = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&bundle).map_err(|error| failed(error.to_string()))?;
        options = certificates.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    Ok(options)
}

/// The TLS library serves every client of the process; a host that chose its cryptography keeps it.
fn install_tls() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
