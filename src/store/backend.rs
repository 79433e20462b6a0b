//! From the text of a URL to a place that can be compared, shown and connected to.

#[cfg(feature = "azure")]
use super::azure::AzureConfig;
use super::environment::Environment;
use super::file::{FileConfig, FileStore};
#[cfg(feature = "gcs")]
use super::gcs::GcsConfig;
use super::masked::{masked, masked_base};
#[cfg(feature = "nats")]
use super::nats::{NatsConfig, NatsStore};
use super::s3::{self, S3Config};
#[cfg(feature = "sftp")]
use super::sftp::{SftpConfig, SftpStore};
use super::url::{self, UrlParts};
#[cfg(any(feature = "http", feature = "webdav"))]
use super::web::{Listing, WebConfig, WebStore};
use super::{Store, StoreError, StoreErrorKind};
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

/// A scheme, an example of it, the feature that it is built with, and whether this library was.
pub(super) type Scheme = (&'static str, &'static str, &'static str, bool);

const SCHEMES: [Scheme; 11] = [
    ("file", "file:///srv/replica", "", true),
    ("s3", "s3://bucket/path", "", true),
    ("gs", "gs://bucket/path", "gcs", cfg!(feature = "gcs")),
    ("abs", "abs://account@container/path", "azure", cfg!(feature = "azure")),
    ("oss", "oss://bucket/path", "", true),
    ("nats", "nats://host/bucket", "nats", cfg!(feature = "nats")),
    ("sftp", "sftp://user@host/path", "sftp", cfg!(feature = "sftp")),
    ("webdav", "webdav://user@host/path", "webdav", cfg!(feature = "webdav")),
    ("webdavs", "webdavs://user@host/path", "webdav", cfg!(feature = "webdav")),
    ("http", "http://host/path", "http", cfg!(feature = "http")),
    ("https", "https://host/path", "http", cfg!(feature = "http")),
];

pub(super) fn known(scheme: &str) -> Option<&'static Scheme> {
    SCHEMES.iter().find(|(known, ..)| *known == scheme)
}

/// The schemes as complaints show them.
fn schemes() -> String {
    let built = SCHEMES.iter().filter(|(.., is_built)| *is_built);
    let shown: Vec<String> = built.map(|(scheme, example, ..)| format!("{scheme} ({example})")).collect();
    shown.join(", ")
}

/// A replica's place: its URL together with the settings and credentials that the environment held when it was parsed.
///
/// Displayed with secrets masked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    shown: Arc<str>,
    base: Arc<str>,
    key: LocationKey,
    recipient: Option<String>,
}

/// What makes two locations the same: place, options and credentials. Never shows a secret.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LocationKey(Arc<Backend>);

#[derive(PartialEq, Eq, Hash, Debug)]
enum Backend {
    File(FileConfig),
    S3(Box<S3Config>),
    #[cfg(feature = "gcs")]
    Gcs(Box<GcsConfig>),
    #[cfg(feature = "azure")]
    Azure(Box<AzureConfig>),
    #[cfg(feature = "nats")]
    Nats(Box<NatsConfig>),
    #[cfg(feature = "sftp")]
    Sftp(Box<SftpConfig>),
    #[cfg(any(feature = "http", feature = "webdav"))]
    Web(Box<WebConfig>),
}

impl Location {
    /// Reads a replica URL, and the process's environment as it is now.
    ///
    /// Fails with [`StoreErrorKind::Config`] when no replica can be there.
    pub fn parse(url: &str) -> Result<Location, StoreError> {
        Location::parse_with(url, |name| std::env::var_os(name))
    }

    /// [`Location::parse`] with another environment than the process's: `variable` answers what a name holds.
    pub fn parse_with(url: &str, variable: impl Fn(&str) -> Option<OsString>) -> Result<Location, StoreError> {
        let shown: Arc<str> = masked(url).into();
        let environment = Environment(&variable);
        let place = place(url, &environment, &shown);
        let place = place.map_err(|cause| StoreError::new(StoreErrorKind::Config, shown.clone(), cause))?;
        let recipient = recipient(url, &place, &environment);
        Ok(Location { shown, base: masked_base(url).into(), key: LocationKey(Arc::new(place)), recipient })
    }

    /// The server that would be sent credentials that the URL does not bring itself, although neither they are for it nor the
    /// environment names it: the URL alone does. None if there is none. Equal texts mean equal servers.
    pub fn recipient(&self) -> Option<&str> {
        self.recipient.as_deref()
    }

    /// What connections that may share one replica have in common.
    pub fn key(&self) -> &LocationKey {
        &self.key
    }

