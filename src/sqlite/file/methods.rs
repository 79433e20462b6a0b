//! The I/O methods of a replica file.

use super::DbFile;
use super::pragma::Pragma;
use super::read::Filled;
use crate::error::Error;
use crate::sqlite::api::Api;
use crate::sqlite::control::{CONTROL_CALL, ControlCall};
use crate::sqlite::errors::{During, SqlError, code, report};
use crate::sqlite::ffi::*;
use crate::sqlite::guard::guard;
use crate::sqlite::names::VFS;
use crate::sqlite::transfer;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

/// The content of the memory that SQLite provides for the file.
#[repr(C)]
pub struct ReplicaFile {
    base: SqliteFile,
    api: Api,
    /// A box, which `xClose` frees.
    file: *mut DbFile,
    flags: c_int,
}

impl ReplicaFile {
    /// A file to write into the memory that SQLite provides. It must be closed by `xClose`. `flags` are those that `xOpen` returns.
    pub fn new(api: Api, file: DbFile, flags: c_int) -> ReplicaFile {
        ReplicaFile { base: SqliteFile { methods: &METHODS }, api, file: Box::into_raw(Box::new(file)), flags }
    }

    /// Whether `xOpen` reported the file as writable. Then SQLite requests the locks of a writer for BEGIN IMMEDIATE, which on a read-only
    /// database is only a read transaction. The locks are granted, and a write fails when SQLite opens the journal or writes to the file.
    fn seems_writable(&self) -> bool {
        self.flags & SQLITE_OPEN_READONLY == 0
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
/// SQLite is calling a method of [`METHODS`] with `file`, and the result is not used after the method returns.
unsafe fn opened<'a>(file: *mut SqliteFile) -> (&'a DbFile, Api) {
    // SAFETY: only a `ReplicaFile` has these methods, and SQLite closes it in a later call.
    let replica_file = unsafe { &*file.cast::<ReplicaFile>() };
    // SAFETY: `ReplicaFile::new` made the box, and only `close` frees it, in a later call.
    (unsafe { &*replica_file.file }, replica_file.api)
}

/// Runs a method of an open file, and converts its error to a result code.
///
/// # Safety
/// SQLite is calling a method of [`METHODS`] with `file`.
unsafe fn method(name: &str, file: *mut SqliteFile, body: impl FnOnce(&DbFile) -> Result<c_int, Error>) -> c_int {
    guard(name, SQLITE_IOERR, || {
        // SAFETY: SQLite is calling a method with `file`, by the contract of this function, and the references end with it.
        let (file, api) = unsafe { opened(file) };
        let error_code = |error: Error| match file.is_new_error(&error) {
            true => report(api, &error, During::Use),
            false => code(error.kind(), During::Use),
        };
        body(file).unwrap_or_else(error_code)
    })
}

unsafe extern "C" fn close(file: *mut SqliteFile) -> c_int {
    guard("xClose", SQLITE_IOERR, || {
        // SAFETY: only a `ReplicaFile` has this method, and its box is not freed yet. SQLite calls this once, and no other method afterwards.
        unsafe {
            (*file).methods = ptr::null();
            drop(Box::from_raw((*file.cast::<ReplicaFile>()).file));
        }
        SQLITE_OK
    })
}

unsafe extern "C" fn read(file: *mut SqliteFile, buffer: *mut c_void, amount: c_int, offset: i64) -> c_int {
    let body = |file: &DbFile| {
        // SAFETY: the arguments are those of this method.
        let Some((buffer, offset)) = (unsafe { transfer::target(buffer, amount, offset) }) else {
            return Ok(SQLITE_IOERR_READ);
        };
        Ok(match file.read(buffer, offset)? {
            Filled::Whole => SQLITE_OK,
            Filled::Short => SQLITE_IOERR_SHORT_READ,
        })
    };
    // SAFETY: SQLite is calling `xRead` with `file`.
    unsafe { method("xRead", file, body) }
}

unsafe extern "C" fn write(file: *mut SqliteFile, bytes: *const c_void, amount: c_int, offset: i64) -> c_int {
    let body = |file: &DbFile| {
        // SAFETY: the arguments are those of this method.
        match unsafe { transfer::source(bytes, amount, offset) } {
            Some((bytes, offset)) if file.writes() => file.write(bytes, offset).map(|()| SQLITE_OK),
            _ => Ok(SQLITE_READONLY),
        }
    };
    // SAFETY: SQLite is calling `xWrite` with `file`.
    unsafe { method("xWrite", file, body) }
}

unsafe extern "C" fn truncate(file: *mut SqliteFile, size: i64) -> c_int {
    let body = |file: &DbFile| match (file.writes(), u64::try_from(size)) {
        (true, Ok(size)) => file.truncate(size).map(|()| SQLITE_OK),
        _ => Ok(SQLITE_READONLY),
    };
    // SAFETY: SQLite is calling `xTruncate` with `file`.
    unsafe { method("xTruncate", file, body) }
}

/// Does nothing: `SQLITE_FCNTL_SYNC`, which SQLite sends before, commits. SQLite does not call this method with `synchronous=OFF`.
unsafe extern "C" fn sync(_: *mut SqliteFile, _: c_int) -> c_int {
    SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut SqliteFile, size: *mut i64) -> c_int {
    let body = |file: &DbFile| {
        // The cast does not overflow: a database has fewer than 2^32 pages of at most 2^16 bytes.
        let bytes = file.size()? as i64;
        // SAFETY: SQLite passes room for the size.
        unsafe { size.write(bytes) };
        Ok(SQLITE_OK)
    };
    // SAFETY: SQLite is calling `xFileSize` with `file`.
    unsafe { method("xFileSize", file, body) }
}

unsafe extern "C" fn lock(file: *mut SqliteFile, level: c_int) -> c_int {
    // SAFETY: SQLite is calling `xLock` with `file`, which only a `ReplicaFile` has.
    let seems_writable = unsafe { &*file.cast::<ReplicaFile>() }.seems_writable();
    let body = |file: &DbFile| match level {
        SQLITE_LOCK_NONE => Ok(SQLITE_OK),
        SQLITE_LOCK_SHARED => file.lock().map(|()| SQLITE_OK),
        // Readers see a state that no writer changes, so the higher locks need nothing more than RESERVED.
        _ if file.writes() => file.reserve().map(|()| SQLITE_OK),
        _ if seems_writable => Ok(SQLITE_OK),
        _ => Ok(SQLITE_READONLY),
    };
    // SAFETY: SQLite is calling `xLock` with `file`.
    unsafe { method("xLock", file, body) }
}

unsafe extern "C" fn unlock(file: *mut SqliteFile, level: c_int) -> c_int {
    let body = |file: &DbFile| {
        match level {
            SQLITE_LOCK_NONE => file.unlock(),
            _ => file.end_write(),
        }
        Ok(SQLITE_OK)
    };
    // SAFETY: SQLite is calling `xUnlock` with `file`.
    unsafe { method("xUnlock", file, body) }
}

/// Always reports that no connection holds a RESERVED lock: SQLite asks only when it finds a journal, and there never is one.
unsafe extern "C" fn check_reserved_lock(_: *mut SqliteFile, reserved: *mut c_int) -> c_int {
    // SAFETY: SQLite passes room for the result.
    unsafe { reserved.write(0) };
    SQLITE_OK
}

unsafe extern "C" fn sector_size(file: *mut SqliteFile) -> c_int {
    const DEFAULT: c_int = 4096;
    guard("xSectorSize", DEFAULT, || {
        // SAFETY: SQLite is calling `xSectorSize` with `file`.
        let (file, _) = unsafe { opened(file) };
        file.page_size().and_then(|size| size.try_into().ok()).unwrap_or(DEFAULT)
    })
}

/// Never includes `SQLITE_IOCAP_IMMUTABLE`, with which SQLite would not check whether the database has changed. A commit is atomic, so what
/// SQLite does for a disk that may lose power in the middle of a write has no use.
unsafe extern "C" fn device_characteristics(file: *mut SqliteFile) -> c_int {
    const WRITTEN: c_int = SQLITE_IOCAP_SAFE_APPEND | SQLITE_IOCAP_SEQUENTIAL | SQLITE_IOCAP_POWERSAFE_OVERWRITE;
    guard("xDeviceCharacteristics", 0, || {
        // SAFETY: SQLite is calling `xDeviceCharacteristics` with `file`.
        let (file, _) = unsafe { opened(file) };
        if file.writes() { WRITTEN } else { 0 }
    })
}

unsafe extern "C" fn file_control(opened_file: *mut SqliteFile, operation: c_int, argument: *mut c_void) -> c_int {
    let commit = |file: &DbFile| file.commit().map(|()| SQLITE_OK);
    guard("xFileControl", SQLITE_IOERR, || {
        // SAFETY: SQLite is calling `xFileControl` with `opened_file`.
        let (file, api) = unsafe { opened(opened_file) };
        match operation {
            // SAFETY: the argument of SQLITE_FCNTL_PDB is the address at which SQLite keeps the connection, valid until the file is closed.
            SQLITE_FCNTL_PDB => unsafe { file.set_db(argument.cast_const().cast()) },
            // SAFETY: SQLite is calling `xFileControl` with `file`.
            SQLITE_FCNTL_SYNC => return unsafe { method("xFileControl", opened_file, commit) },
            // SAFETY: the argument of SQLITE_FCNTL_VFSNAME is room for a string, which SQLite frees.
            SQLITE_FCNTL_VFSNAME => unsafe {
                argument.cast::<*mut c_char>().write(api.allocate(&VFS.to_string_lossy()))
            },
            // SAFETY: the argument of SQLITE_FCNTL_PRAGMA is the array of strings that `pragma` takes.
            SQLITE_FCNTL_PRAGMA => return unsafe { pragma(file, api, argument.cast()) },
            // SAFETY: only `ControlCall::send` sends this operation. Its argument is a `ControlCall` that lives until the file control
            // returns, and that nothing else uses meanwhile.
            CONTROL_CALL => handle(file, unsafe { &mut *argument.cast::<ControlCall<'_>>() }),
            _ => return SQLITE_NOTFOUND,
        }
        SQLITE_OK
    })
}

fn handle(file: &DbFile, call: &mut ControlCall<'_>) {
    call.file = Some(file.reached());
    call.result = call.op.map(|op| file.run(op, Some(call.schema)));
}

/// Runs a pragma. Writes its result or its error text to `strings[0]`, and returns a result code.
///
/// # Safety
/// `strings` is the argument of the current `SQLITE_FCNTL_PRAGMA`: room for the result, the name, and the value or null.
unsafe fn pragma(file: &DbFile, api: Api, strings: *mut *mut c_char) -> c_int {
    // SAFETY: the array has entries 1 and 2, by the contract of this function. Each is null or a string that SQLite keeps until the file control
    // returns.
    let text = |at: usize| unsafe {
        let text = *strings.add(at);
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy())
    };
    let Some(pragma) = text(1).and_then(|name| Pragma::parse(&name, text(2).as_deref())) else {
        return SQLITE_NOTFOUND;
    };
    let result = pragma.map_err(SqlError::from).and_then(|pragma| match pragma {
        Pragma::Run(op) => Ok(Some(file.run(&op, None)?.into_text())),
        Pragma::Wal => Ok(file.mode_instead_of_wal()),
    });
    let (code, text) = match result {
        Ok(Some(text)) => (SQLITE_OK, text),
        Ok(None) => return SQLITE_NOTFOUND,
        Err(error) => (error.code, error.text),
    };
    // SAFETY: entry 0 is room for a string, by the contract of this function. SQLite frees the string, which comes from its allocator.
    unsafe { strings.write(api.allocate(&text)) };
    code
}
