//! The connection behind a table.

use crate::sqlite::api::Api;
use crate::sqlite::control::{self, ControlCall, ControlOp, ControlValue};
use crate::sqlite::errors::SqlError;
use crate::sqlite::ffi::*;
use crate::sqlite::sql::argument::Argument;
use std::ffi::{CStr, CString};

/// The connection that reads a table.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub api: Api,
    /// Open, because SQLite destroys the table before it closes the connection. A `Caller` is only used during calls of the methods of
    /// the table, for which SQLite holds the connection's mutex.
    pub db: *mut Sqlite3,
}

impl Caller {
    /// Returns the schemas that are read from replicas.
    pub fn schemas(&self) -> Result<Vec<CString>, SqlError> {
        // SAFETY: `db` is open and its mutex is held, see the field. The second of the pragma's three columns is the name of the schema.
        let schemas = unsafe { self.api.query_column(self.db, "PRAGMA database_list", 1) }?;
        // SAFETY: `db` is open and its mutex is held, see the field.
        let is_replica =
            |schema: &CString| unsafe { ControlCall::new(schema, None).send(self.api, self.db) == SQLITE_OK };
        Ok(schemas.into_iter().filter(is_replica).collect())
    }

    /// Returns the schema that argument `at` names, or the only schema that is read from a replica.
    ///
    /// SQLite does not tell a virtual table through which schema it is read, so `other.litestream_history` does not select `other`. If there
    /// are several replicas, the argument is required. `call` shows its use in the error text.
    pub fn schema(&self, arguments: &[Argument], at: usize, call: &str) -> Result<CString, SqlError> {
        if let Some(given) = arguments.get(at).cloned().and_then(Argument::into_text) {
            return Ok(given);
        }
        match &self.schemas()?[..] {
            [] => Ok(c"main".to_owned()),
            [schema] => Ok(schema.clone()),
            several => {
                let names: Vec<_> = several.iter().map(|name| name.to_string_lossy()).collect();
                let text = format!(
                    "several schemas are read from replicas ({}): name one of them as an argument, as in {call}; SQLite \
                     ignores a schema in front of the name of this table",
                    names.join(", ")
                );
                Err(text.into())
            }
        }
    }

    /// Runs an operation on the file of a schema.
    pub fn run(&self, schema: &CStr, op: &ControlOp) -> Result<ControlValue, SqlError> {
        // SAFETY: `db` is open and its mutex is held, see the field.
        unsafe { control::run(self.api, self.db, schema, op) }
    }
}
