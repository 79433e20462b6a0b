//! Creation and deletion of files over WebDAV.
//!
//! A conditional PUT is not sufficient: nginx ignores the condition, and others check it before they write, some of them piece by piece
//! under the name of the file. So the bytes are written to a draft, which then gets the name of the file by a MOVE that may not overwrite.
//! Servers look for an existing file before they move, not in the same step. The move is therefore made under a lock, and a server without
//! locks is only read.
//!
//! The locked file is another one than the file that is created. It is in the same directory, and readers ignore its name.
//!
//! nginx rejects a PUT without bytes with status 500, so an empty file cannot be created there.

use super::WebStore;
use super::dav::dav_method;
use super::error::WebError;
use super::response::{ResponseLength, WebResponse};
use crate::random;
use crate::store::paths::Layout;
use crate::store::timeouts::deadline;
use crate::store::tries::Trouble;
use crate::store::{Creation, ObjectName, StoreError};
use bytes::Bytes;
use futures_util::future::join_all;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How long the deletion of drafts may take, after the file was created or not.
const CLEANUP: Duration = Duration::from_secs(1);

/// Returns the file whose lock a client holds while it moves a draft in this directory.
fn locked_file(directory: &str) -> String {
    format!("{directory}/.lock")
}

/// The bytes of a file that does not have its name yet. Each try writes another file, because a server may still work on an earlier try.
struct Draft {
    prefix: String,
    tries: AtomicU32,
}

impl Draft {
    fn of(directory: &str, name: &str) -> Draft {
        Draft { prefix: format!("{directory}/.{name}.{:016x}", random::number()), tries: AtomicU32::new(0) }
    }

    fn at(&self, number: u32) -> String {
        format!("{}.{number}.tmp", self.prefix)
    }

