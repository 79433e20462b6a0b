//! The rollback journal of a replica that is written: temporary, because nothing of a transaction is in the replica before its commit, so
//! no other process has anything to roll back.

use super::errors::log_error;
use super::ffi::*;
use super::guard::guard;
use super::transfer;
use crate::scratch::Scratch;
use crate::sqlite::api::Api;
use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;

/// How many bytes of a journal are kept in memory.
const IN_MEMORY: usize = 1 << 20;

/// The content of the memory that SQLite provides for a journal.
#[repr(C)]
pub struct JournalFile {
    base: SqliteFile,
    api: Api,
    /// A box, which `xClose` frees.
    content: *mut Scratch,
}

impl JournalFile {
    /// An empty journal to write into the memory that SQLite provides. It must be closed by `xClose`.
    pub fn new(api: Api) -> JournalFile {
        let content = Box::into_raw(Box::new(Scratch::new(IN_MEMORY)));
        JournalFile { base: SqliteFile { methods: &METHODS }, api, content }
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
    unlock: lock,
    check_reserved_lock,
    file_control,
    sector_size,
    device_characteristics,
};

/// Runs a method on the content of a journal, and converts its error to `code`.
///
/// # Safety
/// SQLite is calling a method of [`METHODS`] with `file`, and no other at the same time.
unsafe fn method(
    name: &str,
    file: *mut SqliteFile,
    code: c_int,
    body: impl FnOnce(&mut Scratch) -> io::Result<c_int>,
) -> c_int {
    guard(name, code, || {
        // SAFETY: only a `JournalFile` has these methods. `new` made the box, which only `close` frees. SQLite calls one method at a time.
        let (content, api) = unsafe {
            let journal = &*file.cast::<JournalFile>();
            (&mut *journal.content, journal.api)
        };
        body(content).unwrap_or_else(|cause| {
            log_error(api, code, &format!("the journal of a transaction, a temporary file, cannot be used: {cause}"));
            code
        })
    })
}

unsafe extern "C" fn close(file: *mut SqliteFile) -> c_int {
    guard("xClose", SQLITE_IOERR, || {
        // SAFETY: only a `JournalFile` has this method, and its box is not freed yet. SQLite calls no other method afterwards.
        unsafe {
            (*file).methods = ptr::null();
            drop(Box::from_raw((*file.cast::<JournalFile>()).content));
        }
        SQLITE_OK
    })
}

unsafe extern "C" fn read(file: *mut SqliteFile, buffer: *mut c_void, amount: c_int, offset: i64) -> c_int {
    let body = |content: &mut Scratch| {
        // SAFETY: the arguments are those of this method.
        let Some((buffer, offset)) = (unsafe { transfer::target(buffer, amount, offset) }) else {
            return Ok(SQLITE_IOERR_READ);
        };
        Ok(if content.read(buffer, offset)? == buffer.len() { SQLITE_OK } else { SQLITE_IOERR_SHORT_READ })
    };
    // SAFETY: SQLite is calling `xRead` with `file`.
    unsafe { method("xRead", file, SQLITE_IOERR_READ, body) }
}

unsafe extern "C" fn write(file: *mut SqliteFile, bytes: *const c_void, amount: c_int, offset: i64) -> c_int {
    let body = |content: &mut Scratch| {
        // SAFETY: the arguments are those of this method.
        match unsafe { transfer::source(bytes, amount, offset) } {
            Some((bytes, offset)) => content.write(bytes, offset).map(|()| SQLITE_OK),
            None => Ok(SQLITE_IOERR_WRITE),
        }
    };
    // SAFETY: SQLite is calling `xWrite` with `file`.
    unsafe { method("xWrite", file, SQLITE_IOERR_WRITE, body) }
}

unsafe extern "C" fn truncate(file: *mut SqliteFile, size: i64) -> c_int {
    let body = |content: &mut Scratch| content.truncate(u64::try_from(size).unwrap_or(0)).map(|()| SQLITE_OK);
    // SAFETY: SQLite is calling `xTruncate` with `file`.
    unsafe { method("xTruncate", file, SQLITE_IOERR, body) }
}

/// Does nothing: the journal need not survive the process.
unsafe extern "C" fn sync(_: *mut SqliteFile, _: c_int) -> c_int {
    SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut SqliteFile, size: *mut i64) -> c_int {
    let body = |content: &mut Scratch| {
        // SAFETY: SQLite passes room for the size.
        unsafe { size.write(i64::try_from(content.length()).unwrap_or(i64::MAX)) };
        Ok(SQLITE_OK)
    };
    // SAFETY: SQLite is calling `xFileSize` with `file`.
    unsafe { method("xFileSize", file, SQLITE_IOERR, body) }
}

/// SQLite does not lock journals.
unsafe extern "C" fn lock(_: *mut SqliteFile, _: c_int) -> c_int {
    SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_: *mut SqliteFile, reserved: *mut c_int) -> c_int {
    // SAFETY: SQLite passes room for the result.
    unsafe { reserved.write(0) };
    SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut SqliteFile, _: c_int, _: *mut c_void) -> c_int {
    SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut SqliteFile) -> c_int {
    512
}

unsafe extern "C" fn device_characteristics(_: *mut SqliteFile) -> c_int {
    0
}
