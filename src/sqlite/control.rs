//! What pragmas and functions ask a file, and what it answers.

use super::api::Api;
use super::ffi::Sqlite3;
use super::file::DbFile;
use super::report::StatusReport;
use crate::config::Target;
use crate::error::Error;
use crate::ltx::Txid;
use crate::replica::{Change, FileListing, FileListingRow, HistoryRow, MomentList, Verification, VerifiedFile};
use std::cell::RefCell;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::time::Duration;

/// The file control that carries a [`ControlCall`] from a function to a file. Other VFSes answer that they do not know it.
///
/// The way through SQLite matters: it holds the locks that keep a file of a shared cache to one thread at a time.
pub const REQUEST: c_int = 0x4c53_5646;

/// Something to know, or to do, about the database that a file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ControlOp {
    /// The last transaction of the state that reads see.
    Txid,
    /// Seconds since the replica last confirmed the newest state that is served.
    Lag,
    /// When that transaction was written.
    Time,
    /// Go to another moment, in the words of [`crate::time::parse`].
    MoveTo(String),
    /// Wait until the replica has a transaction.
    Wait {
        /// The transaction.
        txid: Txid,
        /// For how long.
        timeout: Duration,
    },
    /// How the replica and this reader are doing.
    Status,
    /// Go to the state after a transaction.
    MoveToTxid(Txid),
    /// The next moments that one can go to, from the newest towards the past.
    Older(RefCell<MomentList>),
    /// The next files of the replica.
    Further(RefCell<FileListing>),
    /// Read the next file of the state that reads see whole.
    Verify(RefCell<Verification>),
    /// What differs between two moments; without the later, up to the state that reads see.
    Changes {
        /// The one.
        since: Target,
        /// The other.
        until: Option<Target>,
    },
}

/// What a file says.
#[derive(Debug)]
pub enum ControlValue {
    /// Words.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A number of seconds, exact to milliseconds.
    Seconds(f64),
    /// How the replica and its reader are doing.
    Status(Box<StatusReport>),
    /// Moments; none where there are no more.
    TimeTravel(Vec<HistoryRow>),
    /// Files; none where there are no more.
    Files(Vec<FileListingRow>),
    /// A file that was read; none where there are no more.
    Verified(Vec<VerifiedFile>),
    /// What differs.
    Changes(Vec<Change>),
}

impl ControlValue {
    /// As text; rows are for tables alone.
    pub fn into_text(self) -> String {
        match self {
            ControlValue::Text(text) => text,
            ControlValue::Number(number) => number.to_string(),
            ControlValue::Seconds(seconds) => format!("{seconds:.3}"),
            ControlValue::Status(report) => report.to_string(),
            ControlValue::TimeTravel(rows) => format!("{rows:?}"),
            ControlValue::Files(rows) => format!("{rows:?}"),
            ControlValue::Verified(rows) => format!("{rows:?}"),
            ControlValue::Changes(rows) => format!("{rows:?}"),
        }
    }
}

/// A question on its way through SQLite's file control to the file behind a schema.
pub struct ControlCall<'a> {
    /// None asks only who is there.
    pub question: Option<&'a ControlOp>,
    /// The schema the request is sent to.
    pub schema: &'a CStr,
    /// The file that was reached, null if it is not a replica's.
    pub file: *const DbFile,
    /// Its answer, if there was a question.
    pub answer: Option<Result<ControlValue, Error>>,
}

impl<'a> ControlCall<'a> {
    /// A request that has not been sent.
    pub fn new(schema: &'a CStr, question: Option<&'a ControlOp>) -> ControlCall<'a> {
        ControlCall { question, schema, file: ptr::null(), answer: None }
    }

    /// Sends it to the file behind its schema; answers a result code, which is not OK if that file is no replica's.
    ///
    /// # Safety
    /// `db` is open, and in the hands of this thread.
    pub unsafe fn send(&mut self, api: Api, db: *mut Sqlite3) -> c_int {
        let schema = self.schema;
        // SAFETY: as promised, and `REQUEST` takes a request.
        unsafe { api.file_control(db, schema, REQUEST, ptr::from_mut(self).cast()) }
    }
}
