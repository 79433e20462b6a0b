//! A file for which `xOpen` cannot decide yet what it is, or whether it may be opened.
//!
//! While `LITESTREAM_REPLICA_URL` is set, a bare name without a local file means the replica if it names the main database of a connection,
//! and a new local file if ATTACH or VACUUM INTO opens it. `xOpen` cannot distinguish the two (see [`role`](super::role)). So it opens an
//! [`UndecidedFile`], which is replaced in place by a replica or a local file when SQLite passes the connection. Until then it reads as
//! empty, like a new file. SQLite reads the page size again when it takes the first lock.
//!
//! The same is done for a replica whose access depends on the connection (see [`access`](super::access)). No request is sent to it
//! before access is granted.
//!
//! `xOpen` also has to return whether the file is writable. If SQLite may create the file, it is reported as writable, because it may become
//! a local file. Then `sqlite3_db_readonly` returns 0 even if it becomes a replica, and a write fails with `SQLITE_READONLY` when SQLite
//! opens the journal.

use super::access::AccessCondition;
use super::decision::{self, UndecidedFailure};
use super::replica::OpenedName;
use crate::sqlite::control::{CONTROL_CALL, ControlCall};
use crate::sqlite::ffi::*;
use crate::sqlite::guard::guard;
use crate::sqlite::registration::Registration;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;

/// The content of the memory that SQLite provides for the file, before the decision and after a failure.
#[repr(C)]
pub struct UndecidedFile {
    base: SqliteFile,
    registration: &'static Registration,
    /// The name that `xOpen` got. SQLite keeps it until the file is closed.
    name: *const c_char,
    flags: c_int,
    /// The replica with its access condition. None if the role decides whether the file is a replica.
    replica: Option<Box<(OpenedName, AccessCondition)>>,
    failure: Option<UndecidedFailure>,
}

impl UndecidedFile {
    /// A file to write into the memory that SQLite provides. `name` and `flags` are those of `xOpen`.
    pub fn new(
        registration: &'static Registration,
        name: *const c_char,
        flags: c_int,
        replica: Option<Box<(OpenedName, AccessCondition)>>,
    ) -> UndecidedFile {
        UndecidedFile { base: SqliteFile { methods: &METHODS }, registration, name, flags, replica, failure: None }
    }

    /// Returns the flags that `xOpen` returns for an undecided file, if SQLite passed `flags`.
    pub fn out_flags(flags: c_int) -> c_int {
        decision::out_flags(flags)
    }

    /// Returns the result code of methods that need an open file.
    fn code(&self) -> c_int {
        self.failure.as_ref().map_or(SQLITE_CANTOPEN, |failure| failure.code)
    }
}

static METHODS: IoMethods = IoMethods {
    version: 1,
    close,
    read,
    write,
    truncate,
    sync,
    file_size,
    lock,
    unlock,
    check_reserved_lock,
    file_control,
    sector_size,
    device_characteristics,
};

/// Returns the file at SQLite's pointer.
///
/// # Safety
/// SQLite is calling a method of [`METHODS`] with `file`, and the result is not used after the method returns or replaces the file.
unsafe fn undecided<'a>(file: *mut SqliteFile) -> &'a UndecidedFile {
    // SAFETY: only an `UndecidedFile` has these methods, and SQLite closes the file in a later call.
    unsafe { &*file.cast::<UndecidedFile>() }
}

unsafe extern "C" fn close(file: *mut SqliteFile) -> c_int {
    guard("xClose", SQLITE_IOERR, || {
        // SAFETY: only an `UndecidedFile` has this method. SQLite calls it once, and no other method afterwards.
        unsafe {
            ptr::drop_in_place(file.cast::<UndecidedFile>());
            (*file).methods = ptr::null();
        }
        SQLITE_OK
    })
}

unsafe extern "C" fn read(file: *mut SqliteFile, buffer: *mut c_void, amount: c_int, _: i64) -> c_int {
    // SAFETY: SQLite is calling `xRead` with `file`.
    if let Some(failure) = unsafe { &undecided(file).failure } {
        return failure.code;
    }
    // SAFETY: SQLite passes a buffer of `amount` bytes.
    unsafe { ptr::write_bytes(buffer.cast::<u8>(), 0, usize::try_from(amount).unwrap_or(0)) };
    SQLITE_IOERR_SHORT_READ
}

