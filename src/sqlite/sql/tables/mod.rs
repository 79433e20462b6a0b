//! Virtual tables, whose rows are computed when they are read: `SELECT … FROM litestream_status`.
//!
//! A [`TableDef`] has the name of a table, its columns, its arguments, and a function that computes its rows from the arguments. `module`
//! implements SQLite's virtual table methods for all of them. Arguments are hidden columns, so `name('x')` means the same as
//! `name WHERE argument = 'x'`. An argument that is missing is NULL.
//!
//! SQLite takes a read lock on the main schema for every statement that names one of these tables, unless the table belongs to another
//! schema, as after `CREATE VIRTUAL TABLE temp.s USING litestream_status`.

mod affinity;
mod batches;
mod caller;
mod comparison;
mod default;
mod definition;
mod diff;
mod layout;
mod module;
mod moments;
mod plan;
mod replica;
mod row_history;
mod status;
mod undo;
mod undo_script;
mod unique;

use crate::sqlite::api::Api;
use crate::sqlite::ffi::*;
use definition::TableDef;
use diff::DIFF;
use module::{MODULE, Registered};
use replica::{CHANGES, FILES, HISTORY, VERIFY};
use row_history::HISTORY_OF;
use status::STATUS;
use std::ffi::c_int;
use std::ptr;
use undo::UNDO;

/// The tables of every connection.
static DEFINITIONS: [&TableDef; 8] = [&STATUS, &HISTORY, &FILES, &CHANGES, &VERIFY, &DIFF, &UNDO, &HISTORY_OF];

/// The tables of one SQLite library.
#[derive(Debug)]
pub struct Tables([Registered; DEFINITIONS.len()]);

impl Tables {
    /// Returns the tables for the library of `api`.
    pub fn new(api: Api) -> Tables {
        Tables(DEFINITIONS.map(|definition| Registered { api, definition }))
    }

    /// Creates the tables on a connection. Returns a result code.
    ///
    /// # Safety
    /// `db` is an open connection of the library that [`Tables::new`] got.
    pub unsafe fn create(&'static self, db: *mut Sqlite3) -> c_int {
        let create = |table: &'static Registered| {
            let data = ptr::from_ref(table).cast_mut().cast();
            // SAFETY: `db` is open by the contract of this function. The `connect` method of `MODULE` takes a `Registered`, and this one is
            // static.
            unsafe { table.api.create_module(db, table.definition.name, &MODULE, data) }
        };
        self.0.iter().map(create).find(|code| *code != SQLITE_OK).unwrap_or(SQLITE_OK)
    }
}

#[cfg(test)]
mod tests {
    use super::definition::ARGUMENT_BITS;
    use super::*;

    #[test]
    fn a_plan_has_room_for_the_arguments_of_every_table() {
        assert!(DEFINITIONS.iter().all(|table| table.arguments.len() <= ARGUMENT_BITS as usize));
    }
}
