//! Tables that are computed when they are read: `SELECT … FROM litestream_status`.
//!
//! A [`Definition`] is a table's name, its columns, its arguments, and a function that makes rows of arguments. This is
//! all the rest: SQLite's virtual tables. Arguments are hidden columns, so that `name('x')` and `name WHERE argument = 'x'`
//! are the same; one that is left out is NULL.
//!
//! SQLite takes a read lock on the main schema for every statement that names a table, ours included, unless the
//! table belongs to another schema: `CREATE VIRTUAL TABLE temp.s USING litestream_status`.

use super::api::Api;
use super::argument::Argument;
use super::errors::Complaint;
use super::ffi::*;
use super::functions;
use super::guard::guard;
use super::question::{Answer, Question, Request};
use super::replica_tables::{CHANGES, FILES, HISTORY};
use super::status_table::STATUS;
use serde_json::Value as Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

/// The tables that every connection has.
static DEFINITIONS: [&Definition; 4] = [&STATUS, &HISTORY, &FILES, &CHANGES];

/// A value for each column.
pub type Row = Vec<Cell>;

/// Rows, each computed when it is asked for; a complaint ends them.
pub type Rows = Box<dyn Iterator<Item = Result<Row, Complaint>>>;

/// A table.
#[derive(Debug)]
pub struct Definition {
    /// Its name.
    pub name: &'static CStr,
    /// Names and types of its columns.
    pub columns: &'static [(&'static str, &'static str)],
    /// Names of its arguments, which no column has.
    pub arguments: &'static [&'static str],
    /// A column by which the rows come in descending order.
    pub descending: Option<usize>,
    /// Its rows, for arguments of which those that were left out are NULL. Columns that are not wanted may be NULL.
    pub rows: fn(Caller, &[Argument], Wanted) -> Result<Rows, Complaint>,
}

/// The columns of a table that a statement uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted(u32);

/// How many columns are told one from another. Those behind share the last bit.
const TOLD_APART: usize = 26;

/// Bits of a plan that say which arguments are given. The others say which columns are wanted.
const ARGUMENT_BITS: u32 = 4;

impl Wanted {
    /// Of the columns that SQLite says are used. What it does not tell apart may be any.
    fn new(used: u64) -> Wanted {
        let behind = u32::from(used >> TOLD_APART != 0) << TOLD_APART;
        Wanted(used as u32 & ((1 << TOLD_APART) - 1) | behind)
    }

    /// Whether a column is used.
    pub fn has(self, column: usize) -> bool {
        self.0 & 1 << column.min(TOLD_APART) != 0
    }
}

