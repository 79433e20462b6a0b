//! Conversion of errors to SQLite result codes, and logging of errors that SQLite would reduce to a code.

use super::api::Api;
use super::ffi::*;
use crate::error::{Error, ErrorKind};
use crate::last_error;
use crate::store::one_line;
use std::ffi::c_int;

/// The stage at which an error occurred.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum During {
    /// `xOpen`.
    Open,
    /// Any method of an open file.
    Use,
}

/// Returns the SQLite result code for an error.
///
/// `SQLITE_BUSY` only if another connection holds a lock, because the host retries then. A conflict is `SQLITE_BUSY_SNAPSHOT`, for which
/// SQLite rolls the transaction back; after `SQLITE_BUSY` it would keep it and try to commit it again. A damaged replica is
/// `SQLITE_CORRUPT` ("database disk image is malformed") even at open: an I/O error or "unable to open" would suggest that the replica is
/// missing or that another try could succeed. `SQLITE_IOERR_CORRUPTFS` is not used, because it means that a file system truncated a file.
pub fn code(kind: ErrorKind, during: During) -> c_int {
    match (kind, during) {
        (ErrorKind::Interrupted, _) => SQLITE_INTERRUPT,
        (ErrorKind::Busy, _) => SQLITE_BUSY,
        (ErrorKind::Conflict, _) => SQLITE_BUSY_SNAPSHOT,
        (ErrorKind::TooLarge, _) => SQLITE_FULL,
        (ErrorKind::Damaged, _) => SQLITE_CORRUPT,
        (ErrorKind::Internal, _) => SQLITE_INTERNAL,
        (_, During::Open) => SQLITE_CANTOPEN,
        (ErrorKind::ReadOnly, During::Use) => SQLITE_READONLY,
        (ErrorKind::Unconfirmed, During::Use) => SQLITE_IOERR_FSYNC,
        (ErrorKind::TooOld | ErrorKind::Exhausted, During::Use) => SQLITE_IOERR,
        (ErrorKind::Config | ErrorKind::Empty | ErrorKind::Denied | ErrorKind::Unreachable, During::Use) => {
            SQLITE_IOERR_READ
        }
    }
}

/// Writes an error to the log and to `sqlite3_log`, and returns its result code. For errors that the host sees only as a code.
///
/// An interrupt is not logged, because the host requested it. Nor are a lock and a conflict, after which the host tries again; the reason of
/// a conflict is kept for `litestream_last_error()`.
pub fn report(api: Api, error: &Error, during: During) -> c_int {
    let code = code(error.kind(), during);
    match error.kind() {
        ErrorKind::Interrupted | ErrorKind::Busy => {}
        ErrorKind::Conflict => last_error::record(&one_line(&error.to_string())),
        _ => log_error(api, code, &one_line(&error.to_string())),
    }
    code
}

/// Writes one line to the log and to `sqlite3_log`, and keeps it for `litestream_last_error()`.
pub fn log_error(api: Api, code: c_int, line: &str) {
    last_error::record(line);
    tracing::error!("{line}");
    api.log(code, line);
}

/// A result code of SQLite, and the text for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SqlError {
    /// The result code. For an error of a pragma, a function or a table, `SQLITE_ERROR`, or `SQLITE_INTERRUPT` if the host interrupted the call.
    pub code: c_int,
    /// The error message.
    pub text: String,
}

impl From<String> for SqlError {
    fn from(text: String) -> SqlError {
        SqlError { code: SQLITE_ERROR, text }
    }
}

impl From<Error> for SqlError {
    fn from(error: Error) -> SqlError {
        let code = if error.kind() == ErrorKind::Interrupted { SQLITE_INTERRUPT } else { SQLITE_ERROR };
        SqlError { code, text: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code() {
        let table = [
            (ErrorKind::Config, 14, 266),
            (ErrorKind::Empty, 14, 266),
            (ErrorKind::Denied, 14, 266),
            (ErrorKind::Unreachable, 14, 266),
            (ErrorKind::Damaged, 11, 11),
            (ErrorKind::TooOld, 14, 10),
            (ErrorKind::Exhausted, 14, 10),
            (ErrorKind::Interrupted, 9, 9),
            (ErrorKind::Busy, 5, 5),
            (ErrorKind::Conflict, 517, 517),
            (ErrorKind::ReadOnly, 14, 8),
            (ErrorKind::TooLarge, 13, 13),
            (ErrorKind::Unconfirmed, 14, 1034),
            (ErrorKind::Internal, 2, 2),
        ];
        for (kind, open, use_) in table {
            assert_eq!((code(kind, During::Open), code(kind, During::Use)), (open, use_), "{kind:?}");
        }
    }

    #[test]
    fn an_sql_error_is_an_interrupt_only_if_the_host_interrupted() {
        for (kind, code) in [(ErrorKind::Interrupted, 9), (ErrorKind::Damaged, 1), (ErrorKind::Config, 1)] {
            assert_eq!(SqlError::from(Error::new(kind, "why")), SqlError { code, text: "why".to_owned() });
        }
    }
}
