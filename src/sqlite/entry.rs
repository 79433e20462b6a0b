//! The entry points of the loadable library (`crates/extension`) and of programs that link this crate.
//!
//! Each registers the VFS, creates functions and tables on the connection, and makes SQLite call [`connection_opened`] for
//! every connection opened later. Nothing else happens before the first replica is opened: no thread is started, no
//! environment variable but `LITESTREAM_DEFAULT_VFS` is read, there is no I/O.

use super::api::Api;
pub use super::api::Routines;
use super::errors::{During, SqlError, code};
pub use super::ffi::Sqlite3;
use super::ffi::*;
use super::guard::guard;
use super::registration::Registration;
use super::{open, vfs};
use crate::config;
use crate::last_error;
use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicBool, Ordering};

/// The signature of an extension's entry point.
type EntryPoint = unsafe extern "C" fn(*mut Sqlite3, *mut *mut c_char, *const Routines) -> c_int;

/// The type of an entry point in the declaration of `sqlite3_auto_extension`.
type AutoExtension = unsafe extern "C" fn();

/// Registers the VFS `litestream` with the SQLite library that is linked into this program, for example by `rusqlite`.
///
/// Every connection opened later, to any database, also gets the SQL functions and tables of the extension. Calling this again has no
/// effect.
///
/// # Errors
/// SQLite is older than 3.31, is built without what the VFS needs, has no memory left, or has a VFS of the same name of another extension. The
/// reason is in SQLite's error log. Other databases can be opened afterwards.
///
/// ```
/// litestream_vfs::register()?;
/// # Ok::<(), litestream_vfs::RegisterError>(())
/// ```
// Inlined into the caller, so that only programs that call it need SQLite's symbols: the loadable library must not have them.
#[inline]
pub fn register() -> Result<(), RegisterError> {
    unsafe extern "C" {
        fn sqlite3_auto_extension(entry: AutoExtension) -> c_int;
        fn sqlite3_cancel_auto_extension(entry: AutoExtension) -> c_int;
        fn sqlite3_open(filename: *const c_char, db: *mut *mut Sqlite3) -> c_int;
        fn sqlite3_close(db: *mut Sqlite3) -> c_int;
    }
    // SAFETY: the declarations are those of `sqlite3.h`. SQLite calls the entry point with the arguments of its real type.
    let mut code = unsafe { sqlite3_auto_extension(as_auto_extension(connection_opened)) };
    if code == 0 {
        // SQLite looks for the VFS of a connection before it calls the entry point, so one connection has to come first.
        let mut db = std::ptr::null_mut();
        // SAFETY: the name ends with a zero byte, and `db` is room for an address. SQLite sets it, also if it returns an error, to a
        // connection that may be closed, or to null, for which closing has no effect.
        unsafe {
            code = sqlite3_open(c":memory:".as_ptr(), &mut db);
            sqlite3_close(db);
        }
        if code == 0 && !is_registered() {
            code = SQLITE_ERROR;
        }
        if code != 0 {
            // SAFETY: as for the registration. Otherwise no connection could be opened any more.
            unsafe { sqlite3_cancel_auto_extension(as_auto_extension(connection_opened)) };
        }
    }
    if code == 0 { Ok(()) } else { Err(RegisterError { code }) }
}

/// The error of [`register`]: SQLite refused to register the VFS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("SQLite refused to register litestream-vfs (result code {code})")]
pub struct RegisterError {
    code: c_int,
}

impl RegisterError {
    /// Returns the result code of SQLite, for example `SQLITE_NOMEM` (7).
    pub fn code(&self) -> c_int {
        self.code
    }
}

/// Whether the entry point has registered the VFS in any library of this process.
#[doc(hidden)]
pub fn is_registered() -> bool {
    IS_REGISTERED.load(Ordering::Relaxed)
}

static IS_REGISTERED: AtomicBool = AtomicBool::new(false);

/// Converts an entry point to the type that `sqlite3_auto_extension` takes.
#[doc(hidden)]
pub fn as_auto_extension(entry: EntryPoint) -> AutoExtension {
    // SAFETY: both types are function pointers of the same size. SQLite documents that it calls the function with the arguments of
    // `EntryPoint`.
    unsafe { std::mem::transmute::<EntryPoint, AutoExtension>(entry) }
}

/// The entry point that SQLite calls for each connection it opens: registers the VFS once, and creates the functions and tables.
///
/// Returns `SQLITE_OK` on every SQLite that is new enough, because an ordinary database must open even if the VFS cannot be registered. The
/// exception is a connection to a replica that cannot be opened: it fails with the reason.
///
/// # Safety
/// `db` is null or an open connection, `error` is null or points to room for the address of an error text, and `routines` is null or
/// points to the routines of the SQLite library that owns `db`.
pub unsafe extern "C" fn connection_opened(
    db: *mut Sqlite3,
    error: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    let body = |api: Api| {
        // SAFETY: `db` is null or an open connection of the library of `api`, by the contract of this function.
        match unsafe { prepare(api, db) } {
            // SAFETY: the same `db`, which is null or open, and `registration` is that of its library.
            Ok(registration) => unsafe { check(registration, db) }?,
            Err(text) => api.log(SQLITE_ERROR, &text),
        }
        Ok(SQLITE_OK)
    };
    // SAFETY: `error` and `routines` are null or valid, by the contract of this function.
    unsafe { run(error, routines, body) }
}

