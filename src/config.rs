//! What a connection asks for: URI parameters, then the environment, then defaults.

use crate::error::Error;
use crate::ltx::Txid;
use std::time::Duration;

/// The moment whose state a connection reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The newest state, following the primary.
    Latest,
    /// The state after exactly this transaction.
    Txid(Txid),
    /// The state at this time, in milliseconds since 1970.
    Time(i64),
}

/// Everything a connection can set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Where the replica lies, as the user wrote it.
    pub replica_url: String,
    /// Time between two looks at the primary.
    pub poll_interval: Duration,
    /// Bound of the page cache, in bytes.
    pub cache_size: u64,
    /// The moment to read.
    pub target: Target,
    /// How long ago a poll may have confirmed the head when a read transaction starts.
    pub max_staleness: Option<Duration>,
    /// How long opening waits for a first backup.
    pub open_timeout: Duration,
}

impl Settings {
    /// Reads the settings of one open: `parameter` answers URI parameters, the environment is the process's.
    pub fn read(parameter: impl Fn(&str) -> Option<String>) -> Result<Settings, Error> {
        let _ = parameter;
        todo!()
    }
}
