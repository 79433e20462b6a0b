//! Replicas in Google Cloud Storage.

mod upload;

use super::cloud::{self, Bucket, ClientParts, CloudStore, Service};
use super::environment::{Environment, Secret};
use super::http::Clients;
use super::parameters::Parameters;
use super::paths::Layout;
use super::redirects::Redirects;
use super::tls::Trust;
use super::{recipient, url};
use object_store::StaticCredentialProvider;
use object_store::client::HttpConnector;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use std::sync::Arc;
use upload::GcsBucket;

/// The bucket and path of a replica in Google Cloud Storage, and how to access it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct GcsConfig {
    bucket: String,
    path: String,
    /// The URL of the server; None for Google Cloud Storage itself.
    endpoint: Option<String>,
    skip_verify: bool,
    credentials: GcsCredentials,
}

/// The credentials that requests are signed with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum GcsCredentials {
    /// None, because the bucket is public or the server is an emulator.
    None,
    /// A file with the credentials of a service account, or of a user who logged in with `gcloud`.
    File(String),
    /// The content of such a file for a service account.
    Key(Secret),
    /// The file of `gcloud` in the home directory, or else the credentials of the machine.
    Ambient,
}

impl GcsConfig {
    /// Returns the URL of the server; None for Google Cloud Storage.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Parses a `gs` URL. `shown` is its masked form, for warnings.
    pub fn parse(parts: &url::UrlParts<'_>, environment: &Environment<'_>, shown: &str) -> Result<GcsConfig, String> {
        let mut parameters = Parameters::of(&parts.query);
        let emulator = environment.text("STORAGE_EMULATOR_HOST")?;
        let is_emulator = emulator.is_some();
        let endpoint = parameters.take("endpoint").or(emulator).map(|text| url::endpoint(&text)).transpose()?;
        let is_local = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let file = environment.first(&["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT"])?;
        let credentials = match (parameters.flag("anonymous")?, file, environment.text("GOOGLE_SERVICE_ACCOUNT_KEY")?) {
            (Some(true), ..) => GcsCredentials::None,
            (_, Some(file), _) if !is_emulator => GcsCredentials::File(file),
            (_, _, Some(key)) if !is_emulator => GcsCredentials::Key(Secret(key)),
            _ if is_emulator || is_local => GcsCredentials::None,
            _ => GcsCredentials::Ambient,
        };
        let skip_verify = parameters.flag("skipVerify")?.unwrap_or(false);
        parameters.warn_of_the_rest(&[], shown);
        if parts.host.is_empty() || parts.host.contains(':') || parts.path.is_empty() {
            return Err("the URL names no bucket or no path; write gs://bucket/path".to_owned());
        }
        if let Some(endpoint) = endpoint.as_deref().filter(|_| credentials != GcsCredentials::None) {
            recipient::warn_of_plain_http(endpoint, shown);
        }
        let (bucket, path) = (parts.host.to_owned(), parts.path.clone());
        Ok(GcsConfig { bucket, path, endpoint, skip_verify, credentials })
    }

    /// As [`Location::recipient`](super::Location::recipient).
    pub fn recipient(&self, environment: &Environment<'_>) -> Option<String> {
        let is_google = |host: String| host.ends_with(".googleapis.com");
        match (&self.credentials, &self.endpoint) {
            (GcsCredentials::None, _) => None,
            (_, None) => recipient::at("Google Cloud Storage", true, self.skip_verify),
            (_, Some(endpoint)) => {
                let is_named = recipient::verified_host(endpoint).is_some_and(is_google)
                    || recipient::is_named(endpoint, environment, &["STORAGE_EMULATOR_HOST"]);
                recipient::at(endpoint, is_named, self.skip_verify)
            }
        }
    }

    /// Creates the store. Fails if the settings are invalid.
    pub fn connect(self, shown: Arc<str>) -> Result<CloudStore<GcsConfig>, String> {
        let clients = Clients::of(self.server(), Trust::of(self.skip_verify, None, &shown)?, None, Redirects::Refused)?;
        CloudStore::new(shown, self, clients)
    }
}

