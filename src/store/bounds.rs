//! How much is taken from a server, whatever it sends.
//!
//! A server can send names and bytes without end, by mistake or on purpose. Each answer is therefore bounded in bytes, each
//! listing in names, and both in time (see [`timeouts`](super::timeouts)). The bounds are far above what a replica needs:
//! without retention level 0 gains a file per second at most, so a million files are twelve days of writing without a pause.

/// The most names that one listing may bring, those of foreign files included.
pub(super) const MOST_NAMES: usize = if cfg!(test) { 16_000 } else { 1 << 20 };

/// The most pages of a listing in a row that may bring no name at all. Some services send a few.
pub(super) const MOST_EMPTY_PAGES: usize = 100;

/// The longest page of a bucket's listing. A page has at most 5,000 names, each with a few hundred bytes of properties.
pub(super) const LONGEST_PAGE: u64 = 16 << 20;

/// The longest listing that comes in one answer: WebDAV takes up to a kilobyte for a file, a page of HTML a quarter of that.
#[cfg(any(feature = "http", feature = "webdav"))]
pub(super) const LONGEST_LISTING: u64 = 256 << 20;

/// The longest of all other answers, such as credentials.
pub(super) const LONGEST_OTHER: u64 = 1 << 20;

/// What is wrong with a listing of more names than [`MOST_NAMES`].
pub(super) fn too_many_names() -> String {
    format!("a listing of more than {MOST_NAMES} names; turn Litestream's retention on, or find out what else is there")
}

/// Fails for more names than a listing may bring.
#[cfg(any(feature = "http", feature = "nats", feature = "sftp", feature = "webdav"))]
pub(super) fn check_names(count: usize) -> Result<(), String> {
    if count > MOST_NAMES { Err(too_many_names()) } else { Ok(()) }
}
