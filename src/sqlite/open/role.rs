//! The role of a database in its connection: main or attached.
//!
//! `xFullPathname` and `xOpen` get the same arguments from `sqlite3_open` as from ATTACH. After `xOpen` SQLite reads the first 100 bytes of
//! the file, and then passes the connection with the file control `SQLITE_FCNTL_PDB`. Only then the role can be determined, by the name of
//! the connection's main database.

use crate::sqlite::api::Api;
use crate::sqlite::ffi::Sqlite3;
use std::ffi::c_char;
use std::ptr;

/// The role of a database in the connection that opened it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The application opened it with `sqlite3_open`.
    Main,
    /// A statement opened it: ATTACH, or VACUUM INTO, which attaches its target.
    Attached,
}

impl Role {
    /// Returns the role of the file that SQLite opened by `name`. The names are compared by address, because two files can have equal names.
    ///
    /// # Safety
    /// `db` is the connection that SQLite passes with the current `SQLITE_FCNTL_PDB`, and belongs to the library of `api`.
    pub unsafe fn of(api: Api, db: *mut Sqlite3, name: *const c_char) -> Role {
        // SAFETY: `db` is open or being opened by this thread, because SQLite is sending it `SQLITE_FCNTL_PDB`.
        let main = unsafe { api.filename(db, c"main") };
        // A library with SQLITE_ENABLE_API_ARMOR returns null while the connection is being opened.
        if main.is_null() || ptr::eq(main, name) { Role::Main } else { Role::Attached }
    }
}