    /// Makes a client for the place. Asks nothing of it yet.
    pub fn connect(&self) -> Result<Arc<dyn Store>, StoreError> {
        let base = self.base.clone();
        let store = match &*self.key.0 {
            Backend::File(place) => Ok(shared(FileStore::new(base, place.clone()))),
            Backend::S3(place) => s3::connect(base, S3Config::clone(place)).map(shared),
            #[cfg(feature = "gcs")]
            Backend::Gcs(place) => GcsConfig::clone(place).connect(base).map(shared),
            #[cfg(feature = "azure")]
            Backend::Azure(place) => AzureConfig::clone(place).connect(base).map(shared),
            #[cfg(feature = "nats")]
            Backend::Nats(place) => Ok(shared(NatsStore::new(base, NatsConfig::clone(place)))),
            #[cfg(feature = "sftp")]
            Backend::Sftp(place) => Ok(shared(SftpStore::new(base, SftpConfig::clone(place)))),
            #[cfg(any(feature = "http", feature = "webdav"))]
            Backend::Web(place) => WebStore::new(base, WebConfig::clone(place)).map(shared),
        };
        store.map_err(|cause| StoreError::new(StoreErrorKind::Config, self.shown.clone(), cause))
    }
}

fn shared(store: impl Store + 'static) -> Arc<dyn Store> {
    Arc::new(store)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn place(url: &str, environment: &Environment<'_>, shown: &str) -> Result<Backend, String> {
    let Some((scheme, rest)) = url::scheme(url) else {
        let written = if shown.is_empty() { "it is empty".to_owned() } else { "it has no scheme".to_owned() };
        return Err(format!("this is no replica URL, {written}; the schemes are {}", schemes()));
    };
    let parts = || {
        let example = known(&scheme).map_or("s3://bucket/path", |(_, example, ..)| example);
        let parts =
            UrlParts::of(rest).ok_or_else(|| format!("two slashes are missing behind the scheme, as in {example}"))?;
        // Decoded, it would not be told from the colon before a password.
        let user = parts.userinfo.map(|info| url::cut(info, ':').0.to_ascii_lowercase()).unwrap_or_default();
        if user.contains("%3a") {
            return Err("its user holds an encoded colon; write user:password with the colon as it is".to_owned());
        }
        match url::is_host(parts.host) {
            true => Ok(parts),
            false => Err(format!("its host has characters that no host has; write {example}")),
        }
    };
    match scheme.as_str() {
        "file" => FileConfig::parse(rest).map(Backend::File),
        "s3" => S3Config::parse(&parts()?, environment, shown).map(|place| Backend::S3(place.into())),
        "oss" => S3Config::parse_oss(&parts()?, environment, shown).map(|place| Backend::S3(place.into())),
        #[cfg(feature = "gcs")]
        "gs" | "gcs" => GcsConfig::parse(&parts()?, environment, shown).map(|place| Backend::Gcs(place.into())),
        #[cfg(feature = "azure")]
        "abs" => AzureConfig::parse(&parts()?, environment, shown).map(|place| Backend::Azure(place.into())),
        #[cfg(feature = "nats")]
        "nats" => NatsConfig::parse(&parts()?, environment, shown).map(|place| Backend::Nats(place.into())),
        #[cfg(feature = "sftp")]
        "sftp" => SftpConfig::parse(&parts()?, environment, shown).map(|place| Backend::Sftp(place.into())),
        #[cfg(feature = "webdav")]
        "webdav" => WebConfig::parse("http", Listing::Dav, &parts()?, environment, shown).map(web),
        #[cfg(feature = "webdav")]
        "webdavs" => WebConfig::parse("https", Listing::Dav, &parts()?, environment, shown).map(web),
        #[cfg(feature = "http")]
        "http" | "https" => WebConfig::parse(&scheme, Listing::Index, &parts()?, environment, shown).map(web),
        other => Err(match known(other) {
            Some((.., feature, _)) => format!("this library was built without the feature '{feature}', which reads it"),
            None => format!("the scheme '{other}' is not known; the schemes are {}", schemes()),
        }),
    }
}

/// As [`Location::recipient`].
fn recipient(url: &str, place: &Backend, environment: &Environment<'_>) -> Option<String> {
    let (_, rest) = url::scheme(url)?;
    #[cfg_attr(
        not(any(feature = "azure", feature = "http", feature = "nats", feature = "sftp", feature = "webdav")),
        expect(unused_variables, reason = "the other backends have no credentials in their URLs")
    )]
    let parts = &UrlParts::of(rest)?;
    match place {
        Backend::File(_) => None,
        Backend::S3(place) => place.recipient(environment),
        #[cfg(feature = "gcs")]
        Backend::Gcs(place) => place.recipient(environment),
        #[cfg(feature = "azure")]
        Backend::Azure(place) => place.recipient(parts, environment),
        #[cfg(feature = "nats")]
        Backend::Nats(place) => place.recipient(parts),
        #[cfg(feature = "sftp")]
        Backend::Sftp(place) => place.recipient(parts),
        #[cfg(any(feature = "http", feature = "webdav"))]
        Backend::Web(place) => place.recipient(parts),
    }
}

#[cfg(any(feature = "http", feature = "webdav"))]
fn web(place: WebConfig) -> Backend {
    Backend::Web(place.into())
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
    fn what_is_no_replica_url_is_refused_with_the_known_schemes() {
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
    fn a_key_is_shared_by_the_same_place_options_and_credentials() {
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
    fn no_secret_is_ever_shown() {
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
