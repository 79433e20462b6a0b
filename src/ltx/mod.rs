//! The LTX file format: bytes in, values out, and back. No I/O, no async, no SQLite.

mod name;
mod txid;

pub use name::{FileName, Level};
pub use txid::Txid;

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {}
