//! A file whose opening depends on who asks for it: nothing is asked of the replica before that is known.
//!
//! SQLite calls `xOpen`, reads the header of the database, and then hands over the connection (`SQLITE_FCNTL_PDB`). Until then
//! this file looks like an empty one. When the connection is there, the replica is opened, and the file becomes an ordinary
//! one in the same memory; or it is refused, and every use of the file fails. `sqlite3_open` itself fails then, too, since it
//! calls our entry point for each new connection last, which looks for such a file ([`refusal`]).

use super::access::{self, Condition};
use super::api::Api;
use super::companions::Companions;
use super::errors::{During, code, report};
use super::ffi::*;
use super::file::File;
use super::guard::guard;
use super::methods::{self, ReplicaFile};
use super::question::{REQUEST, Request};
use crate::config::Settings;
use crate::error::Error;
use crate::store::Location;
use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::ptr;

/// What it takes to open the replica.
#[derive(Debug)]
pub struct Opening {
    /// The library that opens it.
    pub api: Api,
    /// What the connection asks for.
    pub settings: Settings,
    /// The place that the settings name.
    pub location: Location,
    /// Whether SQLite will not lock the file.
    pub unlocked: bool,
    /// The name, for complaints.
    pub name: String,
}

impl Opening {
    /// Opens the replica now.
    pub fn open(&self, companions: Companions) -> Result<File, Error> {
        let opened = File::open(self.api, &self.settings, &self.location, self.unlocked, companions);
        opened.map_err(|error| self.failed(error))
    }

    /// The error with what was tried.
    pub fn failed(&self, error: Error) -> Error {
        error.context(format!("cannot open {}", self.name))
    }
}

/// What stands in the memory that SQLite gives to a file.
#[repr(C)]
pub struct DeferredFile {
    base: SqliteFile,
    state: *mut State,
}

const _: () = assert!(size_of::<DeferredFile>() <= size_of::<ReplicaFile>());

#[derive(Debug)]
struct State {
    opening: Opening,
    condition: Condition,
    /// Of the file, which become the opened file's.
    companions: RefCell<Option<Companions>>,
    refused: RefCell<Option<Error>>,
}

impl DeferredFile {
    /// A file to be written where SQLite wants it.
    pub fn new(opening: Opening, condition: Condition, companions: Companions) -> DeferredFile {
        let state =
            State { opening, condition, companions: RefCell::new(Some(companions)), refused: RefCell::default() };
        DeferredFile { base: SqliteFile { methods: &METHODS }, state: Box::into_raw(Box::new(state)) }
    }
}

impl State {
    fn refusal(&self) -> Option<Error> {
        self.refused.borrow().clone()
    }

    /// Opens the replica for `db`.
    ///
    /// # Safety
    /// SQLite handed `db` over with `file`, and waits for the call.
    unsafe fn decide(&self, db: *mut Sqlite3, file: *mut SqliteFile) -> Result<File, Error> {
        // SAFETY: as promised.
        let opener = unsafe { access::opener(self.opening.api, db, file) };
        let granted = opener.and_then(|opener| self.condition.check(opener));
        granted.map_err(|error| self.opening.failed(error))?;
        match self.companions.take() {
            Some(companions) => self.opening.open(companions),
            None => Err(Error::internal("a file is opened twice")),
        }
    }
}

/// Why the main database of a connection that SQLite is opening could not be opened.
///
/// # Safety
/// `db` is null or an open connection of the library of `api`, and in the hands of this thread.
pub unsafe fn refusal(api: Api, db: *mut Sqlite3) -> Option<Error> {
    let mut request = Request::new(c"main", None);
    if !db.is_null() {
        // SAFETY: as promised.
        unsafe { request.send(api, db) };
    }
    request.answer.and_then(Result::err)
}

