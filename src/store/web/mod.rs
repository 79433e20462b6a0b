//! Replicas behind web servers, plain ones and WebDAV.

mod config;
#[cfg(feature = "webdav")]
mod dav;
mod error;
#[cfg(feature = "http")]
mod file_versions;
mod header;
#[cfg(feature = "http")]
mod index;
#[cfg(feature = "webdav")]
mod lock;
#[cfg(feature = "http")]
mod manifest;
mod read;
mod request;
mod response;
#[cfg(all(test, feature = "http"))]
mod tests;
#[cfg(feature = "webdav")]
mod write;

pub(super) use config::{Listing, WebConfig};

#[cfg(feature = "webdav")]
use super::create::{OBJECT_LENGTH, unless_missing};
use super::http::{ClientPurpose, Clients};
#[cfg(feature = "webdav")]
use super::paths::Layout;
use super::redirects::Redirects;
use super::tls::Trust;
use super::{Chunk, Listed, Store, StoreError, Version};
#[cfg(feature = "webdav")]
use super::{Creation, ObjectName};
#[cfg(feature = "webdav")]
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
#[cfg(feature = "webdav")]
use bytes::Bytes;
use error::WebError;
use reqwest::StatusCode;
#[cfg(feature = "webdav")]
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A replica behind a web server.
#[derive(Debug)]
pub(super) struct WebStore {
    /// The URL without secrets.
    url: Arc<str>,
    config: WebConfig,
    clients: Arc<Clients>,
    /// False once a listing contained no ETags. Those of other responses are then not used, because they cannot be compared.
    has_etags: AtomicBool,
    #[cfg(feature = "http")]
    files: file_versions::FileVersions,
    /// True once the page of a directory contained names of files.
    #[cfg(feature = "http")]
    has_index_pages: AtomicBool,
    /// True once a manifest was found.
    has_manifest: AtomicBool,
    /// The directories, relative to the replica, in which files can be created.
    #[cfg(feature = "webdav")]
    prepared: Mutex<HashSet<String>>,
}

impl WebStore {
    pub fn new(url: Arc<str>, config: WebConfig) -> Result<WebStore, String> {
        let trust = Trust::of(config.skip_verify, None, &url)?;
        let clients = Clients::of(&config.server, trust, None, Redirects::WithinServer)?;
        clients.client(ClientPurpose::Usual).map_err(|error| format!("cannot create an HTTP client: {error}"))?;
        Ok(WebStore {
            url,
            config,
            clients,
            has_etags: AtomicBool::new(true),
            #[cfg(feature = "http")]
            files: file_versions::FileVersions::default(),
            #[cfg(feature = "http")]
            has_index_pages: AtomicBool::new(false),
            has_manifest: AtomicBool::new(false),
            #[cfg(feature = "webdav")]
            prepared: Mutex::default(),
        })
    }

    /// Returns true if the error means that a file does not exist.
    fn is_not_found(&self, error: &WebError) -> bool {
        match error {
            WebError::Status(StatusCode::NOT_FOUND | StatusCode::GONE, _) => true,
            // A bucket without permission to list returns this status for missing objects.
            WebError::Status(StatusCode::FORBIDDEN, _) => self.has_manifest.load(Ordering::Relaxed),
            _ => false,
        }
    }

    fn error(&self, error: &WebError, url: &str) -> StoreError {
        if self.is_not_found(error) { StoreError::missing(url) } else { error.at(url, &self.config.server) }
    }
}

impl fmt::Display for WebStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[async_trait]
impl Store for WebStore {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        let files = match self.config.listing {
            #[cfg(feature = "webdav")]
            Listing::Dav => self.list_by_propfind(level, from).await,
            #[cfg(feature = "http")]
            Listing::Index => self.list_by_index(level, from).await,
        };
        match files {
            Ok(mut files) => {
                files.sort_unstable_by_key(|file| file.name);
                files.dedup_by_key(|file| file.name);
                Ok(files)
            }
            Err(error) if self.is_not_found(&error) => Ok(Vec::new()),
            Err(error) => Err(self.error(&error, &self.url)),
        }
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let result = self.read_range(level, name, range, expected).await;
        #[cfg(feature = "http")]
        self.update_file_versions(level, name, expected, &result);
        result
    }

    #[cfg(feature = "webdav")]
    async fn create(&self, object: ObjectName, bytes: Bytes) -> Result<Creation, StoreError> {
        match self.config.listing {
            Listing::Dav => self.create_object(object, &bytes).await,
            #[cfg(feature = "http")]
            Listing::Index => Err(StoreError::read_only(self.to_string())),
        }
    }

    #[cfg(feature = "webdav")]
    async fn read_object(&self, object: ObjectName) -> Result<Option<Bytes>, StoreError> {
        let path = object.path(Layout::Decimal);
        match self.config.listing {
            Listing::Dav => unless_missing(self.read_at(&path, 0..OBJECT_LENGTH, None).await),
            #[cfg(feature = "http")]
            Listing::Index => Err(StoreError::read_only(self.to_string())),
        }
    }

    #[cfg(feature = "webdav")]
    async fn delete(&self, object: ObjectName) -> Result<(), StoreError> {
        match self.config.listing {
            Listing::Dav => self.delete_object(object).await,
            #[cfg(feature = "http")]
            Listing::Index => Err(StoreError::read_only(self.to_string())),
        }
    }
}
