//! Requests to a web server, with retries.

use super::WebStore;
use super::error::WebError;
use super::header::header;
use super::response::{ResponseLength, WebResponse, read_body};
use crate::store::http::ClientPurpose;
use crate::store::redirects::destination;
use crate::store::timeouts::{Allowance, one_try, unless_silent};
use crate::store::tries::{Stop, Tries};
use crate::store::{Version, etag};
use reqwest::header::{CACHE_CONTROL, CONTENT_LENGTH, ETAG, HeaderMap, LAST_MODIFIED};
use reqwest::{Client, Method, RequestBuilder};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::{Instant, timeout_at};

/// Stands for the time of a file in its version if the server sends none.
pub(super) const NO_DATE: &str = "never";

impl WebStore {
    /// Returns a request for `path`, which is relative to the replica, with the credentials.
    pub(super) fn request(&self, client: &Client, method: Method, path: &str) -> RequestBuilder {
        self.request_at(client, method, &format!("{}/{path}", self.config.base))
    }

    /// Returns a request for a URL of the server, with the credentials.
    pub(super) fn request_at(&self, client: &Client, method: Method, url: &str) -> RequestBuilder {
        let request = client.request(method, url);
        match &self.config.user {
            Some(user) => request.basic_auth(user, self.config.password.as_ref().map(|password| &password.0)),
            None => request,
        }
    }

    /// Sends a request and parses its response, and repeats that if another try may succeed. The second argument of `parse` is true
    /// if the response arrived over a new connection, after which there is no further try for an invalid response.
    pub(super) async fn send<T>(
        &self,
        length: ResponseLength,
        request: impl Fn(&Client) -> RequestBuilder,
        parse: impl Fn(WebResponse, bool) -> Result<T, WebError>,
    ) -> Result<T, WebError> {
        let allowance = Allowance::of(length.known());
        let is_waiting = AtomicBool::new(false);
        let result = async {
            let mut tries = Tries::within(allowance.deadline());
            loop {
                let purpose = if tries.is_fresh() { ClientPurpose::Fresh } else { ClientPurpose::Usual };
                let client = self.clients.client(purpose).map_err(|error| WebError::no_response(&error))?;
                is_waiting.store(true, Ordering::Relaxed);
                let permit = self.clients.permit().await;
                is_waiting.store(false, Ordering::Relaxed);
                let response = self.send_once(length, request(&client), &allowance).await;
                drop(permit);
                let error = match response.and_then(|response| parse(response, tries.is_fresh())) {
                    Err(error) => error,
                    result => return result,
                };
                match tries.next(error.trouble()).await {
                    Ok(()) => {}
                    Err(stop @ Stop::PauseTooLong { .. }) => return Err(WebError::Busy(stop.to_string())),
                    Err(Stop::Exhausted) => return Err(error),
                }
            }
        };
        match allowance.limit(result).await {
            Some(result) => result,
            None => {
                let seconds = allowance.deadline().as_secs();
                Err(WebError::NoResponse(match is_waiting.into_inner() {
                    true => format!("no turn within {seconds} seconds, because other requests to it are in progress"),
                    false => format!("no response within {seconds} seconds"),
                }))
            }
        }
    }

    async fn send_once(
        &self,
        length: ResponseLength,
        request: RequestBuilder,
        allowance: &Allowance,
    ) -> Result<WebResponse, WebError> {
        let limit = one_try(length.known());
        let until = Instant::now() + limit;
        let response = unless_silent(length.sent(), request.send()).await.map_err(WebError::NoResponse)?;
        let mut response = response.map_err(|error| WebError::no_response(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_redirection()
            && let Some(server) = destination(response.url().as_str(), &headers)
        {
            return Err(WebError::Redirected(server));
        }
        if !status.is_success() {
            return Err(WebError::status(&response));
        }
        let is_directory = response.url().path().ends_with('/');
        let body = read_body(&mut response, length, allowance);
        let body = match length.is_known(status) {
            true => timeout_at(until, body).await.unwrap_or_else(|_| {
                Err(WebError::NoResponse(format!("no response within {} seconds", limit.as_secs())))
            })?,
            // Only `allowance` limits its time, because it may be much longer.
            false => body.await?,
        };
        Ok(WebResponse { status, headers, is_directory, body })
    }

    /// Returns length and version of a file by a HEAD request. Some responses have no length, for example if they are compressed while
    /// they are sent: then the first byte is read. Fails with [`WebError::Directory`] if the server redirects to a directory.
    pub(super) async fn head(&self, path: &str) -> Result<(u64, Version), WebError> {
        let request = |client: &Client| self.request(client, Method::HEAD, path).header(CACHE_CONTROL, "no-cache");
        let parse = |response: WebResponse, _| {
            if response.is_directory {
                return Err(WebError::Directory);
            }
            let length = header(&response.headers, CONTENT_LENGTH).and_then(|length| length.parse().ok());
            Ok(length.map(|length| (length, self.version(&response.headers, length))))
        };
        match self.send(ResponseLength::Range(0), request, parse).await? {
            Some(found) => Ok(found),
            None => self.read_length(path).await,
        }
    }

    /// Returns the version of the file in a response.
    pub(super) fn version(&self, headers: &HeaderMap, size: u64) -> Version {
        let etag = header(headers, ETAG).filter(|_| self.has_etags.load(Ordering::Relaxed));
        etag::version(etag, size, header(headers, LAST_MODIFIED).unwrap_or(NO_DATE))
    }
}
