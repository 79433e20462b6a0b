//! An open replica file: reads, locks and file controls, with pages from pinned views.
//!
//! | module | contents |
//! |---|---|
//! | `methods` | the I/O methods that SQLite calls |
//! | `read`, `page1` | reads, and the header fields of page 1 that are replaced |
//! | `shown` | what SQLite has read and counted of these fields |
//! | `transaction` | locks, and the view of the read transaction |
//! | `snapshot` | the state that a transaction reads |
//! | `write` | write transactions |
//! | `wal` | attempts to switch to a WAL |
//! | `operations`, `status`, `pragma` | what functions, tables and pragmas do with the file |
//! | `interrupt` | detecting that the application interrupted a call |
//! | `no_attach` | files that forbid SQL to attach replicas |
//!
//! SQLite lets only one thread at a time call the methods of a file, but an operation that runs SQL on the connection calls them again. So
//! the state is in cells, and none of them stays borrowed during a call of anything else. The exception is `SQLITE_FCNTL_PDB`: when a
//! connection joins a shared cache, SQLite sends it while another thread may be in a method of the file.

mod interrupt;
pub mod methods;
mod no_attach;
mod operations;
mod page1;
mod pragma;
mod read;
mod shown;
mod snapshot;
mod status;
mod transaction;
mod wal;
mod write;

pub use no_attach::NoAttach;
pub use wal::no_wal;

use super::api::Api;
use super::control::ReachedFile;
use super::ffi::Sqlite3;
use super::names::journal_names::JournalNames;
use crate::config::Settings;
use crate::error::Error;
use crate::replica::Connection;
use crate::store::Location;
use interrupt::{CheckMethod, InterruptCheck};
use shown::ShownHeader;
use snapshot::Snapshot;
use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use write::WriteTransaction;

/// An open replica file.
#[derive(Debug)]
pub struct DbFile {
    api: Api,
    connection: Connection,
    /// The address at which SQLite keeps the connection that uses the file. Null before SQLite has passed it. With a shared cache, the
    /// connection at this address changes from call to call.
    db: AtomicPtr<*mut Sqlite3>,
    /// Whether several connections use the file through a shared cache.
    is_shared: AtomicBool,
    /// The state that the read transaction sees.
    pinned: RefCell<Option<Snapshot>>,
    /// The [`View::spoiled_files`](crate::replica::View::spoiled_files) of that state when the read transaction began.
    began_spoiled: Cell<u64>,
    /// Whether SQLite may write to the file.
    writes: bool,
    /// Whether the connection has switched that off.
    writes_disabled: Cell<bool>,
    writing: RefCell<Option<WriteTransaction>>,
    shown: ShownHeader,
    /// The error that was last logged in this read transaction. `PRAGMA quick_check` alone can fail with the same error at every page.
    last_error: RefCell<Option<String>>,
    /// Whether SQLite never locks this file. Then the view at the time of opening stays pinned.
    unlocked: bool,
    /// Whether SQL may move the file to another moment, and read rows of other moments.
    time_travel: bool,
    /// Present if SQL may not attach replicas to a connection whose main database is this file.
    no_attach: Option<NoAttach>,
    _journal_names: JournalNames,
}

/// How SQLite uses a file.
#[derive(Clone, Copy, Debug)]
pub struct FileAccess {
    /// It does not lock the file (`nolock=1`, `immutable=1`).
    pub unlocked: bool,
    /// Its transactions may write.
    pub writes: bool,
    /// It creates a database if there is none.
    pub creates: bool,
}

impl DbFile {
    /// Opens the replica of `settings`, which is at `location`, and waits for its first view unless it may be created.
    pub fn open(
        api: Api,
        settings: &Settings,
        location: &Location,
        access: FileAccess,
        journal_names: JournalNames,
    ) -> Result<DbFile, Error> {
        let FileAccess { unlocked, writes, creates } = access;
        // The wait cannot be interrupted, because the connection is not known before the file is open.
        let connection = match writes && creates {
            true => Connection::open_or_create(settings, location, &|| false)?,
            false => Connection::open(settings, location, &|| false)?,
        };
        if writes && settings.write_takeover {
            connection.take_over(&|| false)?;
        }
        let pinned = if unlocked { Some(Snapshot::View(connection.view(&|| false)?)) } else { None };
        Ok(DbFile {
            api,
            connection,
            db: AtomicPtr::new(ptr::null_mut()),
            is_shared: AtomicBool::new(false),
            pinned: RefCell::new(pinned),
            began_spoiled: Cell::new(0),
            writes,
            writes_disabled: Cell::new(false),
            writing: RefCell::default(),
            shown: ShownHeader::default(),
            last_error: RefCell::default(),
            unlocked,
            time_travel: settings.time_travel,
            no_attach: (!settings.attach).then(NoAttach::new),
            _journal_names: journal_names,
        })
    }

    /// Returns what a control call reports about this file.
    pub fn reached(&self) -> ReachedFile {
        ReachedFile { address: ptr::from_ref(self).cast(), may_attach: self.no_attach.is_none() }
    }

    /// Stores the address at which SQLite keeps the connection that uses this file. Each connection that opens the file passes it once.
    ///
    /// # Safety
    /// `db` is null or the argument of `SQLITE_FCNTL_PDB` for this file, so that it stays valid until the file is closed.
    pub unsafe fn set_db(&self, db: *const *mut Sqlite3) {
        if !self.db.swap(db.cast_mut(), Ordering::AcqRel).is_null() {
            self.is_shared.store(true, Ordering::Release);
        }
    }

    /// Whether an error differs from the previous one of this read transaction.
    pub fn is_new_error(&self, error: &Error) -> bool {
        let text = Some(error.to_string());
        self.last_error.replace(text.clone()) != text
    }

    /// Returns the page size in bytes. None if there is no view.
    pub fn page_size(&self) -> Option<u32> {
        self.view().ok().map(|view| view.page_size())
    }

    /// Whether SQLite may write to the file.
    pub fn writes(&self) -> bool {
        self.writes
    }

    /// Returns the connection that is calling a method of this file. Null before SQLite has passed it.
    ///
    /// The connection is open, and this thread holds its mutex, until the current method returns.
    fn db(&self) -> *mut Sqlite3 {
        // SAFETY: the address is null or valid until the file is closed, by the contract of `set_db`. SQLite changes the connection there only
        // between calls of this file's methods.
        unsafe { self.db.load(Ordering::Acquire).as_ref() }.copied().unwrap_or(ptr::null_mut())
    }

    /// Returns a check for the current call, whether the application interrupted it.
    fn interrupt_check(&self) -> InterruptCheck<'_> {
        // A busy cell is that of a write transaction.
        let is_writing = !self.writing.try_borrow().is_ok_and(|writing| writing.is_none());
        self.new_check(if is_writing { CheckMethod::Compiler } else { CheckMethod::Unprepared })
    }

    /// As [`DbFile::interrupt_check`], but runs no statement, so that it only finds `sqlite3_interrupt`. For the methods of a writer: the
    /// connection may not have read its schema, for example during a backup into this file. To run a statement, SQLite would read it, and
    /// end the transaction that it is about to begin.
    fn passive_interrupt_check(&self) -> InterruptCheck<'_> {
        self.new_check(CheckMethod::Compiler)
    }

    fn new_check(&self, method: CheckMethod) -> InterruptCheck<'_> {
        // SAFETY: `db` is null or the connection that is calling a method of this file, and the callers drop the check before the method
        // returns.
        unsafe { InterruptCheck::new(self.api, self.db(), &self.is_shared, method) }
    }
}
