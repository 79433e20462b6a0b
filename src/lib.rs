//! A SQLite VFS that reads a database directly from its [Litestream](https://litestream.io) replica, without restoring it first. Pages are
//! fetched on demand, changes of the primary become visible about a second after they were replicated, and a connection can read any past
//! state that the replica contains.
//!
//! This crate is for programs that link SQLite, for example through `rusqlite`. [`register`] makes the VFS available, and a [`ReplicaUri`]
//! opens a replica. For hosts that load extensions, such as Python, Node.js and the `sqlite3` shell, the
//! [repository](https://github.com/litestream-vfs/litestream-vfs) builds a loadable library.
//!
//! ```
//! use litestream_vfs::ReplicaUri;
//! use rusqlite::Connection;
//!
//! litestream_vfs::register()?;
//! let replica = format!("file://{}/sample/replica", env!("CARGO_MANIFEST_DIR"));
//! let db = Connection::open(ReplicaUri::new(&replica).to_string())?;
//! let orders: i64 = db.query_row("SELECT count(*) FROM orders", [], |row| row.get(0))?;
//!
//! // The same database at the earliest time in the replica.
//! let earliest: String = db.query_row("SELECT min(time) FROM litestream_history", [], |row| row.get(0))?;
//! let past = Connection::open(ReplicaUri::new(&replica).time(&earliest).to_string())?;
//! let before: i64 = past.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
//! # assert!(orders > 0 && before > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! URLs, parameters and environment variables are described in [`docs/configuration.md`][configuration]; SQL functions, pragmas and
//! tables are described in [`docs/sql.md`][sql].
//!
//! [configuration]: https://github.com/litestream-vfs/litestream-vfs/blob/main/docs/configuration.md
//! [sql]: https://github.com/litestream-vfs/litestream-vfs/blob/main/docs/sql.md
//!
//! # Cargo features
//!
//! | feature | replicas in |
//! |---|---|
//! | – | directories, S3 and S3-compatible stores |
//! | `azure`, `gcs` | Azure Blob Storage, Google Cloud Storage |
//! | `http`, `webdav` | plain web servers (read-only), WebDAV |
//! | `nats` | NATS JetStream object stores |
//! | `sftp` | SFTP |
//!
//! All features are on by default.

#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod error;
mod last_error;
mod lock;
mod log;
#[doc(hidden)]
pub mod ltx;
mod pread;
mod process;
mod progress;
mod random;
#[doc(hidden)]
pub mod replica;
mod runtime;
mod scratch;
mod sqlite;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod time;
mod uri;

pub use config::forbid_writing;
#[doc(hidden)]
pub use sqlite::entry;
pub use sqlite::entry::{RegisterError, register};
pub use uri::ReplicaUri;