impl Definition {
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
        let is_ours = |schema: &CString| unsafe { Request::new(schema, None).send(self.api, self.db) == SQLITE_OK };
        Ok(schemas.into_iter().filter(is_ours).collect())
    }

    /// Puts a question to the file behind a schema.
    pub fn ask(&self, schema: &CStr, question: &Question) -> Result<Answer, Complaint> {
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
    definition: &'static Definition,
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

/// With `xCreate` the same as `xConnect`, the table is there without CREATE VIRTUAL TABLE, and can be had in any schema.
static MODULE: Module = Module {
    version: 0,
    create: Some(connect),
    connect,
    best_index,
    disconnect,
    destroy: Some(disconnect),
    open,
    close,
    filter,
    next,
    eof,
    column,
    rowid,
    writing: [None; 7],
};

/// A table of one connection.
#[repr(C)]
struct Table {
    base: Vtab,
    caller: Caller,
    definition: &'static Definition,
}

/// A place in a table's rows.
#[repr(C)]
struct Cursor {
    base: VtabCursor,
    arguments: Vec<Cell>,
    rows: Rows,
    /// None behind the last row.
    row: Option<Row>,
    rowid: i64,
}

impl Cursor {
    fn advance(&mut self) -> Result<(), Complaint> {
        self.row = self.rows.next().transpose()?;
        self.rowid += 1;
        Ok(())
    }
}

/// Runs a method of a cursor, and hands the text of its complaint to the table, where SQLite looks for it.
///
/// # Safety
/// `cursor` was opened by [`open`], is not closed, and the call under way is SQLite's on it.
unsafe fn method(
    name: &str,
    cursor: *mut VtabCursor,
    body: impl FnOnce(&Table, &mut Cursor) -> Result<(), Complaint>,
) -> c_int {
    guard(name, SQLITE_ERROR, || {
        // SAFETY: as promised; a connection has one call under way, and the table outlives its cursors.
        let (table, cursor) = unsafe { ((*cursor).table, &mut *cursor.cast::<Cursor>()) };
        // SAFETY: as above.
        let Err(complaint) = body(unsafe { &*table.cast::<Table>() }, cursor) else {
            return SQLITE_OK;
        };
        cursor.row = None;
        // SAFETY: as above, and nobody has the table any more.
        unsafe { (*table).error = (*table.cast::<Table>()).caller.api.allocate(&complaint.text) };
        complaint.code
    })
}

unsafe extern "C" fn connect(
    db: *mut Sqlite3,
    data: *mut c_void,
    _: c_int,
    _: *const *const c_char,
    table: *mut *mut Vtab,
    _: *mut *mut c_char,
) -> c_int {
    guard("xConnect", SQLITE_ERROR, || {
        // SAFETY: `Tables::create` passed it, and it stays.
        let Registered { api, definition } = unsafe { &*data.cast::<Registered>() };
        // SAFETY: SQLite is calling.
        let code = unsafe { api.declare_innocuous_table(db, &definition.sql()) };
        if code == SQLITE_OK {
            let base = Vtab { module: ptr::null(), references: 0, error: ptr::null_mut() };
            let connected = Box::new(Table { base, caller: Caller { api: *api, db }, definition });
            // SAFETY: SQLite wants it there.
            unsafe { table.write(Box::into_raw(connected).cast()) };
        }
        code
    })
}

unsafe extern "C" fn disconnect(table: *mut Vtab) -> c_int {
    guard("xDisconnect", SQLITE_ERROR, || {
        // SAFETY: `connect` made it, and SQLite gives it back once.
        drop(unsafe { Box::from_raw(table.cast::<Table>()) });
        SQLITE_OK
    })
}

/// The plan is a number: bit n says that argument n is given, the bits behind which columns are wanted. Values come in the
/// order of arguments.
unsafe extern "C" fn best_index(table: *mut Vtab, info: *mut IndexInfo) -> c_int {
    guard("xBestIndex", SQLITE_ERROR, || {
        // SAFETY: SQLite calls this on a table of ours.
        let (definition, info) = unsafe { ((*table.cast::<Table>()).definition, &mut *info) };
        let count = usize::try_from(info.constraint_count).unwrap_or(0);
        // SAFETY: there are that many.
        let constraint = |at: usize| unsafe { &*info.constraints.add(at) };
        let equals = |at: &usize| constraint(*at).operator == SQLITE_INDEX_CONSTRAINT_EQ;
        let positions: Vec<usize> = (0..count).filter(equals).collect();
        // The rowid is column −1.
        let term =
            |at: &usize| (usize::try_from(constraint(*at).column).unwrap_or(usize::MAX), constraint(*at).usable != 0);
        let Some(assigned) = definition.assign(&positions.iter().map(term).collect::<Vec<_>>()) else {
            return SQLITE_CONSTRAINT;
        };
        let given = assigned.iter().enumerate().filter_map(|(argument, term)| Some((argument, positions[(*term)?])));
        let (mut number, mut values) = (0, 0);
        for (argument, at) in given {
            number |= 1 << argument;
            values += 1;
            // SAFETY: as many as there are constraints.
            unsafe { info.usage.add(at).write(ConstraintUsage { argument: values, omit: 1 }) };
        }
        info.number = number | (Wanted::new(info.columns_used).0 << ARGUMENT_BITS) as c_int;
        // SAFETY: there is one.
        let order = (info.order_count == 1).then(|| unsafe { &*info.orders });
        let comes_so = order.is_some_and(|order| {
            order.descending != 0
                && usize::try_from(order.column).ok() == definition.descending
                && definition.descending.is_some()
        });
        info.is_ordered = c_int::from(comes_so);
        // Only the proportion counts: the more is asked, the less has to be read.
        info.rows = if values == 0 { 100 } else { 10 };
        info.cost = info.rows as f64;
        SQLITE_OK
    })
}

unsafe extern "C" fn open(_: *mut Vtab, cursor: *mut *mut VtabCursor) -> c_int {
    guard("xOpen", SQLITE_ERROR, || {
        let base = VtabCursor { table: ptr::null_mut() };
        let opened = Cursor { base, arguments: Vec::new(), rows: Box::new(std::iter::empty()), row: None, rowid: 0 };
        // SAFETY: SQLite wants it there, and fills in the table.
        unsafe { cursor.write(Box::into_raw(Box::new(opened)).cast()) };
        SQLITE_OK
    })
}

unsafe extern "C" fn close(cursor: *mut VtabCursor) -> c_int {
    guard("xClose", SQLITE_ERROR, || {
        // SAFETY: `open` made it, and SQLite gives it back once.
        drop(unsafe { Box::from_raw(cursor.cast::<Cursor>()) });
        SQLITE_OK
    })
}

unsafe extern "C" fn filter(
    cursor: *mut VtabCursor,
    plan: c_int,
    _: *const c_char,
    count: c_int,
    values: *mut *mut Value,
) -> c_int {
    let body = |table: &Table, cursor: &mut Cursor| {
        // SAFETY: there are `count` values, and this is the call that they are for.
        let mut values = (0..count).map(|at| unsafe { Argument::read(table.caller.api, *values.add(at as usize)) });
        let given = |argument: usize| plan & (1 << argument) != 0;
        let arguments = 0..table.definition.arguments.len();
        let arguments: Vec<Argument> = arguments
            .map(|argument| given(argument).then(|| values.next()).flatten().unwrap_or(Argument::Null))
            .collect();
        let wanted = Wanted(plan as u32 >> ARGUMENT_BITS);
        cursor.rows = (table.definition.rows)(table.caller, &arguments, wanted)?;
        cursor.arguments = arguments.into_iter().map(cell).collect();
        cursor.rowid = 0;
        cursor.advance()
    };
    // SAFETY: SQLite calls this on a cursor of ours.
    unsafe { method("xFilter", cursor, body) }
}

fn cell(argument: Argument) -> Cell {
    match argument {
        Argument::Null => Cell::Null,
        Argument::Integer(number) => number.into(),
        Argument::Text(text) => text.to_string_lossy().into(),
    }
}

unsafe extern "C" fn next(cursor: *mut VtabCursor) -> c_int {
    // SAFETY: SQLite calls this on a cursor of ours.
    unsafe { method("xNext", cursor, |_, cursor| cursor.advance()) }
}

unsafe extern "C" fn eof(cursor: *mut VtabCursor) -> c_int {
    // SAFETY: SQLite calls this on a cursor of ours.
    guard("xEof", 1, || c_int::from(unsafe { (*cursor.cast::<Cursor>()).row.is_none() }))
}

unsafe extern "C" fn column(cursor: *mut VtabCursor, context: *mut Context, column: c_int) -> c_int {
    let body = |table: &Table, cursor: &mut Cursor| {
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        let argument = || cursor.arguments.get(column.checked_sub(table.definition.columns.len())?);
        let value = cursor.row.as_ref().and_then(|row| row.get(column)).or_else(argument).unwrap_or(&Cell::Null);
        // SAFETY: the call is under way.
        unsafe { result(table.caller.api, context, value) };
        Ok(())
    };
    // SAFETY: SQLite calls this on a cursor of ours.
    unsafe { method("xColumn", cursor, body) }
}

/// Answers a call with a value, of the type that SQL has for it.
///
/// # Safety
/// `context` is that of the call under way.
unsafe fn result(api: Api, context: *mut Context, value: &Cell) {
    // SAFETY: as promised.
    unsafe {
        match value {
            Cell::Null => api.result_null(context),
            Cell::Bool(truth) => api.result_integer(context, i64::from(*truth)),
            Cell::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => api.result_integer(context, whole),
                (None, Some(number)) => api.result_real(context, number),
                (None, None) => api.result_null(context),
            },
            Cell::String(text) => api.result_text(context, text),
            Cell::Array(_) | Cell::Object(_) => api.result_text(context, &value.to_string()),
        }
    }
}

unsafe extern "C" fn rowid(cursor: *mut VtabCursor, rowid: *mut i64) -> c_int {
    let body = |_: &Table, cursor: &mut Cursor| {
        // SAFETY: SQLite wants the answer there.
        unsafe { rowid.write(cursor.rowid) };
        Ok(())
    };
    // SAFETY: SQLite calls this on a cursor of ours.
    unsafe { method("xRowid", cursor, body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGES: Definition = Definition {
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
        let wanted = Wanted::new(0b1010);
        assert_eq!([0, 1, 2, 3, 60].map(|column| wanted.has(column)), [false, true, false, true, false]);
        for used in [1 << 26, 1 << 40, 1 << 63] {
            let wanted = Wanted::new(used);
            assert!(wanted.has(26) && wanted.has(63) && !wanted.has(25), "{used:x}");
            assert_eq!(Wanted((wanted.0 << ARGUMENT_BITS) as c_int as u32 >> ARGUMENT_BITS), wanted);
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
