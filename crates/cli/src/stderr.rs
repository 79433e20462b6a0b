//! Lines on stderr.

use crate::output::printable;
use std::fmt::Display;
use std::io::{self, Write};

/// Writes a message. Control characters are escaped, because a message can contain what a replica contains. Line breaks stay.
///
/// Nothing happens if nobody reads it: the exit code must not depend on that.
pub fn say(message: impl Display) {
    let lines: Vec<String> = message.to_string().split('\n').map(printable).collect();
    let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
}
