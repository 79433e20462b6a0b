//! Running an operation on the file of a schema, by a file control.

use super::{ControlOp, ControlValue};
use crate::error::Error;
use crate::sqlite::api::Api;
use crate::sqlite::errors::SqlError;
use crate::sqlite::ffi::*;
use std::ffi::{CStr, c_int};
use std::ptr;

/// The opcode of the file control whose argument is a [`ControlCall`]. Other VFSes return `SQLITE_NOTFOUND` for it.
///
/// The call goes through SQLite, which takes the locks that restrict a file of a shared cache to one thread at a time.
pub const CONTROL_CALL: c_int = 0x4c53_5646;

/// The argument of [`CONTROL_CALL`]: an operation, and its result.
pub struct ControlCall<'a> {
    /// The operation. None only identifies the file.
    pub op: Option<&'a ControlOp>,
    /// The schema of the file.
    pub schema: &'a CStr,
    /// The file that received the call. None if it is not an open replica.
    pub file: Option<ReachedFile>,
    /// The result of the operation.
    pub result: Option<Result<ControlValue, Error>>,
}

/// What a replica file that receives a call says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReachedFile {
    /// The address of the file. For comparison only.
    pub address: *const (),
    /// Whether SQL may attach replicas to a connection whose main database is this file.
    pub may_attach: bool,
}

impl<'a> ControlCall<'a> {
    /// A call that has not been sent.
    pub fn new(schema: &'a CStr, op: Option<&'a ControlOp>) -> ControlCall<'a> {
        ControlCall { op, schema, file: None, result: None }
    }

    /// Sends the call to the file of its schema. Returns a result code, which is `SQLITE_OK` only if the file is an open replica.
    ///
    /// # Safety
    /// `db` is an open connection of the library of `api`, and this thread holds its mutex or is its only user.
    pub unsafe fn send(&mut self, api: Api, db: *mut Sqlite3) -> c_int {
        let schema = self.schema;
        // SAFETY: `db` is open by the contract of this function. `CONTROL_CALL` takes a `ControlCall`, and this one lives until the file
        // control returns.
        unsafe { api.file_control(db, schema, CONTROL_CALL, ptr::from_mut(self).cast()) }
    }
}

/// Runs an operation on the file of a schema.
///
/// # Safety
/// `db` is an open connection of the library of `api`, and this thread holds its mutex.
pub unsafe fn run(api: Api, db: *mut Sqlite3, schema: &CStr, op: &ControlOp) -> Result<ControlValue, SqlError> {
    let mut call = ControlCall::new(schema, Some(op));
    // SAFETY: `db` is open and its mutex is held, by the contract of this function.
    let code = unsafe { call.send(api, db) };
    match call.result {
        Some(result) => result.map_err(SqlError::from),
        None => Err(not_a_replica(&schema.to_string_lossy(), code).into()),
    }
}

/// The error text for a call that reached no replica. `code` is the result code of the file control.
fn not_a_replica(schema: &str, code: c_int) -> String {
    match code {
        SQLITE_ERROR => format!("there is no schema '{schema}'"),
        _ => format!(
            "the schema '{schema}' is not read through the litestream VFS; open or attach it as \
             'file:{schema}.db?vfs=litestream&replica_url=…'"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_schema_and_a_local_one_have_different_errors() {
        assert_eq!(not_a_replica("aux", SQLITE_ERROR), "there is no schema 'aux'");
        assert!(not_a_replica("main", SQLITE_NOTFOUND).starts_with("the schema 'main' is not read through"));
    }
}
