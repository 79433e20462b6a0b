//! What one try of a request leaves for the next.

use crate::lock::Mutex;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// How a request is to be sent. Travels with it through `object_store` to [`Transport`](super::transport::Transport).
#[derive(Clone, Debug, Default)]
pub(super) struct Attempt {
    /// Over a connection that was not used before.
    pub fresh: bool,
    /// Where the beginning of a body goes that breaks off. Only for reads of files.
    pub partial: Option<Arc<Partial>>,
}

/// The beginning of a range of a file, of which the rest did not come.
#[derive(Debug, Default)]
pub(super) struct Partial(Mutex<AttemptState>);

#[derive(Clone, Debug, Default)]
struct AttemptState {
    bytes: BytesMut,
    tag: String,
}

impl Partial {
    /// How many bytes came, and the ETag of the file that they are of. None if none came.
    pub fn reached(&self) -> Option<(u64, String)> {
        let state = self.0.lock();
        (!state.bytes.is_empty()).then(|| (state.bytes.len() as u64, state.tag.clone()))
    }

    /// Keeps bytes that follow those which came before.
    pub fn keep(&self, bytes: &[u8], tag: &str) {
        let mut state = self.0.lock();
        state.bytes.extend_from_slice(bytes);
        tag.clone_into(&mut state.tag);
    }

    /// All that came, and then `rest`.
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
