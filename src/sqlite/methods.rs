//! A replica file's methods, as SQLite calls them.

use super::api::Api;
use super::control::{ControlCall, REQUEST};
use super::errors::{Complaint, During, code, report};
use super::ffi::*;
use super::file::{DbFile, Filled};
use super::guard::guard;
use super::names::VFS;
use super::pragma::Pragma;
use crate::error::Error;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

/// What stands in the memory that SQLite gives to a file.
#[repr(C)]
pub struct ReplicaFile {
    base: SqliteFile,
    api: Api,
    file: *mut DbFile,
    flags: c_int,
}

impl ReplicaFile {
    /// An open file, to be written where SQLite wants it; `xClose` ends it. `flags` are those that `xOpen` answers.
    pub fn new(api: Api, file: DbFile, flags: c_int) -> ReplicaFile {
        ReplicaFile { base: SqliteFile { methods: &METHODS }, api, file: Box::into_raw(Box::new(file)), flags }
    }

    /// Whether SQLite takes the file for one that can be written. It then asks for the locks of a writer also for BEGIN IMMEDIATE, which of a
    /// read-only database is a read transaction. So it gets them, and fails when it opens the journal or writes.
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

/// The file behind SQLite's pointer.
///
/// # Safety
/// `file` was opened by [`ReplicaFile::new`], is not closed, and the call under way is SQLite's on it.
unsafe fn opened<'a>(file: *mut SqliteFile) -> (&'a DbFile, Api) {
    // SAFETY: as promised, a `ReplicaFile` stands there.
    let replica_file = unsafe { &*file.cast::<ReplicaFile>() };
    // SAFETY: the box lives until `close`.
    (unsafe { &*replica_file.file }, replica_file.api)
}

/// Runs a method of an open file, and makes a code of its error.
///
/// # Safety
/// As for [`opened`].
unsafe fn method(name: &str, file: *mut SqliteFile, body: impl FnOnce(&DbFile) -> Result<c_int, Error>) -> c_int {
    guard(name, SQLITE_IOERR, || {
        // SAFETY: as promised.
        let (file, api) = unsafe { opened(file) };
        let said = |error: Error| match file.is_news(&error) {
            true => report(api, &error, During::Use),
            false => code(error.kind(), During::Use),
        };
        body(file).unwrap_or_else(said)
    })
}

unsafe extern "C" fn close(file: *mut SqliteFile) -> c_int {
    guard("xClose", SQLITE_IOERR, || {
        // SAFETY: SQLite closes a file once, and calls none of its methods afterwards.
        unsafe {
            (*file).methods = ptr::null();
            drop(Box::from_raw((*file.cast::<ReplicaFile>()).file));
        }
        SQLITE_OK
    })
}

