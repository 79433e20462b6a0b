//! Times as text, in both directions.
//!
//! | form | meaning |
//! |---|---|
//! | `2026-01-31T12:00:00.123Z`, `2026-01-31 14:00:00+02:00` | a time; the seconds, their fraction and the offset are optional |
//! | `2026-01-31` | the start of that day |
//! | `30s ago`, `5 mins ago`, `2 hours ago`, `1 month ago` | seconds, minutes, hours, days, weeks or months before now |
//! | `yesterday` | one day before now |
//! | `last monday` | the start of the last Monday before today |
//! | `now` | the newest state, without following the primary |
//! | `LATEST` | the newest state, following the primary |
//!
//! The case of letters does not matter. Times without an offset are in UTC, and days start at midnight UTC. Relative times count from the
//! host's clock, because that is the clock of the user who writes `5 minutes ago`, even if the primary has been idle for a day.

mod parse;
mod stamp;
#[cfg(test)]
mod tests;

pub use parse::parse;
pub(crate) use stamp::Stamp;

use chrono::{DateTime, SecondsFormat, Utc};
use std::time::Duration;

/// A point in time, as a user selects it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Moment {
    /// `LATEST`: the newest state, following the primary.
    Latest,
    /// `now`: the state that is the newest now.
    Now,
    /// A time, in milliseconds since 1970.
    At(i64),
}

/// Formats a time as RFC 3339 in UTC with milliseconds. A time outside the calendar becomes 1970 or
/// its last time.
pub fn format(ms: i64) -> String {
    let edge = if ms < 0 { DateTime::UNIX_EPOCH } else { DateTime::<Utc>::MAX_UTC };
    DateTime::from_timestamp_millis(ms).unwrap_or(edge).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Returns a duration in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the time of the host's clock, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}
