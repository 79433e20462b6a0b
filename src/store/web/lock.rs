//! Locks of WebDAV, which expire if the client that holds one ends.

use super::WebStore;
use super::dav::dav_method;
use super::error::WebError;
use super::header::header;
use super::response::{ResponseLength, WebResponse};
use crate::random;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use reqwest::{Client, Method, StatusCode};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// How long a lock is requested for, in seconds. It is longer than the deadlines of the request for the lock and of one request under it
/// together, so that a request under the lock has ended when the lock expires.
const TIMEOUT: u64 = 30;

const LOCK_TOKEN: HeaderName = HeaderName::from_static("lock-token");

/// The body of a LOCK request.
const LOCK: &str = r#"<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>litestream-vfs</D:owner></D:lockinfo>"#;

/// An exclusive lock of an otherwise unused file. Dropping it does not release it.
pub(super) struct DavLock {
    path: String,
    token: String,
}

impl WebStore {
    /// Fails if the server has no locks that exclude other clients. `directory` is an existing directory, relative to the replica, and
    /// `path` is a file in it. Waits until a time while another client holds the lock of this file.
    pub(super) async fn require_locks(&self, directory: &str, path: &str, until: Instant) -> Result<(), WebError> {
        /// A property of Apache's module for files.
        const MOD_DAV_FS: &str = "apache.org/dav/propset/fs";
        if self.announces(&format!("{directory}/"), MOD_DAV_FS).await? {
            return Err(no_locks("Apache's mod_dav_fs can grant one lock to two clients that request it together"));
        }
        let lock = match self.lock(path, until).await {
            Err(WebError::Status(StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED, _)) => {
                return Err(no_locks("it has no locks (class 2 of WebDAV; in nginx, dav_ext_lock enables them)"));
            }
            lock => lock?,
        };
        let second = self.request_lock(path).await;
        self.unlock(&lock).await?;
        match second {
            Err(WebError::Status(StatusCode::LOCKED, _)) => Ok(()),
            Err(error) => Err(error),
            Ok(second) => {
                self.unlock(&second).await?;
                Err(no_locks("it grants one lock to two clients"))
            }
        }
    }

    /// Returns whether the server announces an extension of WebDAV. Returns false if this is unknown, because not every server responds to
    /// OPTIONS at every path.
    async fn announces(&self, path: &str, extension: &str) -> Result<bool, WebError> {
        let request = |client: &Client| self.request(client, Method::OPTIONS, path);
        let parse = |response: WebResponse, _| {
            let mut values = response.headers.get_all("dav").into_iter().filter_map(|value| value.to_str().ok());
            Ok(values.any(|value| value.contains(extension)))
        };
        match self.send(ResponseLength::Change(0), request, parse).await {
            Err(WebError::Status(..)) => Ok(false),
            announces => announces,
        }
    }

    /// Acquires the lock of a file, which is created if it does not exist. Waits until a time while another client holds the lock.
    pub(super) async fn lock(&self, path: &str, until: Instant) -> Result<DavLock, WebError> {
        let (start, is_held) = (Instant::now(), AtomicBool::new(false));
        let acquired = async {
            loop {
                match self.request_lock(path).await {
                    Err(WebError::Status(StatusCode::LOCKED, _)) => is_held.store(true, Ordering::Relaxed),
                    lock => return lock,
                }
                sleep(Duration::from_millis(20 + random::number() % 80)).await;
            }
        };
        if let Ok(lock) = timeout_at(until, acquired).await {
            return lock;
        }
        // What was allowed: on a busy machine, the wait ends later.
        let seconds = until.saturating_duration_since(start).as_secs_f64().ceil() as u64;
        match is_held.into_inner() {
            // Until it expires, this client cannot release a lock whose token it does not know.
            true => Err(WebError::Locked(format!(
                "the lock of {path} has been held for {seconds} seconds by another client, or by a request of this one whose \
                 response was lost; a lock of this library ends after {TIMEOUT} seconds"
            ))),
            false => Err(WebError::NoResponse(format!("no response to LOCK within {seconds} seconds"))),
        }
    }

    /// Acquires the lock of a file. Fails with [`StatusCode::LOCKED`] if another client holds it.
    async fn request_lock(&self, path: &str) -> Result<DavLock, WebError> {
        let method = dav_method("LOCK")?;
        let request = |client: &Client| {
            let request = self.request(client, method.clone(), path).header("depth", "0");
            let request = request.header("timeout", format!("Second-{TIMEOUT}"));
            request.header(CONTENT_TYPE, "application/xml; charset=utf-8").body(LOCK)
        };
        let parse = |response: WebResponse, _| match header(&response.headers, LOCK_TOKEN) {
            Some(token) => Ok(DavLock { path: path.to_owned(), token: token.to_owned() }),
            None => Err(WebError::InvalidResponse("a lock without Lock-Token".to_owned())),
        };
        self.send(ResponseLength::Change(0), request, parse).await
    }

    /// Releases a lock. Fails if the lock did not exist until now, so that another client may have held it as well.
    ///
    /// If there is no response, the lock expires.
    pub(super) async fn unlock(&self, lock: &DavLock) -> Result<(), WebError> {
        let method = dav_method("UNLOCK")?;
        let tries = AtomicU32::new(0);
        let request = |client: &Client| {
            tries.fetch_add(1, Ordering::Relaxed);
            self.request(client, method.clone(), &lock.path).header(LOCK_TOKEN, &lock.token)
        };
        let released = self.send(ResponseLength::Change(0), request, |_, _| Ok(())).await;
        match released {
            // After a lost response, the lock does not exist any more.
            Err(WebError::Status(status, _)) if status.is_client_error() && tries.into_inner() == 1 => {
                Err(WebError::InvalidResponse(format!("it ended the lock of {} too early ({status})", lock.path)))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the error of a server whose locks do not exclude other clients.
fn no_locks(reason: &str) -> WebError {
    WebError::ReadOnly(format!(
        "can only be read, because {reason}, so two writers could overwrite each other's files; write to another server"
    ))
}