unsafe extern "C" fn read(file: *mut SqliteFile, buffer: *mut c_void, amount: c_int, offset: i64) -> c_int {
    let body = |file: &DbFile| {
        let (Ok(amount), Ok(offset)) = (usize::try_from(amount), u64::try_from(offset)) else {
            return Ok(SQLITE_IOERR_READ);
        };
        // SAFETY: SQLite's buffer has room for that many bytes, and nobody else has it during the call.
        let buffer = unsafe { std::slice::from_raw_parts_mut(buffer.cast(), amount) };
        Ok(match file.read(buffer, offset)? {
            Filled::Whole => SQLITE_OK,
            Filled::Short => SQLITE_IOERR_SHORT_READ,
        })
    };
    // SAFETY: SQLite calls this on a file of ours.
    unsafe { method("xRead", file, body) }
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

unsafe extern "C" fn file_size(file: *mut SqliteFile, size: *mut i64) -> c_int {
    let body = |file: &DbFile| {
        // At most 2^32 pages of 2^16 bytes.
        let bytes = file.size()? as i64;
        // SAFETY: SQLite wants the size there.
        unsafe { size.write(bytes) };
        Ok(SQLITE_OK)
    };
    // SAFETY: SQLite calls this on a file of ours.
    unsafe { method("xFileSize", file, body) }
}

unsafe extern "C" fn lock(file: *mut SqliteFile, level: c_int) -> c_int {
    // SAFETY: SQLite calls this on a file of ours.
    let seems_writable = unsafe { &*file.cast::<ReplicaFile>() }.seems_writable();
    let body = |file: &DbFile| match level {
        SQLITE_LOCK_NONE => Ok(SQLITE_OK),
        SQLITE_LOCK_SHARED => file.lock().map(|()| SQLITE_OK),
        _ if seems_writable => Ok(SQLITE_OK),
        _ => Ok(SQLITE_READONLY),
    };
    // SAFETY: SQLite calls this on a file of ours.
    unsafe { method("xLock", file, body) }
}

unsafe extern "C" fn unlock(file: *mut SqliteFile, level: c_int) -> c_int {
    let body = |file: &DbFile| {
        if level == SQLITE_LOCK_NONE {
            file.unlock();
        }
        Ok(SQLITE_OK)
    };
    // SAFETY: SQLite calls this on a file of ours.
    unsafe { method("xUnlock", file, body) }
}

unsafe extern "C" fn check_reserved_lock(_: *mut SqliteFile, reserved: *mut c_int) -> c_int {
    // SAFETY: SQLite wants the answer there. Nobody writes, so nobody has the lock.
    unsafe { reserved.write(0) };
    SQLITE_OK
}

unsafe extern "C" fn sector_size(file: *mut SqliteFile) -> c_int {
    const USUAL: c_int = 4096;
    guard("xSectorSize", USUAL, || {
        // SAFETY: SQLite calls this on a file of ours.
        let (file, _) = unsafe { opened(file) };
        file.page_size().and_then(|size| size.try_into().ok()).unwrap_or(USUAL)
    })
}

/// Never `SQLITE_IOCAP_IMMUTABLE`: SQLite would stop looking whether the database changed.
unsafe extern "C" fn device_characteristics(_: *mut SqliteFile) -> c_int {
    0
}

unsafe extern "C" fn file_control(file: *mut SqliteFile, operation: c_int, argument: *mut c_void) -> c_int {
    guard("xFileControl", SQLITE_IOERR, || {
        // SAFETY: SQLite calls this on a file of ours.
        let (file, api) = unsafe { opened(file) };
        match operation {
            SQLITE_FCNTL_PDB => file.set_db(argument.cast_const().cast()),
            // SAFETY: SQLite wants the name there, in memory of its own.
            SQLITE_FCNTL_VFSNAME => unsafe {
                argument.cast::<*mut c_char>().write(api.allocate(&VFS.to_string_lossy()))
            },
            // SAFETY: SQLite passes the pragma's strings.
            SQLITE_FCNTL_PRAGMA => return unsafe { pragma(file, api, argument.cast()) },
            // SAFETY: only `functions` and `DbFile` send this, and they send a request that waits for its answer.
            REQUEST => answer(file, unsafe { &mut *argument.cast::<ControlCall<'_>>() }),
            _ => return SQLITE_NOTFOUND,
        }
        SQLITE_OK
    })
}

fn answer(file: &DbFile, request: &mut ControlCall<'_>) {
    request.file = file;
    request.answer = request.question.map(|question| file.answer(question, Some(request.schema)));
}

/// Answers a pragma, by text in `strings[0]`: the one row it has, or what is wrong with it.
///
/// # Safety
/// `strings` are those of `SQLITE_FCNTL_PRAGMA`: room for the answer, the name, and the value or null.
unsafe fn pragma(file: &DbFile, api: Api, strings: *mut *mut c_char) -> c_int {
    // SAFETY: as promised.
    let text = |at: usize| unsafe {
        let text = *strings.add(at);
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy())
    };
    let Some(pragma) = text(1).and_then(|name| Pragma::parse(&name, text(2).as_deref())) else {
        return SQLITE_NOTFOUND;
    };
    let answer = pragma.map_err(Complaint::from).and_then(|pragma| match pragma {
        Pragma::Fixed(answer) => Ok(answer.to_owned()),
        Pragma::Ask(question) => Ok(file.answer(&question, None)?.into_text()),
    });
    let (code, words) = match answer {
        Ok(answer) => (SQLITE_OK, answer),
        Err(complaint) => (complaint.code, complaint.text),
    };
    // SAFETY: as promised; SQLite frees the text.
    unsafe { strings.write(api.allocate(&words)) };
    code
}
