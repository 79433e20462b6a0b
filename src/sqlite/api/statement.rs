//! Statements of ours on a host's connection.

use super::super::ffi::*;
use super::{Api, routine};
use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};

/// A prepared statement, finalized when it is dropped.
pub struct Prepared {
    api: Api,
    statement: NonNull<Statement>,
}

impl Prepared {
    /// Compiles SQL; None if there is nothing but space in it. Fails with a result code.
    ///
    /// # Safety
    /// `db` is open and in the hands of this thread for as long as the statement lives.
    pub unsafe fn new(api: Api, db: *mut Sqlite3, sql: &CStr) -> Result<Option<Prepared>, c_int> {
        let mut statement = ptr::null_mut();
        // SAFETY: as promised; the text ends with a NUL.
        let code = unsafe { routine!(api, prepare_v2)(db, sql.as_ptr(), -1, &mut statement, ptr::null_mut()) };
        match code {
            SQLITE_OK => Ok(NonNull::new(statement).map(|statement| Prepared { api, statement })),
            code => Err(code),
        }
    }

    /// Runs up to the next row; returns a result code.
    pub fn step(&self) -> c_int {
        // SAFETY: `new` promised that the connection is this thread's.
        unsafe { routine!(self.api, step)(self.statement.as_ptr()) }
    }

    /// Goes back to the beginning; returns the result code of what went wrong in the last step.
    pub fn reset(&self) -> c_int {
        // SAFETY: as above.
        unsafe { routine!(self.api, reset)(self.statement.as_ptr()) }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: as above, and nobody uses the statement afterwards.
        unsafe { routine!(self.api, finalize)(self.statement.as_ptr()) };
    }
}
