//! The operations that functions, tables and pragmas run on an open replica file.

mod call;
mod report;

pub use call::{CONTROL_CALL, ControlCall, ReachedFile, run};
pub use report::{HeldBy, StatusReport};

use crate::config::Target;
use crate::ltx::Txid;
use crate::replica::{
    Change, FileListing, FileListingRow, HistoryRow, HistoryStep, MomentList, RowChange, RowDiff, RowHistory,
    TablePair, Verification, VerifiedFile,
};
use std::cell::RefCell;
use std::time::Duration;

/// An operation on an open replica file.
#[derive(Debug)]
pub enum ControlOp {
    /// Returns the TXID of the state that reads see.
    Txid,
    /// Returns the seconds since the replica last confirmed the newest state that it serves.
    Lag,
    /// Returns how much of the newest state hydration has fetched, in percent.
    HydrationProgress,
    /// Returns the directory that hydration fills.
    HydrationFile,
    /// Returns why hydration does not go on; empty if it does.
    HydrationError,
    /// Returns 1 if transactions may write, otherwise 0.
    WriteEnabled,
    /// Allows or forbids transactions to write.
    EnableWrites(bool),
    /// Returns the time at which the state that reads see was written.
    Time,
    /// Moves to another moment, in the syntax of [`crate::time::parse`].
    SetTime(String),
    /// Moves to the state after a transaction.
    SetTxid(Txid),
    /// Waits until the replica has a transaction.
    Wait {
        /// The transaction.
        txid: Txid,
        /// The longest time to wait.
        timeout: Duration,
    },
    /// Waits until the transactions of this process are in the replica, and returns its newest TXID.
    Flush,
    /// Gives up the transactions of a journal that cannot be uploaded.
    DiscardJournal,
    /// Returns the status of the replica and of this reader.
    Status,
    /// Returns the next moments of the history, from the newest to the oldest.
    History(RefCell<MomentList>),
    /// Returns the next files of the replica.
    Files(RefCell<FileListing>),
    /// Reads the whole of the next file of the state that reads see, and verifies it.
    Verify(RefCell<Verification>),
    /// Returns the differences between two moments.
    Changes {
        /// The earlier moment.
        since: Target,
        /// The later moment. None means the state that reads see.
        until: Option<Target>,
    },
    /// Finds a table at two moments.
    Table {
        /// The name of the table.
        name: String,
        /// The earlier moment.
        since: Since,
        /// The later moment. None means the state that reads see.
        until: Option<Target>,
    },
    /// Returns the next rows that differ. None while the operation runs.
    Diff(RefCell<Option<Box<RowDiff>>>),
    /// Returns the next older version of a row. None while the operation runs.
    RowHistory(RefCell<Option<Box<RowHistory>>>),
}

/// The earlier of two moments.
#[derive(Clone, Copy, Debug)]
pub enum Since {
    /// A moment.
    At(Target),
    /// The last available state before the later moment.
    Previous,
    /// The later moment.
    Same,
}

/// The result of a [`ControlOp`].
#[derive(Debug)]
pub enum ControlValue {
    /// A text.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A number of seconds, with a precision of milliseconds.
    Seconds(f64),
    /// The status of the replica and of the reader.
    Status(Box<StatusReport>),
    /// Moments. Empty at the end of the history.
    History(Vec<HistoryRow>),
    /// Files. Empty at the end of the list.
    Files(Vec<FileListingRow>),
    /// Files that were verified. Empty at the end of the list.
    Verified(Vec<VerifiedFile>),
    /// Differences.
    Changes(Vec<Change>),
    /// A table at two moments.
    Table(Box<TablePair>),
    /// Rows that differ. Empty at the end of the table.
    RowChanges(Vec<RowChange>),
    /// A step of the search for the versions of a row.
    HistoryStep(HistoryStep),
}

impl ControlValue {
    /// Converts the value to text. Only tables run the operations that return rows; these have none.
    pub fn into_text(self) -> String {
        match self {
            ControlValue::Text(text) => text,
            ControlValue::Integer(number) => number.to_string(),
            ControlValue::Seconds(seconds) => format!("{seconds:.3}"),
            ControlValue::Status(report) => report.to_string(),
            ControlValue::History(_)
            | ControlValue::Files(_)
            | ControlValue::Verified(_)
            | ControlValue::Changes(_)
            | ControlValue::Table(_)
            | ControlValue::RowChanges(_)
            | ControlValue::HistoryStep(_) => String::new(),
        }
    }
}
