//! An empty database in memory, to have SQLite parse a schema.

use super::connection::TextRow;
use super::{Api, c_string, routine};
use crate::sqlite::ffi::*;
use std::ptr;

/// A connection to an empty database in memory. It is closed when it is dropped.
pub struct ScratchDatabase {
    api: Api,
    db: *mut Sqlite3,
}

impl ScratchDatabase {
    /// Opens a database. Fails with the result code of SQLite.
    pub fn open(api: Api) -> Result<ScratchDatabase, String> {
        let mut db = ptr::null_mut();
        // SAFETY: the name is a string that lives until the call returns, and `db` is room for a pointer.
        let code = unsafe { routine!(api, open)(c_string(":memory:").as_ptr(), &raw mut db) };
        // SQLite sets `db` also if it fails, unless there is no memory.
        let scratch = ScratchDatabase { api, db };
        if code == SQLITE_OK { Ok(scratch) } else { Err(format!("cannot open a database in memory: code {code}")) }
    }

    /// Runs SQL and returns its rows, with their values as text. Fails with SQLite's error text.
    pub fn query(&self, sql: &str) -> Result<Vec<TextRow>, String> {
        // SAFETY: `db` is open, because `open` succeeded, and no other thread knows it.
        unsafe { self.api.query(self.db, sql) }
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        // SAFETY: `db` is null, which SQLite ignores, or a connection without statements that nothing uses afterwards.
        unsafe { routine!(self.api, close)(self.db) };
    }
}