/// The code of a use of the file: of the error by which it was refused, or `else_` while it is still to be decided.
///
/// # Safety
/// `file` is a [`DeferredFile`] that is not closed, and the call under way is SQLite's on it.
unsafe fn use_of(file: *mut SqliteFile, else_: c_int) -> c_int {
    guard("a file to be opened", SQLITE_IOERR, || {
        // SAFETY: as promised.
        let state = unsafe { &*(*file.cast::<DeferredFile>()).state };
        state.refusal().map_or(else_, |error| code(error.kind(), During::Open))
    })
}

static METHODS: IoMethods = IoMethods {
    version: 1,
    close,
    read,
    write: methods::write,
    truncate: methods::truncate,
    sync: methods::sync,
    file_size,
    lock,
    unlock,
    check_reserved_lock: methods::check_reserved_lock,
    file_control,
    sector_size,
    device_characteristics: methods::device_characteristics,
};

unsafe extern "C" fn close(file: *mut SqliteFile) -> c_int {
    guard("xClose", SQLITE_IOERR, || {
        // SAFETY: SQLite closes a file once, and calls none of its methods afterwards.
        unsafe {
            (*file).methods = ptr::null();
            drop(Box::from_raw((*file.cast::<DeferredFile>()).state));
        }
        SQLITE_OK
    })
}

unsafe extern "C" fn read(file: *mut SqliteFile, buffer: *mut c_void, amount: c_int, _: i64) -> c_int {
    // SAFETY: SQLite's buffer has room for that many bytes, and what a short read lacks is zeros.
    unsafe { ptr::write_bytes(buffer.cast::<u8>(), 0, usize::try_from(amount).unwrap_or(0)) };
    // SAFETY: SQLite calls this on a file of ours.
    unsafe { use_of(file, SQLITE_IOERR_SHORT_READ) }
}

unsafe extern "C" fn file_size(file: *mut SqliteFile, size: *mut i64) -> c_int {
    // SAFETY: SQLite wants the size there.
    unsafe { size.write(0) };
    // SAFETY: SQLite calls this on a file of ours.
    unsafe { use_of(file, SQLITE_OK) }
}

/// A transaction begins only after the file was opened or refused. If SQLite never told the connection, nobody may read.
unsafe extern "C" fn lock(file: *mut SqliteFile, _: c_int) -> c_int {
    // SAFETY: SQLite calls this on a file of ours.
    unsafe { use_of(file, SQLITE_CANTOPEN) }
}

unsafe extern "C" fn unlock(_: *mut SqliteFile, _: c_int) -> c_int {
    SQLITE_OK
}

unsafe extern "C" fn sector_size(_: *mut SqliteFile) -> c_int {
    4096
}

unsafe extern "C" fn file_control(file: *mut SqliteFile, operation: c_int, argument: *mut c_void) -> c_int {
    guard("xFileControl", SQLITE_IOERR, || {
        // SAFETY: SQLite calls this on a file of ours.
        let state = unsafe { &*(*file.cast::<DeferredFile>()).state };
        match operation {
            SQLITE_FCNTL_PDB if state.refused.borrow().is_none() => {
                let at = argument.cast_const().cast::<*mut Sqlite3>();
                // SAFETY: SQLite keeps the connection there, and waits for this call.
                match unsafe { state.decide(*at, file) } {
                    // SAFETY: nothing refers to the state any more once the other file is in its place.
                    Ok(opened) => unsafe {
                        opened.set_db(at);
                        let (state, api) = ((*file.cast::<DeferredFile>()).state, state.opening.api);
                        file.cast::<ReplicaFile>().write(ReplicaFile::new(api, opened));
                        drop(Box::from_raw(state));
                    },
                    Err(error) => {
                        report(state.opening.api, &error, During::Open);
                        state.refused.replace(Some(error));
                    }
                }
                SQLITE_OK
            }
            REQUEST => {
                // SAFETY: only our own code sends this, and it sends a request that waits for its answer.
                let request = unsafe { &mut *argument.cast::<Request<'_>>() };
                request.deferred = file;
                request.answer = state.refusal().map(Err);
                SQLITE_OK
            }
            _ => SQLITE_NOTFOUND,
        }
    })
}
