//! Parses a replica URL into the configuration of its backend, and connects to it.

#[cfg(feature = "azure")]
use super::azure::AzureConfig;
use super::environment::Environment;
use super::file::{FileConfig, FileStore};
#[cfg(feature = "gcs")]
use super::gcs::GcsConfig;
#[cfg(feature = "nats")]
use super::nats::{NatsConfig, NatsStore};
use super::s3::{self, S3Config};
#[cfg(feature = "sftp")]
use super::sftp::{SftpConfig, SftpStore};
use super::url::{self, UrlParts};
#[cfg(any(feature = "http", feature = "webdav"))]
use super::web::{Listing, WebConfig, WebStore};
use super::{Store, schemes};
use std::sync::Arc;

/// The configuration of a replica's backend: URL, options and credentials.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(super) enum Backend {
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

impl Backend {
    /// Parses a URL. `shown` is its masked form, for warnings.
    pub fn parse(url: &str, environment: &Environment<'_>, shown: &str) -> Result<Backend, String> {
        let Some((scheme, rest)) = url::scheme(url) else {
            let problem = if shown.is_empty() { "it is empty" } else { "it has no scheme" };
            return Err(format!("not a replica URL: {problem}; the schemes are {}", schemes::supported()));
        };
        let parts = || parse_parts(&scheme, rest);
        match scheme.as_str() {
            "file" => FileConfig::parse(rest).map(Backend::File),
            "s3" => S3Config::parse(&parts()?, environment, shown).map(|config| Backend::S3(config.into())),
            "oss" => S3Config::parse_oss(&parts()?, environment, shown).map(|config| Backend::S3(config.into())),
            #[cfg(feature = "gcs")]
            "gs" | "gcs" => GcsConfig::parse(&parts()?, environment, shown).map(|config| Backend::Gcs(config.into())),
            #[cfg(feature = "azure")]
            "abs" => AzureConfig::parse(&parts()?, environment, shown).map(|config| Backend::Azure(config.into())),
            #[cfg(feature = "nats")]
            "nats" => NatsConfig::parse(&parts()?, environment, shown).map(|config| Backend::Nats(config.into())),
            #[cfg(feature = "sftp")]
            "sftp" => SftpConfig::parse(&parts()?, environment, shown).map(|config| Backend::Sftp(config.into())),
            #[cfg(feature = "webdav")]
            "webdav" => WebConfig::parse("http", Listing::Dav, &parts()?, environment, shown).map(web),
            #[cfg(feature = "webdav")]
            "webdavs" => WebConfig::parse("https", Listing::Dav, &parts()?, environment, shown).map(web),
            #[cfg(feature = "http")]
            "http" | "https" => WebConfig::parse(&scheme, Listing::Index, &parts()?, environment, shown).map(web),
            other => Err(match schemes::find(other) {
                Some(known) => format!(
                    "the scheme '{other}' needs the feature '{}', which this library was built without",
                    known.feature
                ),
                None => format!("the scheme '{other}' is unknown; the schemes are {}", schemes::supported()),
            }),
        }
    }

    /// As [`Location::recipient`](super::Location::recipient). `url` is the URL that the backend was parsed from.
    pub fn recipient(&self, url: &str, environment: &Environment<'_>) -> Option<String> {
        let (_, rest) = url::scheme(url)?;
        #[cfg_attr(
            not(any(feature = "azure", feature = "http", feature = "nats", feature = "sftp", feature = "webdav")),
            expect(unused_variables, reason = "the other backends have no credentials in their URLs")
        )]
        let parts = &UrlParts::of(rest)?;
        match self {
            Backend::File(_) => None,
            Backend::S3(config) => config.recipient(environment),
            #[cfg(feature = "gcs")]
            Backend::Gcs(config) => config.recipient(environment),
            #[cfg(feature = "azure")]
            Backend::Azure(config) => config.recipient(parts, environment),
            #[cfg(feature = "nats")]
            Backend::Nats(config) => config.recipient(parts),
            #[cfg(feature = "sftp")]
            Backend::Sftp(config) => config.recipient(parts),
            #[cfg(any(feature = "http", feature = "webdav"))]
            Backend::Web(config) => config.recipient(parts),
        }
    }

    /// As [`Location::place`](super::Location::place). `shown` is the masked URL.
    pub fn place(&self, shown: &str) -> String {
        match self {
            // The URL may be relative to the current directory.
            Backend::File(config) => format!("file {:?}", config.candidates()),
            // The environment may name another server.
            Backend::S3(config) => format!("{shown} {:?}", config.endpoint),
            #[cfg(feature = "gcs")]
            Backend::Gcs(config) => format!("{shown} {:?}", config.endpoint()),
            #[cfg(feature = "azure")]
            Backend::Azure(config) => format!("{shown} {:?}", config.endpoint()),
            #[cfg(any(feature = "nats", feature = "sftp", feature = "http", feature = "webdav"))]
            _ => shown.to_owned(),
        }
    }

    /// Creates the store. Sends no request. `base` is the masked URL, to which the names of files are appended in errors.
    pub fn connect(&self, base: Arc<str>) -> Result<Arc<dyn Store>, String> {
        match self {
            Backend::File(config) => Ok(shared(FileStore::new(base, config.clone()))),
            Backend::S3(config) => s3::connect(base, S3Config::clone(config)).map(shared),
            #[cfg(feature = "gcs")]
            Backend::Gcs(config) => GcsConfig::clone(config).connect(base).map(shared),
            #[cfg(feature = "azure")]
            Backend::Azure(config) => AzureConfig::clone(config).connect(base).map(shared),
            #[cfg(feature = "nats")]
            Backend::Nats(config) => Ok(shared(NatsStore::new(base, NatsConfig::clone(config)))),
            #[cfg(feature = "sftp")]
            Backend::Sftp(config) => Ok(shared(SftpStore::new(base, SftpConfig::clone(config)))),
            #[cfg(any(feature = "http", feature = "webdav"))]
            Backend::Web(config) => WebStore::new(base, WebConfig::clone(config)).map(shared),
        }
    }
}

/// Parses and checks the part of a URL after the scheme, for every backend except directories.
fn parse_parts<'a>(scheme: &str, rest: &'a str) -> Result<UrlParts<'a>, String> {
    let example = schemes::find(scheme).map_or("s3://bucket/path", |scheme| scheme.example);
    let parts =
        UrlParts::of(rest).ok_or_else(|| format!("two slashes are missing after the scheme; write {example}"))?;
    parts.user_info()?;
    match url::is_host(parts.host) {
        true => Ok(parts),
        false => Err(format!("the host contains characters that are not allowed in a host; write {example}")),
    }
}

#[cfg(any(feature = "http", feature = "webdav"))]
fn web(config: WebConfig) -> Backend {
    Backend::Web(config.into())
}

fn shared(store: impl Store + 'static) -> Arc<dyn Store> {
    Arc::new(store)
}
