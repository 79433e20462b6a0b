//! Moments as people write them, and as we write them back.

use crate::error::Error;

/// Reads a moment in milliseconds since 1970; None for `LATEST`.
pub fn parse(text: &str) -> Result<Option<i64>, Error> {
    let _ = text;
    todo!()
}

/// RFC 3339 in UTC with milliseconds.
pub fn format(ms: i64) -> String {
    let _ = ms;
    todo!()
}
