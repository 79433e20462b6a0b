//! Opening an undecided file once SQLite has passed its connection.

use super::access::{self, AccessCondition};
use super::replica::{self, OpenedName, read_only};
use super::role::Role;
use crate::error::{Error, ErrorKind};
use crate::sqlite::errors::{During, code, report};
use crate::sqlite::ffi::*;
use crate::sqlite::names;
use crate::sqlite::registration::Registration;
use std::ffi::{CStr, c_char, c_int};
use std::path::Path;
use std::ptr;

/// The reason why an undecided file could not be opened.
pub struct UndecidedFailure {
    /// The result code of every method of the file.
    pub code: c_int,
    /// The error. None for a local file, whose error the default VFS has logged.
    pub error: Option<Error>,
}

impl UndecidedFailure {
    /// Logs an error of a replica.
    fn logged(registration: &Registration, error: Error) -> UndecidedFailure {
        report(registration.api, &error, During::Open);
        UndecidedFailure { code: code(error.kind(), During::Open), error: Some(error) }
    }
}

/// Returns the flags that `xOpen` returns for an undecided file. Without SQLITE_OPEN_CREATE it cannot become a local file, so it is
/// read-only.
pub fn out_flags(flags: c_int) -> c_int {
    if flags & SQLITE_OPEN_CREATE != 0 { flags } else { read_only(flags) }
}

/// Opens the replica or the local file that a name means in connection `db`, and writes it to `file`. `replica` is the replica with its access
/// condition, or None if the role decides whether the name means a replica.
///
/// # Safety
/// SQLite is sending `SQLITE_FCNTL_PDB` with `db` to the file at `file`, which it opened by `name` and `flags` and which has nothing left to
/// drop.
pub unsafe fn open(
    registration: &'static Registration,
    name: *const c_char,
    flags: c_int,
    replica: Option<Box<(OpenedName, AccessCondition)>>,
    db: *mut Sqlite3,
    file: *mut SqliteFile,
) -> Result<(), UndecidedFailure> {
    let api = registration.api;
    let failure = |error| UndecidedFailure::logged(registration, error);
    // SAFETY: SQLite is passing `db` with `SQLITE_FCNTL_PDB`, by the contract of this function.
    let role = unsafe { Role::of(api, db, name) };
    let (opened_name, flags) = match (replica, role) {
        (Some(replica), role) => {
            let (opened_name, condition) = *replica;
            // SAFETY: SQLite is passing `db` with `SQLITE_FCNTL_PDB`, by the contract of this function.
            let access = unsafe { access::opener(api, db, role) }.and_then(|opener| condition.check(opener));
            // SAFETY: SQLite keeps `name` until the file is closed.
            access.map_err(|error| failure(unsafe { replica::not_opened(name, error) }))?;
            (opened_name, flags)
        }
        (None, Role::Main) => {
            // SAFETY: SQLite passed `name` to `xOpen` for this file, which is not closed. The condition, if any, is
            // for attached databases only.
            (unsafe { replica::read_name(registration, name) }.map_err(failure)?.0, out_flags(flags))
        }
        // SAFETY: `name`, `file` and `flags` are those of `xOpen`, by the contract of this function.
        (None, Role::Attached) => return unsafe { open_local(registration, name, file, flags) },
    };
    // SAFETY: SQLite passed `name` and `file` to `xOpen`, by the contract of this function.
    unsafe { replica::open(registration, name, &opened_name, file, flags) }.map_err(failure)
}

/// Returns the error of a local file that cannot be created in its directory.
fn not_writable(path: &str) -> Error {
    let directory = Path::new(path).parent().unwrap_or(Path::new("")).display();
    Error::new(ErrorKind::Config, format!("cannot create {path}: the directory {directory} cannot be written"))
        .remedy("create a file in another directory, by its path")
}

/// Opens a file of the default VFS.
///
/// # Safety
/// `name`, `file` and `flags` are those of `xOpen`, and the file at `file` has nothing left to drop.
unsafe fn open_local(
    registration: &'static Registration,
    name: *const c_char,
    file: *mut SqliteFile,
    flags: c_int,
) -> Result<(), UndecidedFailure> {
    // SAFETY: SQLite keeps `name` until the file is closed.
    let path = unsafe { CStr::from_ptr(name) };
    if names::is_relocated(path) {
        // The file must not be created in another directory than that of the name.
        return Err(UndecidedFailure::logged(registration, not_writable(&names::displayed(path))));
    }
    let (default, mut out_flags) = (registration.default, 0);
    // SAFETY: the default VFS lives as long as the process. The arguments are those of `xOpen`, and the memory at `file` is large enough,
    // because `file_size` is at least that of the default VFS. A file that failed to open has methods only if it must be closed.
    unsafe {
        (*file).methods = ptr::null();
        match ((*default).open)(default, name, file, flags, &mut out_flags) {
            SQLITE_OK => Ok(()),
            code => {
                if let Some(methods) = (*file).methods.as_ref() {
                    (methods.close)(file);
                }
                Err(UndecidedFailure { code, error: None })
            }
        }
    }
}
