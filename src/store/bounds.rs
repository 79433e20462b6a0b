//! Limits on the size of responses.
//!
//! A server can send names and bytes without end, by mistake or on purpose. Each response is therefore limited in bytes, each
//! listing in names, and both in time (see [`timeouts`](super::timeouts)). The limits are far above what a replica needs: without
//! retention, level 0 grows by at most one file per second, so a million files are twelve days of continuous writing.

/// The maximum number of names in a listing, including names that are not LTX files.
pub(super) const MOST_NAMES: usize = if cfg!(test) { 16_000 } else { 1 << 20 };

/// The maximum number of consecutive empty pages in a listing. Some services send a few.
pub(super) const MOST_EMPTY_PAGES: usize = 100;

/// The maximum length of a page of a bucket's listing in bytes. A page has at most 5,000 names, each with a few hundred bytes of
/// properties.
pub(super) const LONGEST_PAGE: u64 = 16 << 20;

/// The maximum length of a listing in a single response in bytes. WebDAV uses up to a kilobyte per file, an HTML page a quarter of
/// that.
#[cfg(any(feature = "http", feature = "webdav"))]
pub(super) const LONGEST_LISTING: u64 = 256 << 20;

/// The maximum length of all other responses in bytes, such as credentials.
pub(super) const LONGEST_OTHER: u64 = 1 << 20;

/// Returns the error text for a listing of more than [`MOST_NAMES`] names.
pub(super) fn too_many_names() -> String {
    format!(
        "a listing of more than {MOST_NAMES} names; turn Litestream's retention on, or remove other files from the replica"
    )
}

/// Fails if a listing has more than [`MOST_NAMES`] names.
pub(super) fn check_names(count: usize) -> Result<(), String> {
    if count > MOST_NAMES { Err(too_many_names()) } else { Ok(()) }
}
