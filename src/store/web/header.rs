//! Headers of responses.

use reqwest::header::{HeaderMap, HeaderName};

/// Returns the value of a header, or None if it is absent or not text.
pub(super) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
