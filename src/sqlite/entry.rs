//! Entry points.
//!
//! SQLite looks for one named after the file it loads (`litestream-vfs.so` gives `sqlite3_litestreamvfs_init`), then
//! for `sqlite3_extension_init`. All load the same: they register the VFS, create functions and tables on the connection, and
//! have SQLite call [`litestream_vfs_static_init`] for every connection opened later. Nothing else happens before the
//! first replica is opened: no thread, no look at the environment, no I/O.

use super::api::{Api, Routines};
use super::errors::{Complaint, During, code};
use super::ffi::*;
use super::guard::guard;
use super::registration::Registration;
use super::undecided;
use std::ffi::{c_char, c_int};

/// The signature of an extension's entry point.
type Entry = unsafe extern "C" fn(*mut Sqlite3, *mut *mut c_char, *const Routines) -> c_int;

/// Loads the extension from `litestream-vfs.so` (`.dylib`, `.dll`).
///
/// Answers `SQLITE_OK_LOAD_PERMANENTLY`, since a VFS must never be unloaded.
///
/// # Safety
/// SQLite calls it, with a connection, room for an error text, and its routines.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_litestreamvfs_init(
    db: *mut Sqlite3,
    error: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    // SAFETY: as promised.
    unsafe { load(db, error, routines) }
}

/// Loads the extension from `litestream.so`; otherwise [`sqlite3_litestreamvfs_init`].
///
/// # Safety
/// As for [`sqlite3_litestreamvfs_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_litestream_init(
    db: *mut Sqlite3,
    error: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    // SAFETY: as promised.
    unsafe { load(db, error, routines) }
}

/// Loads the extension from a file of any other name; otherwise [`sqlite3_litestreamvfs_init`].
///
/// # Safety
/// As for [`sqlite3_litestreamvfs_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_extension_init(
    db: *mut Sqlite3,
    error: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    // SAFETY: as promised.
    unsafe { load(db, error, routines) }
}

/// The entry point for programs that link this library, to be passed to their `sqlite3_auto_extension`: the next
/// connection they open, to any database, registers the VFS, and every connection gets functions and tables.
/// C programs find it under its name with the cargo feature `static`.
///
/// Returns `SQLITE_OK` on every SQLite that is new enough: a plain connection must open whatever became of the VFS. The exception is a
/// connection to a replica that turned out not to open, or that was meant and is none: there the host gets the reason.
///
/// # Safety
/// SQLite calls it, with a connection, room for an error text, and its routines.
#[cfg_attr(feature = "static", unsafe(no_mangle))]
pub unsafe extern "C" fn litestream_vfs_static_init(
    db: *mut Sqlite3,
    error: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    let body = |api: Api| {
        // SAFETY: as promised.
        match unsafe { prepare(api, db) } {
            // SAFETY: as promised.
            Ok(registration) => unsafe { check(registration, db) }?,
            Err(text) => api.log(SQLITE_ERROR, &text),
        }
        Ok(SQLITE_OK)
    };
    // SAFETY: as promised.
    unsafe { run(error, routines, body) }
}

/// # Safety
/// As for [`sqlite3_litestreamvfs_init`].
unsafe fn load(db: *mut Sqlite3, error: *mut *mut c_char, routines: *const Routines) -> c_int {
    let body = |api: Api| {
        // SAFETY: as promised.
        unsafe { prepare(api, db) }?;
        // SAFETY: SQLite calls the entry back with the arguments it has by its real type.
        let later = unsafe { std::mem::transmute::<Entry, unsafe extern "C" fn()>(litestream_vfs_static_init) };
        // SAFETY: see above.
        match unsafe { api.auto_extension(later) } {
            SQLITE_OK => Ok(SQLITE_OK_LOAD_PERMANENTLY),
            code => Err(format!("SQLite does not take the callback for later connections (result code {code})").into()),
        }
    };
    // SAFETY: as promised.
    unsafe { run(error, routines, body) }
}

/// Registers the VFS if need be, and creates functions and tables on a connection.
///
/// # Safety
/// `db` is null or an open connection of the library of `api`.
unsafe fn prepare(api: Api, db: *mut Sqlite3) -> Result<&'static Registration, String> {
    let registration = Registration::in_library(api)?;
    if !db.is_null() {
        // SAFETY: as promised.
        let created = unsafe {
            [("functions", registration.functions.create(api, db)), ("tables", registration.tables.create(db))]
        };
        if let Some((what, code)) = created.into_iter().find(|(_, code)| *code != SQLITE_OK) {
            return Err(format!("SQLite does not take the {what} of litestream-vfs (result code {code})"));
        }
    }
    Ok(registration)
}

/// Looks at the main database of a connection that SQLite has just opened.
///
/// # Safety
/// `db` is null or an open connection of the library of `registration`.
unsafe fn check(registration: &Registration, db: *mut Sqlite3) -> Result<(), Complaint> {
    if db.is_null() {
        return Ok(());
    }
    // SAFETY: as promised.
    let error = unsafe { undecided::failure(registration, db).or_else(|| undecided::without_vfs(registration, db)) };
    match error {
        Some(error) => Err(Complaint { code: code(error.kind(), During::Open), text: error.to_string() }),
        None => Ok(()),
    }
}

/// Runs an entry point, and hands the text of its error to the host.
///
/// # Safety
/// As for [`sqlite3_litestreamvfs_init`].
unsafe fn run(
    error: *mut *mut c_char,
    routines: *const Routines,
    body: impl FnOnce(Api) -> Result<c_int, Complaint>,
) -> c_int {
    guard("loading", SQLITE_ERROR, || {
        // SAFETY: as promised.
        let Some(api) = (unsafe { Api::of_host(routines) }) else {
            tracing::error!("litestream-vfs was loaded without SQLite's routines");
            return SQLITE_ERROR;
        };
        let complaint = match api.check().map_err(Complaint::from).and_then(|()| body(api)) {
            Ok(code) => return code,
            Err(complaint) => complaint,
        };
        // SAFETY: as promised; SQLite frees the text.
        if let Some(error) = unsafe { error.as_mut() } {
            *error = api.allocate(&complaint.text);
        }
        complaint.code
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    #[test]
    fn a_host_without_routines_gets_an_error() {
        let mut error = ptr::null_mut();
        let entries: [Entry; 4] =
            [sqlite3_litestreamvfs_init, sqlite3_litestream_init, sqlite3_extension_init, litestream_vfs_static_init];
        for entry in entries {
            // SAFETY: nothing but room for a text is there.
            assert_eq!(unsafe { entry(ptr::null_mut(), &mut error, ptr::null()) }, SQLITE_ERROR);
        }
        assert!(error.is_null());
    }
}