unsafe extern "C" fn write(_: *mut SqliteFile, _: *const c_void, _: c_int, _: i64) -> c_int {
    SQLITE_READONLY
}

unsafe extern "C" fn truncate(_: *mut SqliteFile, _: i64) -> c_int {
    SQLITE_READONLY
}

unsafe extern "C" fn sync(_: *mut SqliteFile, _: c_int) -> c_int {
    SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut SqliteFile, _: *mut i64) -> c_int {
    // SAFETY: SQLite is calling `xFileSize` with `file`.
    unsafe { undecided(file) }.code()
}

unsafe extern "C" fn lock(file: *mut SqliteFile, _: c_int) -> c_int {
    // SAFETY: SQLite is calling `xLock` with `file`.
    unsafe { undecided(file) }.code()
}

unsafe extern "C" fn unlock(_: *mut SqliteFile, _: c_int) -> c_int {
    SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_: *mut SqliteFile, reserved: *mut c_int) -> c_int {
    // SAFETY: SQLite passes room for the result.
    unsafe { reserved.write(0) };
    SQLITE_OK
}

unsafe extern "C" fn sector_size(_: *mut SqliteFile) -> c_int {
    4096
}

unsafe extern "C" fn device_characteristics(_: *mut SqliteFile) -> c_int {
    0
}

unsafe extern "C" fn file_control(file: *mut SqliteFile, operation: c_int, argument: *mut c_void) -> c_int {
    guard("xFileControl", SQLITE_IOERR, || {
        // SAFETY: SQLite is calling `xFileControl` with `file`. `failure` is not used after `decide`, which replaces the file.
        let failure = unsafe { &undecided(file).failure };
        match (operation, failure) {
            (SQLITE_FCNTL_PDB, None) => {
                // SAFETY: `file` is an undecided file. The argument of SQLITE_FCNTL_PDB is the address at which SQLite keeps the connection.
                unsafe { decide(file, argument.cast::<*mut Sqlite3>()) };
                SQLITE_OK
            }
            (CONTROL_CALL, Some(UndecidedFailure { error: Some(error), .. })) => {
                // SAFETY: only `ControlCall::send` sends this operation. Its argument is a `ControlCall` that lives until the file control
                // returns, and that nothing else uses meanwhile.
                unsafe { (*argument.cast::<ControlCall<'_>>()).result = Some(Err(error.clone())) };
                SQLITE_NOTFOUND
            }
            _ => SQLITE_NOTFOUND,
        }
    })
}

/// Replaces an undecided file by the file that its name means, and passes the connection to that file. If it cannot be opened, keeps the
/// reason.
///
/// # Safety
/// SQLite is sending `SQLITE_FCNTL_PDB` with `db` to the [`UndecidedFile`] at `file`, to which there is no reference that is used again.
unsafe fn decide(file: *mut SqliteFile, db: *mut *mut Sqlite3) {
    // SAFETY: an `UndecidedFile` is at `file`, by the contract of this function, and these fields are copied.
    let &UndecidedFile { registration, name, flags, .. } = unsafe { undecided(file) };
    // SAFETY: an `UndecidedFile` is at `file`, and no other reference to it is used.
    let replica = unsafe { (*file.cast::<UndecidedFile>()).replica.take() };
    // SAFETY: SQLite keeps the connection at `db`. It opened the file by `name` and `flags`, and the file has nothing left to drop: `replica`
    // was taken and `failure` is None.
    match unsafe { decision::open(registration, name, flags, replica, *db, file) } {
        // SAFETY: a file of another kind is now at `file`, and its methods are valid. Its SQLITE_FCNTL_PDB gets what SQLite passed.
        Ok(()) => unsafe {
            ((*(*file).methods).file_control)(file, SQLITE_FCNTL_PDB, db.cast());
        },
        Err(failure) => {
            let failed =
                UndecidedFile { failure: Some(failure), ..UndecidedFile::new(registration, name, flags, None) };
            // SAFETY: the memory at `file` is large enough for an `UndecidedFile`, and its content has nothing to drop.
            unsafe { file.cast::<UndecidedFile>().write(failed) };
        }
    }
}
