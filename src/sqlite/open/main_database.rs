//! Errors of a connection's main database that are detected only after SQLite has opened it.

use crate::error::{Error, ErrorKind};
use crate::sqlite::control::ControlCall;
use crate::sqlite::ffi::*;
use crate::sqlite::registration::Registration;
use std::ptr;

/// Returns the error of a main database that could not be opened once its role was known, although `xOpen` had succeeded.
///
/// # Safety
/// `db` is an open connection of the library of `registration`, and this thread is its only user.
pub unsafe fn open_failure(registration: &Registration, db: *mut Sqlite3) -> Option<Error> {
    let mut call = ControlCall::new(c"main", None);
    // SAFETY: `db` is open and used by no other thread, by the contract of this function.
    unsafe { call.send(registration.api, db) };
    call.result.and_then(Result::err)
}

/// Returns an error if the URI of a main database names a replica but the connection uses the default VFS. Without this error the connection
/// would have an empty local database.
///
/// # Safety
/// `db` is an open connection of the library of `registration`, and this thread is its only user.
pub unsafe fn missing_vfs(registration: &Registration, db: *mut Sqlite3) -> Option<Error> {
    let api = registration.api;
    let mut vfs: *mut Vfs = ptr::null_mut();
    // SAFETY: `db` is open and used by no other thread, by the contract of this function. `SQLITE_FCNTL_VFS_POINTER` writes a pointer to a
    // VFS, for which `vfs` is room.
    let (code, name) = unsafe {
        let code = api.file_control(db, c"main", SQLITE_FCNTL_VFS_POINTER, (&raw mut vfs).cast());
        (code, api.filename(db, c"main"))
    };
    if code != SQLITE_OK || !ptr::eq(vfs, registration.default) || name.is_null() {
        return None;
    }
    // SAFETY: `name` is the name that SQLite passed to `xOpen` for the main database, which is open.
    unsafe { api.uri_parameter(name, "replica_url") }?;
    let text = "the URI has the parameter replica_url, but was opened without the VFS that reads replicas";
    Some(Error::new(ErrorKind::Config, text).remedy("add vfs=litestream to it"))
}
