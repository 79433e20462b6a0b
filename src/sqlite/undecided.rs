//! A file that is opened before it is known what it is, or whether it may be opened.
//!
//! While `LITESTREAM_REPLICA_URL` is set, a bare name of which no local file exists is the replica if it names the main database of a
//! connection, and a new local file if ATTACH or VACUUM INTO opens it. `xOpen` cannot tell the two apart (see [`Role`]), so it opens
//! an [`UndecidedFile`], which becomes the one or the other in its place once SQLite names the connection. Until then it reads as
//! empty, as a new file does, and SQLite asks again for the page size when it takes the first lock.
//!
//! The same goes for a replica of which it depends on who asks whether it may be opened (see [`access`]): nothing is asked of
//! it before that is known.
//!
//! `xOpen` also has to say whether the file can be written. If SQLite may create files, the answer is yes, for the sake of the local
//! file: `sqlite3_db_readonly` then returns 0 for such a replica too, and a write fails with `SQLITE_READONLY` when it opens its journal.

use super::access::{self, AccessCondition};
use super::control::{ControlCall, REQUEST};
use super::errors::{During, code, report};
use super::ffi::*;
use super::guard::guard;
use super::pathname;
use super::registration::Registration;
use super::role::Role;
use super::vfs::{self, OpenedName};
use crate::error::{Error, ErrorKind};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

/// What is in the memory that SQLite gives to a file until the decision, and after one that failed.
#[repr(C)]
pub struct UndecidedFile {
    base: SqliteFile,
    registration: &'static Registration,
    /// SQLite keeps it until the file is closed.
    name: *const c_char,
    flags: c_int,
    /// The replica that it is, and on what it depends whether it may be opened; None if its role decides what it is.
    replica: Option<Box<(OpenedName, AccessCondition)>>,
    failure: Option<UndecidedFailure>,
}

/// Why the file could not be opened: what every method returns from then on.
struct UndecidedFailure {
    code: c_int,
    /// None for a local file, of which the default VFS has told what there is to tell.
    error: Option<Error>,
}

impl UndecidedFile {
    /// A file to be opened by `name` with the flags of `xOpen`; to be written where SQLite wants it.
    pub fn new(
        registration: &'static Registration,
        name: *const c_char,
        flags: c_int,
        replica: Option<Box<(OpenedName, AccessCondition)>>,
    ) -> UndecidedFile {
        UndecidedFile { base: SqliteFile { methods: &METHODS }, registration, name, flags, replica, failure: None }
    }

    /// The flags that `xOpen` answers. Without SQLITE_OPEN_CREATE no local file can come of it.
    pub fn out_flags(flags: c_int) -> c_int {
        if flags & SQLITE_OPEN_CREATE != 0 { flags } else { vfs::read_only(flags) }
    }

