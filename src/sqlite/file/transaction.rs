//! Read transactions of an open replica file.

use super::DbFile;
use crate::error::{Error, ErrorKind};
use crate::replica::View;
use crate::sqlite::control::ControlCall;
use crate::sqlite::ffi::Sqlite3;
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl DbFile {
    /// Starts a read transaction: until [`DbFile::unlock`] all reads see one view.
    pub fn lock(&self) -> Result<(), Error> {
        if self.pinned().is_none() {
            let check = self.interrupt_check();
            let snapshot = self.or_empty(self.connection.view(&|| check.interrupted()))?;
            self.began_spoiled.set(snapshot.spoiled_files());
            self.pinned.replace(Some(snapshot));
        }
        Ok(())
    }

    /// Ends the read transaction.
    pub fn unlock(&self) {
        self.writing.replace(None);
        self.last_error.replace(None);
        if !self.unlocked {
            self.pinned.replace(None);
        }
    }

    /// Returns the view for the result of an operation. Later reads in the same transaction see the same view.
    ///
    /// After BEGIN, SQLite does not lock the file before the first read, and the replica can change until then. So this method starts the read
    /// transaction, by running SQL. It cannot just keep the view, because SQLite does not report the end of a transaction to a
    /// file that is not locked. With a shared cache, it may be locked for another connection.
    pub(super) fn settled_view(&self, schema: Option<&CStr>) -> Result<Arc<View>, Error> {
        let db = self.db();
        let has_begun = self.pinned().is_some() && !self.is_shared.load(Ordering::Acquire);
        // SAFETY: `db` is not null here, so it is the connection that is calling a method of this file, and is open.
        if !has_begun && !db.is_null() && !unsafe { self.api.autocommit(db) } {
            let started = match schema {
                Some(schema) => self.start_transaction(db, schema),
                None => self.schema(db).and_then(|schema| self.start_transaction(db, &schema)),
            };
            started.map_err(|cause| {
                Error::new(ErrorKind::Internal, format!("the read transaction cannot be started: {cause}"))
            })?;
        }
        self.view()
    }

    fn start_transaction(&self, db: *mut Sqlite3, schema: &CStr) -> Result<(), String> {
        self.query_pragma(db, schema, "user_version")?;
        // If an authorizer ignores the pragma, SQLite does not run it and returns no error.
        self.pinned().map(|_| ()).ok_or_else(|| "PRAGMA user_version is not allowed here".to_owned())
    }

    /// Returns the rows of a pragma on a schema. `db` is the result of [`DbFile::db`], and is not null.
    pub(super) fn query_pragma(&self, db: *mut Sqlite3, schema: &CStr, name: &str) -> Result<Vec<CString>, String> {
        let quoted = schema.to_string_lossy().replace('"', "\"\"");
        // SAFETY: `db` is the connection that is calling a method of this file, so it is open and this thread holds its mutex. Every row has a
        // first column.
        unsafe { self.api.query_column(db, &format!("PRAGMA \"{quoted}\".{name}"), 0) }
    }

    /// Returns the schema of this file in its connection. `db` is the result of [`DbFile::db`], and is not null.
    pub(super) fn schema(&self, db: *mut Sqlite3) -> Result<CString, String> {
        // SAFETY: `db` is the connection that is calling a method of this file, so it is open and this thread holds its mutex. The second of
        // the pragma's three columns is the name of the schema.
        let schemas = unsafe { self.api.query_column(db, "PRAGMA database_list", 1) }?;
        let is_this = |schema: &CString| {
            let mut call = ControlCall::new(schema, None);
            // SAFETY: the same `db`, which is open, and whose mutex this thread holds until the method returns.
            unsafe { call.send(self.api, db) };
            call.file == Some(self.reached())
        };
        schemas.into_iter().find(is_this).ok_or_else(|| "PRAGMA database_list does not contain its schema".to_owned())
    }
}
