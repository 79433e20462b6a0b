//! Where errors become SQLite codes, and where those that a code alone cannot tell are written down.

use super::api::Api;
use super::ffi::*;
use crate::error::{Error, ErrorKind};
use crate::store::one_line;
use std::ffi::c_int;

/// What SQLite was doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum During {
    /// `xOpen`.
    Open,
    /// Anything on an open file.
    Use,
}

/// The code for an error.
///
/// Never one of `SQLITE_BUSY`, `SQLITE_LOCKED` ("database is locked": the host would wait for nobody). A damaged replica
/// is `SQLITE_CORRUPT` ("database disk image is malformed"), also at open: it is there, and no other try will read it,
/// which an I/O error or "unable to open" would deny. `SQLITE_IOERR_CORRUPTFS` means a file system that cut a file.
pub fn code(kind: ErrorKind, during: During) -> c_int {
    match (kind, during) {
        (ErrorKind::Interrupted, _) => SQLITE_INTERRUPT,
        (ErrorKind::Damaged, _) => SQLITE_CORRUPT,
        (ErrorKind::Internal, _) => SQLITE_INTERNAL,
        (_, During::Open) => SQLITE_CANTOPEN,
        (ErrorKind::TooOld | ErrorKind::Exhausted, During::Use) => SQLITE_IOERR,
        (ErrorKind::Config | ErrorKind::Empty | ErrorKind::Denied | ErrorKind::Unreachable, During::Use) => {
            SQLITE_IOERR_READ
        }
    }
}

/// Writes an error that reaches the host as a bare code to the log and to `sqlite3_log`; answers the code.
///
/// A host that asked to stop knows why: that is not logged.
pub fn report(api: Api, error: &Error, during: During) -> c_int {
    let code = code(error.kind(), during);
    if error.kind() != ErrorKind::Interrupted {
        let text = one_line(&error.to_string());
        tracing::error!("{text}");
        api.log(code, &text);
    }
    code
}

/// What a pragma, a function or a table tells instead of an answer. It carries its own text, so its code says no more than whether
/// the host asked for it to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    /// `SQLITE_ERROR` or `SQLITE_INTERRUPT`.
    pub code: c_int,
    /// For the person behind the host.
    pub text: String,
}

impl From<String> for Complaint {
    fn from(text: String) -> Complaint {
        Complaint { code: SQLITE_ERROR, text }
    }
}

impl From<Error> for Complaint {
    fn from(error: Error) -> Complaint {
        let code = if error.kind() == ErrorKind::Interrupted { SQLITE_INTERRUPT } else { SQLITE_ERROR };
        Complaint { code, text: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_code() {
        let table = [
            (ErrorKind::Config, 14, 266),
            (ErrorKind::Empty, 14, 266),
            (ErrorKind::Denied, 14, 266),
            (ErrorKind::Unreachable, 14, 266),
            (ErrorKind::Damaged, 11, 11),
            (ErrorKind::TooOld, 14, 10),
            (ErrorKind::Exhausted, 14, 10),
            (ErrorKind::Interrupted, 9, 9),
            (ErrorKind::Internal, 2, 2),
        ];
        for (kind, open, use_) in table {
            assert_eq!((code(kind, During::Open), code(kind, During::Use)), (open, use_), "{kind:?}");
        }
    }

    #[test]
    fn a_complaint_says_whether_the_host_asked_for_it() {
        for (kind, code) in [(ErrorKind::Interrupted, 9), (ErrorKind::Damaged, 1), (ErrorKind::Config, 1)] {
            assert_eq!(Complaint::from(Error::new(kind, "why")), Complaint { code, text: "why".to_owned() });
        }
    }
}
