//! How long a store waits, whatever it speaks.

use std::time::Duration;

/// A handshake takes three round trips: far more than any network on this planet needs for them.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that sends nothing for so long has lost the connection. Slow bodies may take longer as a whole.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a whole request may take, tries and all, before its bytes are counted.
const DEADLINE: Duration = Duration::from_secs(10);

/// Bytes a second at which a network is too slow for this to make sense.
const SLOWEST: u64 = 128 * 1024;

/// How long a request for so many bytes may take, tries and all.
pub(super) fn deadline(bytes: u64) -> Duration {
    DEADLINE.saturating_add(transfer(bytes))
}

/// How much of a deadline is there for its bytes.
pub(super) fn transfer(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST)
}
