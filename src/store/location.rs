//! A parsed replica URL: it can be compared, displayed and connected to.

use super::backend::Backend;
use super::environment::Environment;
use super::masked::{masked, masked_base};
use super::{Store, StoreError, StoreErrorKind};
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

/// A replica URL together with the settings and credentials that the environment had when it was parsed.
///
/// Displays as the URL with secrets masked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    shown: Arc<str>,
    base: Arc<str>,
    key: LocationKey,
    place: Arc<str>,
    recipient: Option<String>,
}

/// The identity of a location: URL, options and credentials. Its debug output contains no secret.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LocationKey(Arc<Backend>);

impl Location {
    /// Parses a replica URL, with the current environment of the process.
    ///
    /// Fails with [`StoreErrorKind::Config`] if the URL or a setting is invalid.
    pub fn parse(url: &str) -> Result<Location, StoreError> {
        Location::parse_with(url, |name| std::env::var_os(name))
    }

    /// Parses a replica URL with another environment: `variable` returns the value of a variable.
    pub fn parse_with(url: &str, variable: impl Fn(&str) -> Option<OsString>) -> Result<Location, StoreError> {
        let shown: Arc<str> = masked(url).into();
        let environment = Environment(&variable);
        let backend = Backend::parse(url, &environment, &shown);
        let backend = backend.map_err(|cause| StoreError::new(StoreErrorKind::Config, shown.clone(), cause))?;
        let recipient = backend.recipient(url, &environment);
        let (base, place) = (masked_base(url).into(), backend.place(&shown).into());
        Ok(Location { shown, base, key: LocationKey(Arc::new(backend)), place, recipient })
    }

    /// Returns the server that would receive credentials which are not part of the URL, although only the URL names that server.
    ///
    /// Returns None if there is no such server: the credentials are in the URL, they are for the service that receives them, or the
    /// environment names the server. Equal texts mean equal servers.
    pub fn recipient(&self) -> Option<&str> {
        self.recipient.as_deref()
    }

    /// Returns the identity. Connections whose keys are equal may share a replica.
    pub fn key(&self) -> &LocationKey {
        &self.key
    }

    /// Returns where the replica is, without credentials. Equal texts mean the same replica, for all processes of this machine.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Creates the store. Sends no request.
    pub fn connect(&self) -> Result<Arc<dyn Store>, StoreError> {
        let store = self.key.0.connect(self.base.clone());
        store.map_err(|cause| StoreError::new(StoreErrorKind::Config, self.shown.clone(), cause))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, variables: &[(&str, &str)]) -> Result<Location, StoreError> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        Location::parse_with(url, find)
    }

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "me"), ("AWS_SECRET_ACCESS_KEY", "hush")];

    #[test]
    fn an_invalid_url_is_refused_with_the_list_of_schemes() {
        for url in ["", "nonsense", "/srv/replica", r"C:\replica", "ftp://host/path"] {
            let error = parse(url, &[]).expect_err(url);
            assert_eq!(error.kind(), StoreErrorKind::Config, "{url}");
            assert!(error.to_string().contains("file:///srv/replica"), "{error}");
            assert!(error.to_string().contains("s3://bucket/path"), "{error}");
        }
        for url in ["s3:///path", "s3:bucket/path", "s3://bucket", "s3://bucket/", "s3://bucket/.", "file:", "file://"]
        {
            let error = parse(url, &KEYS).expect_err(url);
            assert_eq!(error.kind(), StoreErrorKind::Config, "{url}");
            assert!(!error.to_string().contains("the schemes are"), "{error}");
        }
    }

    #[test]
    fn keys_are_equal_for_the_same_url_options_and_credentials() {
        let key = |url: &str, variables: &[(&str, &str)]| parse(url, variables).expect(url).key().clone();
        let plain = key("s3://bucket/app?force-path-style=true", &KEYS);
        assert_eq!(plain, key("S3://bucket//app/./?forcePathStyle=1&partSize=7", &KEYS));
        assert_ne!(plain, key("s3://bucket/other?force-path-style=true", &KEYS));
        assert_ne!(plain, key("s3://bucket/app", &KEYS));
        assert_ne!(plain, key("s3://bucket/app?force-path-style=true", &[KEYS[0], ("AWS_SECRET_ACCESS_KEY", "x")]));
        assert_eq!(key("file:///srv/app", &[]), key("file:///srv//x/../app/?y=1", &KEYS));
        assert_ne!(key("file:///srv/app", &[]), key("file:///srv/App", &[]));
    }

    #[test]
    fn the_place_is_that_of_the_replica_and_contains_no_secret() {
        let place = |url: &str, variables: &[(&str, &str)]| parse(url, variables).expect(url).place().to_owned();
        let other = [KEYS[0], ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_ENDPOINT_URL_S3", "http://localhost:9000")];
        let url = "s3://bucket/app";
        assert_eq!(place(url, &KEYS), place(url, &other[..2]));
        assert_ne!(place(url, &KEYS), place(url, &other));
        assert_ne!(place(url, &KEYS), place("s3://bucket/other", &KEYS));
        assert!(!format!("{}{}", place(url, &other), place("s3://me:secret@bucket/app", &[])).contains("secret"));
        assert_eq!(place("file:///srv/app", &[]), place("file:/srv//x/../app/", &[]));
        assert_ne!(place("file:app", &[]), "file:app", "a relative path is another place in another directory");
    }

    #[test]
    fn no_secret_is_shown() {
        let sse = "sseCustomerKey=aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=";
        let variables = [KEYS[0], KEYS[1], ("AWS_SESSION_TOKEN", "hush-token")];
        let location = parse(&format!("s3://me:hush@bucket/app?{sse}"), &variables).expect("a location");
        let store = location.connect().expect("a store");
        for shown in [format!("{location} {location:?} {location:#?}"), format!("{store} {store:?} {store:#?}")] {
            assert!(!shown.contains("hush") && !shown.contains("aHVza"), "{shown}");
        }
        #[cfg(feature = "sftp")]
        for url in
            ["sftp://me:hush@host/app?key-path=k&key-passphrase=hush", "sftp://me:hu%73h-hush@host/app?password=hush"]
        {
            let location = parse(url, &[]).expect(url);
            let store = location.connect().expect("a store");
            let shown = format!("{location} {location:?} {store} {store:?}");
            assert!(!shown.contains("hush"), "{shown}");
        }
        #[cfg(feature = "nats")]
        for url in [
            "nats://me:hush@host/app",
            "nats://hush@host/app",
            "nats://host/app?token=hush",
            "nats://host/app?seed=hush",
        ] {
            let location = parse(url, &[("LITESTREAM_NATS_JWT", "hush"), ("LITESTREAM_NATS_SEED", "hush")]).expect(url);
            let store = location.connect().expect("a store");
            let shown = format!("{location} {location:?} {store} {store:?}");
            assert!(!shown.contains("hush"), "{shown}");
            let location = parse(url, &[]).expect(url);
            let shown = format!("{location} {location:?}");
            assert!(!shown.contains("hush"), "{shown}");
        }
        let error = parse("s3://me:hush@/app?token=hush", &variables).expect_err("no bucket");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}
