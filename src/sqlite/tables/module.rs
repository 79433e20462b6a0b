//! SQLite's virtual tables, made of [`TableDef`]s.

use super::super::api::Api;
use super::super::argument::Argument;
use super::super::errors::Complaint;
use super::super::ffi::*;
use super::super::guard::guard;
use super::{ARGUMENT_BITS, Caller, Cell, Registered, Row, TableDef, TableRows, WantedRows};
use std::ffi::{c_char, c_int, c_void};
use std::ptr;

/// With `xCreate` the same as `xConnect`, the table is there without CREATE VIRTUAL TABLE, and can be had in any schema.
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

/// A table of one connection.
#[repr(C)]
struct Table {
    base: Vtab,
    caller: Caller,
    definition: &'static TableDef,
}

/// A place in a table's rows.
#[repr(C)]
struct TableCursor {
    base: VtabCursor,
    arguments: Vec<Cell>,
    rows: TableRows,
    /// None behind the last row.
    row: Option<Row>,
    rowid: i64,
}

impl TableCursor {
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
    body: impl FnOnce(&Table, &mut TableCursor) -> Result<(), Complaint>,
) -> c_int {
    guard(name, SQLITE_ERROR, || {
        // SAFETY: as promised; a connection has one call under way, and the table outlives its cursors.
        let (table, cursor) = unsafe { ((*cursor).table, &mut *cursor.cast::<TableCursor>()) };
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
        info.number = number | (WantedRows::new(info.columns_used).0 << ARGUMENT_BITS) as c_int;
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
        let opened =
            TableCursor { base, arguments: Vec::new(), rows: Box::new(std::iter::empty()), row: None, rowid: 0 };
        // SAFETY: SQLite wants it there, and fills in the table.
        unsafe { cursor.write(Box::into_raw(Box::new(opened)).cast()) };
        SQLITE_OK
    })
}

unsafe extern "C" fn close(cursor: *mut VtabCursor) -> c_int {
    guard("xClose", SQLITE_ERROR, || {
        // SAFETY: `open` made it, and SQLite gives it back once.
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
        // SAFETY: there are `count` values, and this is the call that they are for.
        let mut values = (0..count).map(|at| unsafe { Argument::read(table.caller.api, *values.add(at as usize)) });
        let given = |argument: usize| plan & (1 << argument) != 0;
        let arguments = 0..table.definition.arguments.len();
        let arguments: Vec<Argument> = arguments
            .map(|argument| given(argument).then(|| values.next()).flatten().unwrap_or(Argument::Null))
            .collect();
        let wanted = WantedRows(plan as u32 >> ARGUMENT_BITS);
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
    guard("xEof", 1, || c_int::from(unsafe { (*cursor.cast::<TableCursor>()).row.is_none() }))
}

unsafe extern "C" fn column(cursor: *mut VtabCursor, context: *mut Context, column: c_int) -> c_int {
    let body = |table: &Table, cursor: &mut TableCursor| {
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
    let body = |_: &Table, cursor: &mut TableCursor| {
        // SAFETY: SQLite wants the answer there.
        unsafe { rowid.write(cursor.rowid) };
        Ok(())
    };
    // SAFETY: SQLite calls this on a cursor of ours.
    unsafe { method("xRowid", cursor, body) }
}
