//! The methods of SQLite's virtual tables, which are the same for every [`TableDef`].

use super::caller::Caller;
use super::definition::{ARGUMENT_BITS, Row, TableDef, TableRows, UsedColumns};
use super::plan;
use crate::replica::StoredValue;
use crate::sqlite::api::Api;
use crate::sqlite::errors::SqlError;
use crate::sqlite::ffi::*;
use crate::sqlite::guard::guard;
use crate::sqlite::sql::argument::Argument;
use std::ffi::{c_char, c_int, c_void};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ptr;

/// The methods. Because `xCreate` and `xConnect` are the same function, the tables exist without CREATE VIRTUAL TABLE, which can
/// nevertheless create them in any schema.
pub static MODULE: Module = Module {
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

/// A table in one SQLite library. SQLite passes it to `xConnect`.
#[derive(Debug)]
pub struct Registered {
    pub api: Api,
    pub definition: &'static TableDef,
}

/// A table of one connection.
#[repr(C)]
struct Table {
    base: Vtab,
    caller: Caller,
    definition: &'static TableDef,
}

/// A cursor over the rows of a table.
#[repr(C)]
struct TableCursor {
    base: VtabCursor,
    arguments: Vec<StoredValue>,
    rows: TableRows,
    /// The current row. None after the last row.
    row: Option<Row>,
    rowid: i64,
}

impl TableCursor {
    fn advance(&mut self) -> Result<(), SqlError> {
        self.row = self.rows.next().transpose()?;
        self.rowid += 1;
        Ok(())
    }
}

/// Runs a method of a cursor. Stores the text of its error in the table, where SQLite reads it.
///
/// # Safety
/// SQLite is calling a method of a cursor of [`MODULE`] with `cursor`.
unsafe fn method(
    name: &str,
    cursor: *mut VtabCursor,
    body: impl FnOnce(&Table, &mut TableCursor) -> Result<(), SqlError>,
) -> c_int {
    guard(name, SQLITE_ERROR, || {
        // SAFETY: `open` made the cursor as a `TableCursor`, and SQLite does not call `close` during another method. SQLite holds the
        // connection's mutex, so this is the only reference to the cursor.
        let (table, cursor) = unsafe { ((*cursor).table, &mut *cursor.cast::<TableCursor>()) };
        // SAFETY: SQLite set `table` to the table that the cursor was opened on, which `connect` made as a `Table`. It is disconnected only
        // after all of its cursors are closed.
        let Err(error) = body(unsafe { &*table.cast::<Table>() }, cursor) else {
            return SQLITE_OK;
        };
        cursor.row = None;
        // SAFETY: the same `table`, which outlives its cursors. The reference that `body` got has ended, and SQLite holds the connection's mutex.
        unsafe { (*table).error = (*table.cast::<Table>()).caller.api.allocate(&error.text) };
        error.code
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
        // SAFETY: SQLite passes the data that `Tables::create` registered, which is a static `Registered`.
        let Registered { api, definition } = unsafe { &*data.cast::<Registered>() };
        let risk = if definition.is_innocuous { SQLITE_VTAB_INNOCUOUS } else { SQLITE_VTAB_DIRECTONLY };
        // SAFETY: `db` is the connection that is calling `xConnect`, and `api` has the routines of its library.
        let code = unsafe { api.declare_table(db, &definition.sql(), risk) };
        if code == SQLITE_OK {
            let base = Vtab { module: ptr::null(), references: 0, error: ptr::null_mut() };
            let connected = Box::new(Table { base, caller: Caller { api: *api, db }, definition });
            // SAFETY: SQLite passes room for the pointer to the table. `disconnect` frees the box.
            unsafe { table.write(Box::into_raw(connected).cast()) };
        }
        code
    })
}

unsafe extern "C" fn disconnect(table: *mut Vtab) -> c_int {
    guard("xDisconnect", SQLITE_ERROR, || {
        // SAFETY: `connect` made the table as a boxed `Table`. SQLite calls this once, and does not use the table afterwards.
        drop(unsafe { Box::from_raw(table.cast::<Table>()) });
        SQLITE_OK
    })
}

unsafe extern "C" fn best_index(table: *mut Vtab, info: *mut IndexInfo) -> c_int {
    guard("xBestIndex", SQLITE_ERROR, || {
        // SAFETY: `connect` made the table as a `Table`, and it is not disconnected during this call.
        let definition = unsafe { (*table.cast::<Table>()).definition };
        // SAFETY: SQLite passes an `IndexInfo` that nothing else uses until this call returns, with arrays of the lengths that it says.
        unsafe { plan::choose(definition, &mut *info) }
    })
}

unsafe extern "C" fn open(_: *mut Vtab, cursor: *mut *mut VtabCursor) -> c_int {
    guard("xOpen", SQLITE_ERROR, || {
        let base = VtabCursor { table: ptr::null_mut() };
        let opened =
            TableCursor { base, arguments: Vec::new(), rows: Box::new(std::iter::empty()), row: None, rowid: 0 };
        // SAFETY: SQLite passes room for the pointer to the cursor, and sets the cursor's `table` itself. `close` frees the box.
        unsafe { cursor.write(Box::into_raw(Box::new(opened)).cast()) };
        SQLITE_OK
    })
}

unsafe extern "C" fn close(cursor: *mut VtabCursor) -> c_int {
    guard("xClose", SQLITE_ERROR, || {
        // SAFETY: `open` made the cursor as a boxed `TableCursor`. SQLite calls this once, and does not use the cursor afterwards.
        drop(unsafe { Box::from_raw(cursor.cast::<TableCursor>()) });
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
    let body = |table: &Table, cursor: &mut TableCursor| {
        // SAFETY: `values` has `count` entries, which SQLite keeps until this call returns.
        let mut values = (0..count).map(|at| unsafe { Argument::read(table.caller.api, *values.add(at as usize)) });
        let is_present = |argument: usize| plan & (1 << argument) != 0;
        let arguments = 0..table.definition.arguments.len();
        let arguments: Vec<Argument> = arguments
            .map(|argument| is_present(argument).then(|| values.next()).flatten().unwrap_or(Argument::Null))
            .collect();
        let used_columns = UsedColumns(plan as u32 >> ARGUMENT_BITS);
        cursor.rows = (table.definition.rows)(table.caller, &arguments, used_columns)?;
        cursor.rowid = before_first_rowid(&arguments);
        cursor.arguments = arguments.into_iter().map(StoredValue::from).collect();
        cursor.advance()
    };
    // SAFETY: SQLite is calling `xFilter` with this cursor.
    unsafe { method("xFilter", cursor, body) }
}

/// Returns the number before the rowid of the first row. SQLite unites the alternatives of an OR by rowid, and calls `xFilter` for each of them:
/// rows of different arguments must have different rowids, and rows of equal arguments the same.
fn before_first_rowid(arguments: &[Argument]) -> i64 {
    let mut hasher = DefaultHasher::new();
    format!("{arguments:?}").hash(&mut hasher);
    // 31 bits of the hash, and room for 2^32 rows.
    ((hasher.finish() >> 33) << 32) as i64
}

unsafe extern "C" fn next(cursor: *mut VtabCursor) -> c_int {
    // SAFETY: SQLite is calling `xNext` with this cursor.
    unsafe { method("xNext", cursor, |_, cursor| cursor.advance()) }
}

unsafe extern "C" fn eof(cursor: *mut VtabCursor) -> c_int {
    // SAFETY: SQLite is calling `xEof` with a cursor that `open` made as a `TableCursor` and that is not closed.
    guard("xEof", 1, || c_int::from(unsafe { (*cursor.cast::<TableCursor>()).row.is_none() }))
}

unsafe extern "C" fn column(cursor: *mut VtabCursor, context: *mut Context, column: c_int) -> c_int {
    let body = |table: &Table, cursor: &mut TableCursor| {
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        let argument = || cursor.arguments.get(column.checked_sub(table.definition.columns.len())?);
        let value = cursor.row.as_ref().and_then(|row| row.get(column)).or_else(argument).unwrap_or(&StoredValue::Null);
        // SAFETY: `context` is that of this call of `xColumn`.
        unsafe { set_result(table.caller.api, context, value) };
        Ok(())
    };
    // SAFETY: SQLite is calling `xColumn` with this cursor.
    unsafe { method("xColumn", cursor, body) }
}

/// Sets the result of a call to a value, with the SQL type of the value.
///
/// # Safety
/// `context` is that of the current call of `xColumn`, in the library of `api`.
unsafe fn set_result(api: Api, context: *mut Context, value: &StoredValue) {
    // SAFETY: `context` is valid until the current call returns, by the contract of this function.
    unsafe {
        match value {
            StoredValue::Null => api.result_null(context),
            StoredValue::Integer(number) => api.result_integer(context, *number),
            StoredValue::Real(number) => api.result_real(context, *number),
            StoredValue::Text(text) => api.result_text(context, text),
            StoredValue::Blob(blob) => api.result_blob(context, blob),
        }
    }
}

unsafe extern "C" fn rowid(cursor: *mut VtabCursor, rowid: *mut i64) -> c_int {
    let body = |_: &Table, cursor: &mut TableCursor| {
        // SAFETY: SQLite passes room for the rowid.
        unsafe { rowid.write(cursor.rowid) };
        Ok(())
    };
    // SAFETY: SQLite is calling `xRowid` with this cursor.
    unsafe { method("xRowid", cursor, body) }
}
