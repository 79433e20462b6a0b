//! The entry points of the loadable library, and of the static library for C.
//!
//! SQLite derives the name of the entry point from the name of the file that it loads, such as `sqlite3_litestreamvfs_init` from
//! `litestream-vfs.so`. Before that it tries `sqlite3_extension_init`.

use std::ffi::{c_char, c_int};
use vfs::entry::{DefaultVfs, Routines, Sqlite3};

/// Loads the extension from `litestream-vfs.so` (`.dylib`, `.dll`).
///
/// Returns `SQLITE_OK_LOAD_PERMANENTLY`, because SQLite must never unload a VFS.
///
/// # Safety
/// `db` is null or an open connection, `error` is null or points to room for the address of an error text, and `routines` is null or
/// points to the routines of the SQLite library that owns `db`. SQLite calls the function in this way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_litestreamvfs_init(
    db: *mut Sqlite3,
    error: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    // SAFETY: the contract of `load` is that of this function, and the arguments are passed unchanged.
    unsafe { vfs::entry::load(DefaultVfs::ByEnvironment, db, error, routines) }
}

/// Loads the extension from `litestream.so`.
///
/// # Safety
/// As for [`sqlite3_litestreamvfs_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_litestream_init(
    db: *mut Sqlite3,
    error: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    // SAFETY: the contract of `load` is that of this function, and the arguments are passed unchanged.
    unsafe { vfs::entry::load(DefaultVfs::ByEnvironment, db, error, routines) }
}

/// Loads the extension from a file of any other name.
///
/// # Safety
/// As for [`sqlite3_litestreamvfs_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_extension_init(
    db: *mut Sqlite3,
    error: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    // SAFETY: the contract of `load` is that of this function, and the arguments are passed unchanged.
    unsafe { vfs::entry::load(DefaultVfs::ByEnvironment, db, error, routines) }
}

/// Loads the extension, and makes a VFS the default that opens the names of replicas, such as `litestream:s3://bucket/app`.
///
/// For hosts that open names, not URIs. Every name that does not mean a replica goes to the VFS that was the default before.
///
/// # Safety
/// As for [`sqlite3_litestreamvfs_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_litestreamdefault_init(
    db: *mut Sqlite3,
    error: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    // SAFETY: the contract of `load` is that of this function, and the arguments are passed unchanged.
    unsafe { vfs::entry::load(DefaultVfs::Litestream, db, error, routines) }
}

/// The entry point for C programs that link the static library. They pass it to `sqlite3_auto_extension`.
///
/// # Safety
/// As for [`sqlite3_litestreamvfs_init`].
#[cfg(feature = "static")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn litestream_vfs_static_init(
    db: *mut Sqlite3,
    error: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    // SAFETY: the contract of `connection_opened` is that of this function, and the arguments are passed unchanged.
    unsafe { vfs::entry::connection_opened(db, error, routines) }
}