impl Service for GcsConfig {
    fn layout(&self) -> Layout {
        Layout::Decimal
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn server(&self) -> &str {
        self.endpoint.as_deref().unwrap_or("Google Cloud Storage")
    }

    fn region(&self) -> &str {
        ""
    }

    fn client(&self, _region: &str, parts: ClientParts) -> Result<Arc<dyn Bucket>, String> {
        let http = parts.connector.connect(&parts.options).map_err(|error| cloud::invalid_settings(&error))?;
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&self.bucket)
            .with_retry(parts.retry)
            .with_client_options(parts.options)
            .with_http_connector(parts.connector);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_base_url(endpoint);
        }
        let builder = match &self.credentials {
            // For writes, `object_store` asks for a credential all the same.
            GcsCredentials::None => builder
                .with_skip_signature(true)
                .with_credentials(Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: String::new() }))),
            GcsCredentials::File(path) => builder.with_application_credentials(path),
            GcsCredentials::Key(key) => builder.with_service_account_key(&key.0),
            GcsCredentials::Ambient => builder,
        };
        let client = builder.build().map_err(|error| match &self.credentials {
            GcsCredentials::File(path) => unsupported(path, &error).unwrap_or_else(|| {
                let cause = cloud::invalid_settings(&error);
                format!("{path} contains no credentials of a service account or of gcloud: {cause}")
            }),
            // The error of `object_store` may quote the key.
            GcsCredentials::Key(_) => "GOOGLE_SERVICE_ACCOUNT_KEY contains no key of a service account".to_owned(),
            _ => {
                unsupported("the credentials file of gcloud", &error).unwrap_or_else(|| cloud::invalid_settings(&error))
            }
        })?;
        let bucket = GcsBucket::new(client, http, self.endpoint.as_deref(), &self.bucket);
        bucket.map(|bucket| Arc::new(bucket) as Arc<dyn Bucket>)
    }

    fn credentials_hint(&self) -> Option<&'static str> {
        match self.credentials {
            GcsCredentials::Ambient => Some(
                "GOOGLE_APPLICATION_CREDENTIALS is not set, nor anonymous=true for a public bucket, and the machine provides none",
            ),
            GcsCredentials::File(_) => Some("the file that GOOGLE_APPLICATION_CREDENTIALS names provides none"),
            GcsCredentials::Key(_) => Some("GOOGLE_SERVICE_ACCOUNT_KEY provides none"),
            GcsCredentials::None => None,
        }
    }
}

/// Returns the error text for credentials of a type that `object_store` does not support, which it reports as an error of serde.
/// Returns None for any other error. `source` is where the credentials come from.
fn unsupported(source: &str, error: &object_store::Error) -> Option<String> {
    let text = error.to_string();
    let kind = text.split("unknown variant `").nth(1)?.split('`').next()?;
    Some(format!(
        "{source} contains credentials of the type '{kind}', which is not supported; use the key of a service account, log in \
         with gcloud auth application-default login, or run where Google provides credentials (GKE, Cloud Run)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn parse(url: &str, variables: &[(&str, &str)]) -> Result<GcsConfig, String> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        let (_, rest) = url::scheme(url).expect("a scheme");
        GcsConfig::parse(&url::UrlParts::of(rest).expect("parts"), &Environment(&find), url)
    }

    #[test]
    fn credentials_come_from_the_environment_and_emulators_need_none() {
        let of = |url: &str, variables: &[(&str, &str)]| parse(url, variables).expect(url).credentials;
        let file = ("GOOGLE_APPLICATION_CREDENTIALS", "/key.json");
        assert_eq!(of("gs://b/p", &[]), GcsCredentials::Ambient);
        assert_eq!(of("gs://b/p", &[file]), GcsCredentials::File("/key.json".to_owned()));
        assert_eq!(of("gs://b/p?anonymous=true", &[file]), GcsCredentials::None);
        assert_eq!(of("gs://b/p", &[file, ("STORAGE_EMULATOR_HOST", "localhost:4443")]), GcsCredentials::None);
        assert_eq!(of("gs://b/p?endpoint=localhost:4443", &[]), GcsCredentials::None);
        assert_eq!(of("gs://b/p?endpoint=localhost:4443", &[file]), GcsCredentials::File("/key.json".to_owned()));
        let key = ("GOOGLE_SERVICE_ACCOUNT_KEY", "{}");
        assert_eq!(of("gs://b/p", &[key]), GcsCredentials::Key(Secret("{}".to_owned())));
    }

    #[test]
    fn invalid_urls_and_credentials_are_refused() {
        for (url, part) in [("gs:///path", "no bucket"), ("gs://b", "no path"), ("gs://b/p?endpoint=a%20b", "endpoint")]
        {
            let error = parse(url, &[]).expect_err(url);
            assert!(error.contains(part), "{error}");
        }
        let dir = tempfile::tempdir().expect("a directory");
        for kind in ["external_account", "external_account_authorized_user", "impersonated_service_account"] {
            let file = dir.path().join(kind);
            let path = file.to_str().expect("text");
            std::fs::write(&file, format!(r#"{{"type":"{kind}","audience":"x","client_secret":"hush"}}"#))
                .expect("a file");
            let config = parse("gs://b/p", &[("GOOGLE_APPLICATION_CREDENTIALS", path)]).expect("a configuration");
            let error = config.connect("gs://b/p".into()).expect_err(kind);
            let expected =
                format!("{path} contains credentials of the type '{kind}', which is not supported; use the key of");
            assert!(error.starts_with(&expected) && !error.contains("hush"), "{error}");
        }
        let connect = |variable| parse("gs://b/p", &[variable]).expect("a configuration").connect("gs://b/p".into());
        let error = connect(("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/key.json")).expect_err("no file");
        assert!(error.starts_with("/no/such/key.json contains no credentials"), "{error}");
        let error = connect(("GOOGLE_SERVICE_ACCOUNT_KEY", "hush")).expect_err("no key");
        assert!(error.contains("GOOGLE_SERVICE_ACCOUNT_KEY") && !error.contains("hush"), "{error}");
    }
}
