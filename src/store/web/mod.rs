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
#[cfg(feature = "http")]
mod manifest;
mod read;
mod request;
mod response;
#[cfg(all(test, feature = "http"))]
mod tests;

pub(super) use config::{Listing, WebConfig};

use super::http::{ClientPurpose, Clients};
use super::redirects::Redirects;
use super::tls::Trust;
use super::{Chunk, Listed, Store, StoreError, Version};
use crate::ltx::{FileName, Level, Txid};
use async_trait::async_trait;
use error::WebError;
use reqwest::StatusCode;
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
        self.update_file_versions(level, name, &result);
        result
    }
}
