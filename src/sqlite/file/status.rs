//! The status of an open replica file.

use super::DbFile;
use crate::sqlite::control::{HeldBy, StatusReport};
use std::ffi::CStr;

impl DbFile {
    /// Returns the status of the replica and of this reader. Neither locks the file nor reads a page, so that it works when reads fail.
    pub(super) fn status(&self, schema: Option<&CStr>) -> StatusReport {
        // Functions and tables, which know the schema, run in a statement. SQLite runs a pragma before its statement starts.
        let own_statements = usize::from(schema.is_some());
        let db = Some(self.db()).filter(|db| !db.is_null());
        let schema = schema.map(CStr::to_owned).or_else(|| self.schema(db?).ok());
        let held_by = match (self.connection.is_parked(), self.pinned()) {
            (true, _) => HeldBy::Moment,
            (false, None) => HeldBy::No,
            (false, Some(_)) if self.unlocked => HeldBy::Unlocked,
            (false, Some(_)) if self.is_transaction_longer(own_statements, schema.as_deref()) => HeldBy::Transaction,
            (false, Some(_)) => HeldBy::No,
        };
        StatusReport { schema, view: self.view().ok(), held_by, status: self.connection.status() }
    }

    /// Whether the read transaction continues after the `own_statements` statements that request the status. These hold a read transaction
    /// themselves if they name a table, because SQLite then locks the main schema.
    fn is_transaction_longer(&self, own_statements: usize, schema: Option<&CStr>) -> bool {
        let db = self.db();
        if db.is_null() {
            return true;
        }
        // SAFETY: `db` is the connection that is calling a method of this file, so it is open and this thread holds its mutex.
        let (is_explicit, statements) = unsafe { (!self.api.autocommit(db), self.api.unfinished_statements(db)) };
        let is_exclusive =
            |schema| self.query_pragma(db, schema, "locking_mode").is_ok_and(|mode| mode == [c"exclusive".to_owned()]);
        is_explicit || statements > own_statements || schema.is_some_and(is_exclusive)
    }
}
