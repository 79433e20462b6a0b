//! Statements that the extension prepares on a host's connection.

use super::{Api, routine};
use crate::sqlite::ffi::*;
use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};

/// A prepared statement. It is finalized when it is dropped.
pub struct Prepared {
    api: Api,
    statement: NonNull<Statement>,
}

impl Prepared {
    /// Compiles SQL. Returns None if the SQL is empty. Fails with a result code.
    ///
    /// # Safety
    /// `db` is an open connection of this library until the statement is dropped, and meanwhile this thread holds its mutex.
    pub unsafe fn new(api: Api, db: *mut Sqlite3, sql: &CStr) -> Result<Option<Prepared>, c_int> {
        let mut statement = ptr::null_mut();
        // SAFETY: `db` is open by the contract of this function. The SQL ends with a NUL, SQLite copies it, and `statement` is room for a
        // pointer.
        let code = unsafe { routine!(api, prepare_v2)(db, sql.as_ptr(), -1, &mut statement, ptr::null_mut()) };
        match code {
            SQLITE_OK => Ok(NonNull::new(statement).map(|statement| Prepared { api, statement })),
            code => Err(code),
        }
    }

    /// Runs up to the next row. Returns a result code.
    pub fn step(&self) -> c_int {
        // SAFETY: the statement is not finalized before `drop`, and its connection is open by the contract of `new`.
        unsafe { routine!(self.api, step)(self.statement.as_ptr()) }
    }

    /// Resets the statement to its start. Returns the result code of the last step if that failed.
    pub fn reset(&self) -> c_int {
        // SAFETY: the statement is not finalized before `drop`, and its connection is open by the contract of `new`.
        unsafe { routine!(self.api, reset)(self.statement.as_ptr()) }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: the connection is open by the contract of `new`, and nothing uses the statement after `drop`.
        unsafe { routine!(self.api, finalize)(self.statement.as_ptr()) };
    }
}
