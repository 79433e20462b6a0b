//! Routines that take the name of a database.

use super::{Api, c_string, routine};
use crate::sqlite::ffi::*;
use std::ffi::{CStr, c_char};

impl Api {
    /// Returns the name of a schema's database as SQLite passed it to `xOpen`, followed by its URI parameters in memory. Null if the
    /// schema has no file, or if SQLite does not return the name. The name is valid until the schema is detached.
    ///
    /// # Safety
    /// `db` is a connection of this library that is open or being opened, and this thread holds its mutex or is its only user.
    pub unsafe fn filename(self, db: *mut Sqlite3, schema: &CStr) -> *const c_char {
        // SAFETY: `db` is valid by the contract of this function, and `schema` lives until the call returns.
        unsafe { routine!(self, db_filename)(db, schema.as_ptr()) }
    }

    /// Returns the value of a URI parameter of a database.
    ///
    /// # Safety
    /// `name` is a name that SQLite passed to `xOpen` for a main database file, and the file is not closed.
    pub unsafe fn uri_parameter(self, name: *const c_char, key: &str) -> Option<String> {
        // SAFETY: SQLite keeps the parameters behind a name that it passed to `xOpen`, as the contract of this function requires, until the
        // file is closed. The value is null or a string among them, and is copied.
        unsafe {
            let value = routine!(self, uri_parameter)(name, c_string(key).as_ptr());
            (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
        }
    }

    /// Returns the value of a boolean URI parameter of a database. False if it is missing.
    ///
    /// # Safety
    /// As for [`Api::uri_parameter`].
    pub unsafe fn uri_boolean(self, name: *const c_char, key: &CStr) -> bool {
        // SAFETY: `name` has its parameters behind it, because SQLite passed it to `xOpen`.
        unsafe { routine!(self, uri_boolean)(name, key.as_ptr(), 0) != 0 }
    }

    /// Returns the names of a database's journal and WAL, which SQLite keeps until the file is closed.
    ///
    /// # Safety
    /// As for [`Api::uri_parameter`].
    pub unsafe fn journal_and_wal(self, name: *const c_char) -> [*const c_char; 2] {
        // SAFETY: both names are in the same allocation as `name`, because SQLite passed it to `xOpen` for a main database file.
        unsafe { [routine!(self, filename_journal)(name), routine!(self, filename_wal)(name)] }
    }
}