/// Which VFS a library becomes the default with, after an entry point of the loadable library has run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultVfs {
    /// `litestream-default` if `LITESTREAM_DEFAULT_VFS` is on. Otherwise the default does not change.
    ByEnvironment,
    /// `litestream-default`.
    Litestream,
}

/// The common implementation of the entry points of the loadable library.
///
/// Returns `SQLITE_OK_LOAD_PERMANENTLY`, because SQLite must never unload a VFS, or an error code with its text in `error`.
///
/// # Safety
/// As for [`connection_opened`].
pub unsafe fn load(default: DefaultVfs, db: *mut Sqlite3, error: *mut *mut c_char, routines: *const Routines) -> c_int {
    let body = |api: Api| {
        // SAFETY: `db` is null or an open connection of the library of `api`, by the contract of this function.
        let registration = unsafe { prepare(api, db) }?;
        if default == DefaultVfs::Litestream || config::default_vfs_in_environment()? {
            vfs::make_default(registration)?;
        }
        // SAFETY: the function lives as long as the process, because the library is never unloaded.
        match unsafe { api.auto_extension(as_auto_extension(connection_opened)) } {
            SQLITE_OK => Ok(SQLITE_OK_LOAD_PERMANENTLY),
            code => Err(format!("SQLite refused the callback for later connections (result code {code})").into()),
        }
    };
    // SAFETY: `error` and `routines` are null or valid, by the contract of this function.
    unsafe { run(error, routines, body) }
}

/// Registers the VFS if it is not registered yet, and creates functions and tables on a connection.
///
/// # Safety
/// `db` is null or an open connection of the library of `api`.
unsafe fn prepare(api: Api, db: *mut Sqlite3) -> Result<&'static Registration, String> {
    let registration = vfs::find_or_register(api)?;
    IS_REGISTERED.store(true, Ordering::Relaxed);
    if !db.is_null() {
        // SAFETY: `db` is not null, so it is an open connection of this library.
        let created = unsafe {
            [("functions", registration.functions.create(api, db)), ("tables", registration.tables.create(db))]
        };
        if let Some((what, code)) = created.into_iter().find(|(_, code)| *code != SQLITE_OK) {
            return Err(format!("SQLite refused the {what} of litestream-vfs (result code {code})"));
        }
    }
    Ok(registration)
}

/// Checks the main database of a connection that SQLite has just opened.
///
/// # Safety
/// `db` is null or an open connection of the library of `registration`.
unsafe fn check(registration: &Registration, db: *mut Sqlite3) -> Result<(), SqlError> {
    if db.is_null() {
        return Ok(());
    }
    // SAFETY: `db` is not null, so it is an open connection of this library, and no other thread has it yet.
    let error = unsafe { open::open_failure(registration, db).or_else(|| open::missing_vfs(registration, db)) };
    match error {
        Some(error) => {
            let text = error.to_string();
            last_error::record(&text);
            Err(SqlError { code: code(error.kind(), During::Open), text })
        }
        None => Ok(()),
    }
}

/// Runs an entry point, and passes the text of its error to SQLite.
///
/// # Safety
/// `error` is null or points to room for the address of a text, and `routines` is null or points to SQLite's routines.
unsafe fn run(
    error: *mut *mut c_char,
    routines: *const Routines,
    body: impl FnOnce(Api) -> Result<c_int, SqlError>,
) -> c_int {
    guard("loading", SQLITE_ERROR, || {
        // SAFETY: `routines` is null or points to SQLite's routines, which live as long as the process.
        let Some(api) = (unsafe { Api::of_host(routines) }) else {
            tracing::error!("litestream-vfs was loaded without SQLite's routines");
            return SQLITE_ERROR;
        };
        let failure = match api.check().map_err(SqlError::from).and_then(|()| body(api)) {
            Ok(code) => return code,
            Err(failure) => failure,
        };
        // SAFETY: `error` is null or points to room for an address; SQLite frees the text, which comes from its allocator.
        if let Some(error) = unsafe { error.as_mut() } {
            *error = api.allocate(&failure.text);
        }
        failure.code
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    #[test]
    fn a_host_without_routines_gets_an_error() {
        let mut error = ptr::null_mut();
        // SAFETY: `error` points to room for an address, and null is allowed for the others.
        let loaded = unsafe { load(DefaultVfs::ByEnvironment, ptr::null_mut(), &mut error, ptr::null()) };
        // SAFETY: as in the call above, `error` points to room for an address, and null is allowed for the others.
        let opened = unsafe { connection_opened(ptr::null_mut(), &mut error, ptr::null()) };
        assert_eq!((loaded, opened), (SQLITE_ERROR, SQLITE_ERROR));
        assert!(error.is_null());
    }
}
