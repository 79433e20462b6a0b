//! The state that is passed from one try of a request to the next.

use crate::lock::Mutex;
use crate::store::etag;
use bytes::{Bytes, BytesMut};
use object_store::client::HttpRequest;
use std::future::Future;
use std::sync::Arc;

tokio::task_local! {
    static CURRENT: Attempt;
}

/// How a request is sent. It is passed through `object_store` to [`Transport`](super::transport::Transport) as an extension.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Attempt {
    /// Whether a new connection must be used.
    pub fresh: bool,
    /// Receives the bytes of an interrupted response. Only for reads of files.
    pub partial: Option<Arc<Partial>>,
}

impl Attempt {
    /// Sends requests to which `object_store` adds no extensions, such as deletions, as part of this attempt. They must not be sent by another
    /// task.
    pub async fn during<T>(self, requests: impl Future<Output = T>) -> T {
        CURRENT.scope(self, requests).await
    }

    /// Returns the attempt that a request is part of.
    pub fn of(request: &HttpRequest) -> Attempt {
        let attempt = request.extensions().get::<Attempt>().cloned();
        attempt.or_else(|| CURRENT.try_with(Attempt::clone).ok()).unwrap_or_default()
    }
}

/// The beginning of a range of a file whose response was interrupted.
#[derive(Debug, Default)]
pub(in crate::store) struct Partial(Mutex<PartialState>);

#[derive(Clone, Debug, Default)]
struct PartialState {
    bytes: BytesMut,
    /// The ETag in quotes.
    tag: String,
}

impl Partial {
    /// Returns the number of bytes received, and the ETag of the file in quotes. Returns None if no bytes were received.
    pub fn received(&self) -> Option<(u64, String)> {
        let state = self.0.lock();
        (!state.bytes.is_empty()).then(|| (state.bytes.len() as u64, state.tag.clone()))
    }

    /// Returns whether a response with this ETag continues the bytes kept. If not, discards them, so that the next try begins again.
    pub fn is_continued_by(&self, tag: Option<&str>) -> bool {
        let mut state = self.0.lock();
        let is_continued = state.bytes.is_empty() || tag.is_some_and(|tag| etag::quoted(tag) == state.tag);
        if !is_continued {
            *state = PartialState::default();
        }
        is_continued
    }

    /// Appends bytes.
    pub fn keep(&self, bytes: &[u8], tag: &str) {
        let mut state = self.0.lock();
        state.bytes.extend_from_slice(bytes);
        state.tag = etag::quoted(tag);
    }

    /// Returns all bytes kept, followed by `rest`.
    pub fn complete(&self, rest: Bytes) -> Bytes {
        let mut state = self.0.lock();
        if state.bytes.is_empty() {
            return rest;
        }
        let mut bytes = std::mem::take(&mut state.bytes);
        bytes.extend_from_slice(&rest);
        bytes.freeze()
    }
}