    fn next(&self) -> String {
        self.at(self.tries.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Returns the number of the last try.
    fn last(&self) -> u32 {
        self.tries.load(Ordering::Relaxed)
    }
}

impl WebStore {
    /// Creates a file as [`Store::create`](crate::store::Store::create) specifies.
    pub(super) async fn create_object(&self, object: ObjectName, bytes: &Bytes) -> Result<Creation, StoreError> {
        let path = object.path(Layout::Decimal);
        let url = format!("{}/{path}", self.url);
        self.create_file(&path, bytes).await.map_err(|error| error.at(&url, &self.config.server))
    }

    /// Deletes a file, or does nothing if it does not exist.
    pub(super) async fn delete_object(&self, object: ObjectName) -> Result<(), StoreError> {
        let path = object.path(Layout::Decimal);
        match self.delete_file(&path).await {
            Err(error) if !self.is_not_found(&error) => {
                Err(error.at(&format!("{}/{path}", self.url), &self.config.server))
            }
            _ => Ok(()),
        }
    }

    /// Makes all requests of a creation within the deadline of one request.
    async fn create_file(&self, path: &str, bytes: &Bytes) -> Result<Creation, WebError> {
        let (directory, name) = path.rsplit_once('/').unwrap_or_default();
        let draft = Draft::of(directory, name);
        let allowed = deadline(bytes.len() as u64);
        let until = Instant::now() + allowed;
        let created = timeout_at(until, self.create_by_draft(&draft, directory, path, bytes, until)).await;
        let created = created.unwrap_or_else(|_| {
            let seconds = allowed.as_secs();
            Err(WebError::Busy(format!("the file was not created within {seconds} seconds")))
        });
        // During an outage the deletions would fail as well.
        if !created.as_ref().is_err_and(WebError::is_outage) {
            self.discard(&draft, matches!(created, Ok(Creation::Created))).await;
        }
        created
    }

    async fn create_by_draft(
        &self,
        draft: &Draft,
        directory: &str,
        path: &str,
        bytes: &Bytes,
        until: Instant,
    ) -> Result<Creation, WebError> {
        self.prepare(directory, until).await?;
        if let Err(error) = self.write(draft, bytes).await {
            // The directory may have been deleted.
            self.prepared.lock().remove(directory);
            return Err(error);
        }
        self.give_name(&draft.at(draft.last()), directory, path, until).await
    }

    /// Deletes the drafts of a creation, except the last one if it was moved. One that remains has a name that readers ignore.
    async fn discard(&self, draft: &Draft, is_moved: bool) {
        let numbers = 1..=draft.last() - u32::from(is_moved);
        let deletions = numbers.map(|number| async move { self.delete_file(&draft.at(number)).await });
        let _ = timeout(CLEANUP, join_all(deletions)).await;
    }

    /// Creates a directory, relative to the replica, and its parents. Fails if no file can be created in it.
    async fn prepare(&self, directory: &str, until: Instant) -> Result<(), WebError> {
        if self.prepared.lock().contains(directory) {
            return Ok(());
        }
        self.make_directories(&format!("{}/{directory}/", self.config.base)).await?;
        self.require_locks(directory, &locked_file(directory), until).await?;
        self.prepared.lock().insert(directory.to_owned());
        Ok(())
    }

    /// Creates the directory at a URL, and its parents.
    async fn make_directories(&self, url: &str) -> Result<(), WebError> {
        if self.make_directory(url).await? {
            return Ok(());
        }
        let ends = url.match_indices('/').map(|(at, _)| at + 1).filter(|end| *end > self.config.server.len() + 1);
        for end in ends {
            self.make_directory(&url[..end]).await?;
        }
        Ok(())
    }

    /// Creates the directory at a URL. Returns whether it is known to exist now: servers refuse in different ways to create a directory that
    /// exists, that has no parent, or that may not be created.
    async fn make_directory(&self, url: &str) -> Result<bool, WebError> {
        match self.change("MKCOL", 0, |client, method| self.request_at(client, method, url)).await {
            Ok(()) | Err(WebError::Status(StatusCode::METHOD_NOT_ALLOWED, _)) => Ok(true),
            Err(error @ WebError::Status(..)) if !error.is_outage() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, draft: &Draft, bytes: &Bytes) -> Result<(), WebError> {
        let put = |client: &Client, method| self.request(client, method, &draft.next()).body(bytes.clone());
        self.change("PUT", bytes.len() as u64, put).await
    }

    /// Gives a draft its name, unless a file of this name exists.
    async fn give_name(&self, draft: &str, directory: &str, path: &str, until: Instant) -> Result<Creation, WebError> {
        let lock = self.lock(&locked_file(directory), until).await?;
        let destination = format!("{}/{path}", self.config.base);
        let tries = AtomicU32::new(0);
        let rename = |client: &Client, method| {
            tries.fetch_add(1, Ordering::Relaxed);
            self.request(client, method, draft).header("destination", &destination).header("overwrite", "F")
        };
        let created = match self.change("MOVE", 0, rename).await {
            Ok(()) => Ok(Creation::Created),
            // The server may still be working on the request, so the lock stays until it expires.
            Err(error) if matches!(error.trouble(), Trouble::Transient { .. }) => return Err(error),
            // Servers return various statuses if the name exists, or if an earlier try moved the draft.
            Err(error) => match self.head(path).await {
                Ok(_) => Ok(Creation::Exists),
                // An earlier try may still move the draft.
                Err(_) if tries.load(Ordering::Relaxed) > 1 => {
                    Err(WebError::NoResponse("the last response does not show what an earlier try did".to_owned()))
                }
                Err(_) => Err(error),
            },
        };
        self.unlock(&lock).await?;
        created
    }

    async fn delete_file(&self, path: &str) -> Result<(), WebError> {
        self.change("DELETE", 0, |client, method| self.request(client, method, path)).await
    }

    /// Sends a request that changes something and uploads so many bytes.
    async fn change(
        &self,
        method: &str,
        bytes: u64,
        request: impl Fn(&Client, Method) -> RequestBuilder,
    ) -> Result<(), WebError> {
        let method = dav_method(method)?;
        let parse = |response: WebResponse, _| match response.status {
            // The page of a proxy has a successful status too.
            StatusCode::OK if method.as_str() == "MOVE" => {
                Err(WebError::InvalidResponse("MOVE with status 200".to_owned()))
            }
            // The body has the statuses of the parts that failed.
            StatusCode::MULTI_STATUS => Err(WebError::InvalidResponse(format!("{method} with several statuses"))),
            _ => Ok(()),
        };
        self.send(ResponseLength::Change(bytes), |client| request(client, method.clone()), parse).await
    }
}