    /// The code of whatever takes an open file.
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

/// The file behind SQLite's pointer.
///
/// # Safety
/// An [`UndecidedFile`] is at `file`, and the call under way is SQLite's on it.
unsafe fn undecided<'a>(file: *mut SqliteFile) -> &'a UndecidedFile {
    // SAFETY: as promised.
    unsafe { &*file.cast::<UndecidedFile>() }
}

unsafe extern "C" fn close(file: *mut SqliteFile) -> c_int {
    guard("xClose", SQLITE_IOERR, || {
        // SAFETY: SQLite closes a file once, and calls none of its methods afterwards.
        unsafe {
            ptr::drop_in_place(file.cast::<UndecidedFile>());
            (*file).methods = ptr::null();
        }
        SQLITE_OK
    })
}

unsafe extern "C" fn read(file: *mut SqliteFile, buffer: *mut c_void, amount: c_int, _: i64) -> c_int {
    // SAFETY: SQLite calls this on a file of this kind.
    if let Some(failure) = unsafe { &undecided(file).failure } {
        return failure.code;
    }
    // SAFETY: SQLite's buffer has room for that many bytes.
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
    // SAFETY: SQLite calls this on a file of this kind.
    unsafe { undecided(file) }.code()
}

unsafe extern "C" fn lock(file: *mut SqliteFile, _: c_int) -> c_int {
    // SAFETY: SQLite calls this on a file of this kind.
    unsafe { undecided(file) }.code()
}

unsafe extern "C" fn unlock(_: *mut SqliteFile, _: c_int) -> c_int {
    SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_: *mut SqliteFile, reserved: *mut c_int) -> c_int {
    // SAFETY: SQLite wants the answer there.
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
        // SAFETY: SQLite calls this on a file of this kind.
        let failure = unsafe { &undecided(file).failure };
        match (operation, failure) {
            (SQLITE_FCNTL_PDB, None) => {
                // SAFETY: SQLite passes where it keeps the connection.
                unsafe { decide(file, argument.cast::<*mut Sqlite3>()) };
                SQLITE_OK
            }
            (REQUEST, Some(UndecidedFailure { error: Some(error), .. })) => {
                // SAFETY: only this library sends this, and it sends a request that waits for its answer.
                unsafe { (*argument.cast::<ControlCall<'_>>()).answer = Some(Err(error.clone())) };
                SQLITE_NOTFOUND
            }
            _ => SQLITE_NOTFOUND,
        }
    })
}

/// Puts the file that it is in the place of the undecided one, and names it the connection.
///
/// # Safety
/// An [`UndecidedFile`] is at `file`, in memory for any file of this VFS, and SQLite keeps its connection at `db`.
unsafe fn decide(file: *mut SqliteFile, db: *mut *mut Sqlite3) {
    // SAFETY: as promised.
    let &UndecidedFile { registration, name, flags, .. } = unsafe { undecided(file) };
    // SAFETY: as promised, and nothing refers to the file now.
    let replica = unsafe { (*file.cast::<UndecidedFile>()).replica.take() };
    // SAFETY: as promised.
    let opened = unsafe {
        match (replica, Role::of(registration.api, *db, name)) {
            (Some(replica), role) => {
                let (named, condition) = *replica;
                let opener = access::opener(registration.api, *db, role);
                let granted = opener.and_then(|opener| condition.check(opener));
                granted
                    .map_err(|error| failed(registration, vfs::not_opened(name, error)))
                    .and_then(|()| become_replica(registration, name, &named, file, flags))
            }
            (None, Role::Main) => {
                let read = vfs::read_name(registration, name).map_err(|error| failed(registration, error));
                read.and_then(|(named, _)| become_replica(registration, name, &named, file, flags))
            }
            (None, Role::Attached) => become_local(registration, name, file, flags),
        }
    };
    match opened {
        // SAFETY: an open file is there now.
        Ok(()) => unsafe {
            ((*(*file).methods).file_control)(file, SQLITE_FCNTL_PDB, db.cast());
        },
        Err(failure) => {
            let failed =
                UndecidedFile { failure: Some(failure), ..UndecidedFile::new(registration, name, flags, None) };
            // SAFETY: nothing that has to be dropped is there.
            unsafe { file.cast::<UndecidedFile>().write(failed) };
        }
    }
}

/// # Safety
/// As for [`decide`].
unsafe fn become_replica(
    registration: &'static Registration,
    name: *const c_char,
    named: &OpenedName,
    file: *mut SqliteFile,
    flags: c_int,
) -> Result<(), UndecidedFailure> {
    // SAFETY: as promised.
    let opened = unsafe { vfs::open_replica(registration, name, named, file, UndecidedFile::out_flags(flags)) };
    opened.map_err(|error| failed(registration, error))
}

fn failed(registration: &Registration, error: Error) -> UndecidedFailure {
    report(registration.api, &error, During::Open);
    UndecidedFailure { code: code(error.kind(), During::Open), error: Some(error) }
}

/// # Safety
/// As for [`decide`].
unsafe fn become_local(
    registration: &'static Registration,
    name: *const c_char,
    file: *mut SqliteFile,
    flags: c_int,
) -> Result<(), UndecidedFailure> {
    // SAFETY: as promised.
    if pathname::named(unsafe { CStr::from_ptr(name) }).is_some_and(|named| named.moved) {
        // Its own directory cannot be written, and nobody asked for a file in another.
        return Err(UndecidedFailure { code: SQLITE_CANTOPEN, error: None });
    }
    let (default, mut out_flags) = (registration.default, 0);
    // SAFETY: as promised. Without methods a file that failed to open is not closed.
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

/// Why the main database of a connection that was just opened is not open after all: its nature was only known when `xOpen` had
/// succeeded.
///
/// # Safety
/// `db` is open and in the hands of this thread.
pub unsafe fn failure(registration: &Registration, db: *mut Sqlite3) -> Option<Error> {
    let mut request = ControlCall::new(c"main", None);
    // SAFETY: as promised.
    unsafe { request.send(registration.api, db) };
    request.answer.and_then(Result::err)
}

/// An error for a plain connection whose URI names a replica: without this it would be an empty local database.
///
/// # Safety
/// `db` is open and in the hands of this thread.
pub unsafe fn without_vfs(registration: &Registration, db: *mut Sqlite3) -> Option<Error> {
    let api = registration.api;
    let mut vfs: *mut Vfs = ptr::null_mut();
    // SAFETY: as promised; the file control writes a VFS.
    let (code, name) = unsafe {
        let code = api.file_control(db, c"main", SQLITE_FCNTL_VFS_POINTER, (&raw mut vfs).cast());
        (code, api.filename(db, c"main"))
    };
    if code != SQLITE_OK || !ptr::eq(vfs, registration.default) || name.is_null() {
        return None;
    }
    // SAFETY: the name is that of an open database, which has its parameters.
    unsafe { api.uri_parameter(name, "replica_url") }?;
    let text = "the URI has the parameter replica_url, but was opened without the VFS that reads replicas";
    Some(Error::new(ErrorKind::Config, text).remedy("add vfs=litestream to it"))
}
