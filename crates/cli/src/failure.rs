//! Why a command failed.

use rusqlite::{Connection, ErrorCode};
use std::io;
use std::sync::{Mutex, PoisonError};

/// The end of a command that did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The command failed, for this reason.
    Reason(String),
    /// `verify` found damaged files.
    Damaged { damaged: usize, files: usize },
    /// The user or the system asked the program to end.
    Interrupted,
    /// The reader of the output closed it, so that nobody needs further rows.
    OutputClosed,
}

impl Failure {
    /// Returns the text for stderr.
    pub fn reason(&self) -> Option<String> {
        match self {
            Failure::Reason(reason) => Some(reason.clone()),
            Failure::Damaged { damaged, files } => Some(format!("damaged files: {damaged} of {files}")),
            Failure::Interrupted => Some("interrupted".to_owned()),
            Failure::OutputClosed => None,
        }
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::OutputClosed => 0,
            Failure::Reason(_) => 1,
            Failure::Damaged { .. } => 3,
            Failure::Interrupted => 130,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        use ErrorCode::{CannotOpen, DatabaseCorrupt, InternalMalfunction, OperationInterrupted, SystemIoFailure};
        match (error.sqlite_error_code(), &error) {
            (Some(OperationInterrupted), _) => Failure::Interrupted,
            (Some(CannotOpen | DatabaseCorrupt | InternalMalfunction | SystemIoFailure), _) => {
                Failure::Reason(reason_of(&error.to_string()))
            }
            (_, rusqlite::Error::SqlInputError { msg, .. }) => Failure::Reason(msg.clone()),
            _ => Failure::Reason(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    /// Converts an error of the output.
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Reason(format!("cannot write the output: {error}")),
        }
    }
}

/// What [`last_error`] returned before the running statement.
static EARLIER: Mutex<Option<String>> = Mutex::new(None);

/// Notes which error is not that of the next statement.
pub fn note_earlier() {
    *EARLIER.lock().unwrap_or_else(PoisonError::into_inner) = last_error();
}

/// Returns why a statement failed for which SQLite has only this text. The last error of a replica can be an earlier one, or that of a poll,
/// and the statement can have failed because of a local file.
fn reason_of(text: &str) -> String {
    let is_earlier = |reason: &String| EARLIER.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(reason);
    match last_error() {
        None => text.to_owned(),
        Some(reason) if is_earlier(&reason) => format!("{text} (the last error of a replica: {reason})"),
        Some(reason) => reason,
    }
}

/// Returns why the last open or read of a replica failed. SQLite itself has only a code for it.
pub fn last_error() -> Option<String> {
    let memory = Connection::open_in_memory().ok()?;
    memory.query_row("SELECT litestream_last_error()", [], |row| row.get(0)).ok()?
}
