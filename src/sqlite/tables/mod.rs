//! Tables that are computed when they are read: `SELECT … FROM litestream_status`.
//!
//! A [`TableDef`] is a table's name, its columns, its arguments, and a function that makes rows of arguments; `module` makes
//! SQLite's virtual tables of them. Arguments are hidden columns, so that `name('x')` and `name WHERE argument = 'x'`
//! are the same; one that is left out is NULL.
//!
//! SQLite takes a read lock on the main schema for every statement that names a table, ours included, unless the
//! table belongs to another schema: `CREATE VIRTUAL TABLE temp.s USING litestream_status`.

mod module;
mod replica;
mod status;

use super::api::Api;
use super::argument::Argument;
use super::control::{ControlCall, ControlOp, ControlValue};
use super::errors::Complaint;
use super::ffi::*;
use super::functions;
use module::MODULE;
use replica::{CHANGES, FILES, HISTORY, VERIFY};
use serde_json::Value as Cell;
use status::STATUS;
use std::ffi::{CStr, CString, c_int};
use std::ptr;

/// The tables that every connection has.
static DEFINITIONS: [&TableDef; 5] = [&STATUS, &HISTORY, &FILES, &CHANGES, &VERIFY];

/// A value for each column.
pub type Row = Vec<Cell>;

/// Rows, each computed when it is asked for; a complaint ends them.
pub type TableRows = Box<dyn Iterator<Item = Result<Row, Complaint>>>;

/// A table.
#[derive(Debug)]
pub struct TableDef {
    /// Its name.
    pub name: &'static CStr,
    /// Names and types of its columns.
    pub columns: &'static [(&'static str, &'static str)],
    /// Names of its arguments, which no column has.
    pub arguments: &'static [&'static str],
    /// A column by which the rows come in descending order.
    pub descending: Option<usize>,
    /// Its rows, for arguments of which those that were left out are NULL. Columns that are not wanted may be NULL.
    pub rows: fn(Caller, &[Argument], WantedRows) -> Result<TableRows, Complaint>,
}

/// The columns of a table that a statement uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WantedRows(u32);

/// How many columns are told one from another. Those behind share the last bit.
const TOLD_APART: usize = 26;

/// Bits of a plan that say which arguments are given. The others say which columns are wanted.
const ARGUMENT_BITS: u32 = 4;

impl WantedRows {
    /// Of the columns that SQLite says are used. What it does not tell apart may be any.
    fn new(used: u64) -> WantedRows {
        let behind = u32::from(used >> TOLD_APART != 0) << TOLD_APART;
        WantedRows(used as u32 & ((1 << TOLD_APART) - 1) | behind)
    }

    /// Whether a column is used.
    pub fn has(self, column: usize) -> bool {
        self.0 & 1 << column.min(TOLD_APART) != 0
    }
}

impl TableDef {
    /// As CREATE TABLE has it.
    fn sql(&self) -> String {
        let columns = self.columns.iter().map(|(name, kind)| format!("{name} {kind}"));
        let arguments = self.arguments.iter().map(|name| format!("{name} HIDDEN"));
        let all: Vec<String> = columns.chain(arguments).collect();
        format!("CREATE TABLE t ({})", all.join(", "))
    }

    /// Which of the terms of WHERE, (column, whether it is usable), gives each argument. None if an argument's value is
    /// not known in this order of joins.
    fn assign(&self, terms: &[(usize, bool)]) -> Option<Vec<Option<usize>>> {
        let find = |argument: usize| {
            let mut terms = terms.iter().enumerate().filter(|(_, term)| term.0 == self.columns.len() + argument);
            match (terms.clone().next(), terms.find(|(_, term)| term.1)) {
                (None, _) => Some(None),
                (Some(_), None) => None,
                (Some(_), Some((at, _))) => Some(Some(at)),
            }
        };
        (0..self.arguments.len()).map(find).collect()
    }
}

/// The connection that reads a table, for the time of a call.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    api: Api,
    db: *mut Sqlite3,
}

