//! Shared code of the tests: the primary, the host programs that load the extension, servers, and comparisons of data.

// Litestream does not run on Windows, so tests with a primary do not either.
#[cfg(unix)]
pub mod archive;
#[cfg(unix)]
pub mod bank;
#[cfg(target_os = "linux")]
pub mod bucket;
#[cfg(unix)]
pub mod extension;
#[cfg(unix)]
pub mod files;
#[cfg(unix)]
pub mod hosts;
pub mod keys;
#[cfg(unix)]
pub mod litestream;
#[cfg(unix)]
pub mod lossy;
#[cfg(all(unix, feature = "nats"))]
pub mod nats;
#[cfg(unix)]
pub mod pages;
#[cfg(unix)]
pub mod programs;
#[cfg(unix)]
pub mod random;
#[cfg(unix)]
pub mod random_changes;
#[cfg(unix)]
pub mod random_column;
#[cfg(unix)]
pub mod random_schema;
#[cfg(unix)]
pub mod reader;
pub mod recorder;
#[cfg(unix)]
pub mod row_model;
pub mod s3;
#[cfg(unix)]
pub mod sample;
#[cfg(unix)]
pub mod servers;
#[cfg(unix)]
pub mod session;
#[cfg(unix)]
pub mod shop;
#[cfg(target_os = "linux")]
pub mod snapshot;
#[cfg(all(unix, feature = "sftp"))]
pub mod ssh;
#[cfg(unix)]
pub mod web;
#[cfg(unix)]
pub mod wire;
#[cfg(unix)]
pub mod workload;
#[cfg(unix)]
pub mod written;
