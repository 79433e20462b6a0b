//! The URI that opens a replica.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use std::fmt;

/// Builds the SQLite URI of a replica, percent-encoded as SQLite requires.
///
/// ```
/// use litestream_vfs::ReplicaUri;
///
/// let uri = ReplicaUri::new("s3://bucket/app").time("2026-05-01T12:00:00Z");
/// assert_eq!(
///     uri.to_string(),
///     "file:replica.db?vfs=litestream&replica_url=s3%3A%2F%2Fbucket%2Fapp&time=2026%2D05%2D01T12%3A00%3A00Z",
/// );
/// ```
///
/// Open it with `SQLITE_OPEN_URI` (`rusqlite::Connection::open` sets it).
#[derive(Clone, PartialEq, Eq)]
pub struct ReplicaUri(String);

impl ReplicaUri {
    /// Creates a URI that opens the newest state of the replica at `replica_url` and follows the primary.
    ///
    /// The URL has the same form as in Litestream's configuration, for example `s3://bucket/path` or `file:///path`. It is checked when the
    /// database is opened.
    pub fn new(replica_url: &str) -> ReplicaUri {
        ReplicaUri("file:replica.db?vfs=litestream".to_owned()).parameter("replica_url", replica_url)
    }

    /// Opens the state at a time, in RFC 3339 or relative, such as `1 hour ago`.
    #[must_use]
    pub fn time(self, time: &str) -> ReplicaUri {
        self.parameter("time", time)
    }

    /// Opens the state after a transaction, given by its TXID as `litestream_history` shows it.
    #[must_use]
    pub fn txid(self, txid: &str) -> ReplicaUri {
        self.parameter("txid", txid)
    }

    /// Sets any parameter in `docs/configuration.md`, for example `cache_size` to `256MB`. If a parameter is set twice, SQLite uses the
    /// first value.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> ReplicaUri {
        let encoded = |text: &str| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
        // Underscores in names need no encoding.
        self.0 += &format!("&{}={}", encoded(name).replace("%5F", "_"), encoded(value));
        self
    }
}

impl fmt::Display for ReplicaUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ReplicaUri {
    /// Omits the parameters, whose values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplicaUri(…)")
    }
}