impl Caller {
    /// The schemas that are read from replicas.
    pub fn schemas(&self) -> Result<Vec<CString>, Complaint> {
        // SAFETY: the connection is calling. The second column is the name.
        let schemas = unsafe { self.api.query(self.db, "PRAGMA database_list", 1) }?;
        // SAFETY: as above.
        let is_ours = |schema: &CString| unsafe { ControlCall::new(schema, None).send(self.api, self.db) == SQLITE_OK };
        Ok(schemas.into_iter().filter(is_ours).collect())
    }

    /// The schema that argument `at` names, or else the one schema that is read from a replica. SQLite does not tell a table by which
    /// schema it was called, so that `other.litestream_history` cannot mean `other`: with several replicas the argument is needed.
    pub fn schema(&self, arguments: &[Argument], at: usize, call: &str) -> Result<CString, Complaint> {
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

    /// Puts a question to the file behind a schema.
    pub fn ask(&self, schema: &CStr, question: &ControlOp) -> Result<ControlValue, Complaint> {
        // SAFETY: the connection is calling.
        unsafe { functions::ask(self.api, self.db, schema, question) }
    }
}

/// The tables of one SQLite library.
#[derive(Debug)]
pub struct Tables([Registered; DEFINITIONS.len()]);

/// A table in one SQLite library: what `xConnect` gets.
#[derive(Debug)]
struct Registered {
    api: Api,
    definition: &'static TableDef,
}

impl Tables {
    /// The tables of the library of `api`.
    pub fn new(api: Api) -> Tables {
        Tables(DEFINITIONS.map(|definition| Registered { api, definition }))
    }

    /// Creates the tables on a connection; answers a result code.
    ///
    /// # Safety
    /// `db` is an open connection of that library.
    pub unsafe fn create(&'static self, db: *mut Sqlite3) -> c_int {
        let create = |table: &'static Registered| {
            let data = ptr::from_ref(table).cast_mut().cast();
            // SAFETY: as promised; `connect` takes what is registered with its own library's routines.
            unsafe { table.api.create_module(db, table.definition.name, &MODULE, data) }
        };
        self.0.iter().map(create).find(|code| *code != SQLITE_OK).unwrap_or(SQLITE_OK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGES: TableDef = TableDef {
        name: c"changes",
        columns: &[("name", "TEXT"), ("pages", "INTEGER")],
        arguments: &["since", "until"],
        descending: None,
        rows: |_, _, _| Ok(Box::new(std::iter::empty())),
    };

    #[test]
    fn arguments_are_hidden_columns_behind_the_others() {
        assert_eq!(CHANGES.sql(), "CREATE TABLE t (name TEXT, pages INTEGER, since HIDDEN, until HIDDEN)");
    }

    #[test]
    fn a_plan_tells_which_columns_are_wanted() {
        let wanted = WantedRows::new(0b1010);
        assert_eq!([0, 1, 2, 3, 60].map(|column| wanted.has(column)), [false, true, false, true, false]);
        for used in [1 << 26, 1 << 40, 1 << 63] {
            let wanted = WantedRows::new(used);
            assert!(wanted.has(26) && wanted.has(63) && !wanted.has(25), "{used:x}");
            assert_eq!(WantedRows((wanted.0 << ARGUMENT_BITS) as c_int as u32 >> ARGUMENT_BITS), wanted);
        }
        assert!(DEFINITIONS.iter().all(|table| table.arguments.len() <= ARGUMENT_BITS as usize));
    }

    #[test]
    fn each_argument_gets_the_first_term_that_has_a_value() {
        assert_eq!(CHANGES.assign(&[]), Some(vec![None, None]));
        assert_eq!(CHANGES.assign(&[(3, true), (0, true), (2, true)]), Some(vec![Some(2), Some(0)]));
        assert_eq!(CHANGES.assign(&[(3, false), (3, true), (3, true)]), Some(vec![None, Some(1)]));
        // A column that is no argument, or the rowid.
        assert_eq!(CHANGES.assign(&[(1, false), (usize::MAX, true)]), Some(vec![None, None]));
    }

    #[test]
    fn an_argument_without_a_value_yet_waits_for_another_order_of_joins() {
        assert_eq!(CHANGES.assign(&[(2, false)]), None);
        assert_eq!(CHANGES.assign(&[(2, true), (3, false)]), None);
    }
}
