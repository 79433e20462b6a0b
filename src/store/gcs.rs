//! Replicas in Google Cloud Storage.

use super::cloud::{self, Bucket, ClientParts, CloudStore, Service};
use super::environment::{Environment, Secret};
use super::http::{Clients, Redirects};
use super::parameters::Parameters;
use super::paths::Layout;
use super::tls::Trust;
use super::{recipient, url};
use async_trait::async_trait;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use std::sync::Arc;

/// Where a replica lies in Google Cloud Storage, and how to ask for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct GcsConfig {
    bucket: String,
    path: String,
    /// With its scheme; None for Google's own.
    endpoint: Option<String>,
    skip_verify: bool,
    credentials: GcsCredentials,
}

/// What requests are signed with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum GcsCredentials {
    /// Nothing: the bucket is public, or the server an emulator.
    None,
    /// A file of a service account, or of a user whom `gcloud` let in.
    File(String),
    /// What such a file of a service account holds.
    Key(Secret),
    /// The file that `gcloud` keeps at home, or else those of the machine.
    Ambient,
}

impl GcsConfig {
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
            return Err("it names no bucket, or no path in it; write gs://bucket/path".to_owned());
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

    /// Makes a store of the place.
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
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&self.bucket)
            .with_retry(parts.retry)
            .with_client_options(parts.options)
            .with_http_connector(parts.connector);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_base_url(endpoint);
        }
        let builder = match &self.credentials {
            GcsCredentials::None => builder.with_skip_signature(true),
            GcsCredentials::File(path) => builder.with_application_credentials(path),
            GcsCredentials::Key(key) => builder.with_service_account_key(&key.0),
            GcsCredentials::Ambient => builder,
        };
        let bucket = builder.build().map_err(|error| match &self.credentials {
            GcsCredentials::File(path) => foreign(path, &error).unwrap_or_else(|| {
                format!("{path} holds no credentials of a service account or of gcloud's: {}", cloud::unusable(&error))
            }),
            // What is wrong with a key may quote it.
            GcsCredentials::Key(_) => "GOOGLE_SERVICE_ACCOUNT_KEY holds no key of a service account".to_owned(),
            _ => foreign("the file that gcloud keeps at home", &error).unwrap_or_else(|| cloud::unusable(&error)),
        })?;
        Ok(Arc::new(bucket))
    }

    fn lacks(&self) -> Option<&'static str> {
        match self.credentials {
            GcsCredentials::Ambient => Some(
                "GOOGLE_APPLICATION_CREDENTIALS is not set, nor anonymous=true for a public bucket, and no machine gives any",
            ),
            GcsCredentials::File(_) => Some("the file that GOOGLE_APPLICATION_CREDENTIALS names gives none"),
            GcsCredentials::Key(_) => Some("GOOGLE_SERVICE_ACCOUNT_KEY gives none"),
            GcsCredentials::None => None,
        }
    }
}

/// What is to be said of credentials of a type that `object_store` does not read; it tells that in the words of serde.
fn foreign(holder: &str, error: &object_store::Error) -> Option<String> {
    let text = error.to_string();
    let kind = text.split("unknown variant `").nth(1)?.split('`').next()?;
    Some(format!(
        "{holder} holds credentials of the type '{kind}', which are not read here; use the key of a service account, let a \
         user in by gcloud auth application-default login, or run where Google gives the workload its own (GKE, Cloud Run)"
    ))
}

#[async_trait]
impl Bucket for GoogleCloudStorage {
    async fn authorize(&self) -> Result<(), object_store::Error> {
        self.credentials().get_credential().await.map(drop)
    }
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
    fn credentials_are_those_that_google_names_and_none_for_an_emulator() {
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
    fn what_cannot_be_right_is_refused_with_its_name() {
        for (url, part) in [("gs:///path", "no bucket"), ("gs://b", "no path"), ("gs://b/p?endpoint=a%20b", "endpoint")]
        {
            let complaint = parse(url, &[]).expect_err(url);
            assert!(complaint.contains(part), "{complaint}");
        }
        let dir = tempfile::tempdir().expect("a directory");
        for kind in ["external_account", "external_account_authorized_user", "impersonated_service_account"] {
            let file = dir.path().join(kind);
            let path = file.to_str().expect("text");
            std::fs::write(&file, format!(r#"{{"type":"{kind}","audience":"x","client_secret":"hush"}}"#))
                .expect("a file");
            let place = parse("gs://b/p", &[("GOOGLE_APPLICATION_CREDENTIALS", path)]).expect("a place");
            let complaint = place.connect("gs://b/p".into()).expect_err(kind);
            let told =
                format!("{path} holds credentials of the type '{kind}', which are not read here; use the key of");
            assert!(complaint.starts_with(&told) && !complaint.contains("hush"), "{complaint}");
        }
        let connect = |variable| parse("gs://b/p", &[variable]).expect("a place").connect("gs://b/p".into());
        let complaint = connect(("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/key.json")).expect_err("no file");
        assert!(complaint.starts_with("/no/such/key.json holds no credentials"), "{complaint}");
        let complaint = connect(("GOOGLE_SERVICE_ACCOUNT_KEY", "hush")).expect_err("no key");
        assert!(complaint.contains("GOOGLE_SERVICE_ACCOUNT_KEY") && !complaint.contains("hush"), "{complaint}");
    }
}
