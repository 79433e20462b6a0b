//! Whether a file is the main database of its connection.
//!
//! `xFullPathname` and `xOpen` get the same arguments from `sqlite3_open` and from ATTACH, so neither can tell. SQLite names the
//! connection right afterwards, by the file control `SQLITE_FCNTL_PDB`: between the two it only reads the first 100 bytes of the
//! file. From then on the main database of that connection is known, and with it the role of the file.

use super::api::Api;
use super::ffi::Sqlite3;
use std::ffi::c_char;
use std::ptr;

/// What a file is to the connection that opened it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The database that the application opened with `sqlite3_open`.
    Main,
    /// A database that a statement opened: ATTACH, or VACUUM INTO, which attaches its target.
    Attached,
}

impl Role {
    /// The role of the file that SQLite opened by `name`: the address that `xOpen` got, since two files can have one name.
    ///
    /// # Safety
    /// `db` is the connection that SQLite passed with `SQLITE_FCNTL_PDB`, and the call under way is SQLite's on this file.
    pub unsafe fn of(api: Api, db: *mut Sqlite3, name: *const c_char) -> Role {
        // SAFETY: as promised.
        let main = unsafe { api.filename(db, c"main") };
        // A library with SQLITE_ENABLE_API_ARMOR answers null while it opens the connection.
        if main.is_null() || ptr::eq(main, name) { Role::Main } else { Role::Attached }
    }
}
