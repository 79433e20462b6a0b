//! Routines that take a connection.

use super::{Api, IS_INTERRUPTED, c_string, routine};
use crate::sqlite::ffi::*;
use crate::sqlite::guard::guard;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

/// The keyword that a pragma statement starts with.
const PRAGMA: &[u8] = b"PRAGMA";

impl Api {
    /// Creates a scalar function of `arguments` arguments. Returns a result code.
    ///
    /// # Safety
    /// `db` is an open connection of this library, and `function` calls only the routines of this library.
    pub unsafe fn create_function(
        self,
        db: *mut Sqlite3,
        name: &CStr,
        arguments: c_int,
        flags: c_int,
        function: ScalarFunction,
    ) -> c_int {
        let none = ptr::null();
        // SAFETY: `db` is open by the contract of this function, and SQLite copies the name. A scalar function has `xFunc` only, so
        // the other callbacks are null. `function` is part of this library, which is never unloaded.
        unsafe {
            let create = routine!(self, create_function_v2);
            create(db, name.as_ptr(), arguments, SQLITE_UTF8 | flags, ptr::null_mut(), Some(function), none, none, none)
        }
    }

    /// Creates or replaces the module of a virtual table. Returns a result code. SQLite passes `data` to `xConnect`.
    ///
    /// # Safety
    /// `db` is an open connection of this library, `data` is what `module` takes, and it lives as long as the process.
    pub unsafe fn create_module(
        self,
        db: *mut Sqlite3,
        name: &CStr,
        module: &'static Module,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: `db` is open by the contract of this function, and SQLite copies the name. It keeps `module` and `data`, which live as
        // long as the process and therefore need no destructor.
        unsafe { routine!(self, create_module_v2)(db, name.as_ptr(), module, data, None) }
    }

    /// Declares the columns of a virtual table by a CREATE TABLE statement, and its risk: with `SQLITE_VTAB_INNOCUOUS`, views and triggers
    /// of any schema may use it, and with `SQLITE_VTAB_DIRECTONLY` none but temporary ones. Returns a result code. Both exist since 3.31.
    ///
    /// # Safety
    /// `db` is the connection that is calling `xConnect`.
    pub unsafe fn declare_table(self, db: *mut Sqlite3, columns: &str, risk: c_int) -> c_int {
        // SAFETY: both routines may be called from `xConnect`, which `db` is calling by the contract of this function. The text lives
        // until the call returns, and neither risk takes a further argument.
        unsafe {
            match routine!(self, declare_vtab)(db, c_string(columns).as_ptr()) {
                SQLITE_OK => routine!(self, vtab_config)(db, risk),
                code => code,
            }
        }
    }

    /// Counts the statements of `db` that have started and not finished. Pragmas are not counted: SQLite runs one for every pragma that is
    /// read as a table, and none of them keeps a transaction open.
    ///
    /// # Safety
    /// `db` is an open connection of this library, and this thread holds its mutex.
    pub unsafe fn unfinished_statements(self, db: *mut Sqlite3) -> usize {
        let mut statement = ptr::null_mut();
        // SAFETY: `db` is open by the contract of this function. `statement` is null or one of its statements, and stays prepared because
        // other threads need the mutex to finalize it.
        let next = || unsafe {
            statement = routine!(self, next_stmt)(db, statement);
            (!statement.is_null()).then_some(statement)
        };
        // SAFETY: as for `next`. The text of a statement lives as long as the statement.
        let is_counted = |statement: &*mut Statement| unsafe {
            let sql = routine!(self, sql)(*statement);
            let is_pragma = !sql.is_null() && starts_with_pragma(CStr::from_ptr(sql));
            !is_pragma && routine!(self, stmt_busy)(*statement) != 0
        };
        std::iter::from_fn(next).filter(is_counted).count()
    }

    /// Runs SQL and returns its rows, with their values as text. Fails with SQLite's error text.
    ///
    /// # Safety
    /// `db` is an open connection of this library, and this thread holds its mutex or is its only user.
    pub unsafe fn query(self, db: *mut Sqlite3, sql: &str) -> Result<Vec<TextRow>, String> {
        let mut rows: Vec<TextRow> = Vec::new();
        let sql = c_string(sql);
        // SAFETY: `db` is open by the contract of this function. SQLite passes `rows` to `collect` and does not keep it, so `rows` and
        // `sql` live long enough.
        let code =
            unsafe { routine!(self, exec)(db, sql.as_ptr(), Some(collect), (&raw mut rows).cast(), ptr::null_mut()) };
        match code {
            SQLITE_OK => Ok(rows),
            // SAFETY: `db` is still open. The text is valid until the next call on `db`, which only this thread makes, and is copied.
            _ => Err(unsafe { CStr::from_ptr(routine!(self, errmsg)(db)) }.to_string_lossy().into_owned()),
        }
    }

    /// Runs SQL and returns column `column` of each row as text, without NULLs. Fails with SQLite's error text.
    ///
    /// # Safety
    /// As for [`Api::query`].
    pub unsafe fn query_column(self, db: *mut Sqlite3, sql: &str, column: usize) -> Result<Vec<CString>, String> {
        // SAFETY: by the contract of this function.
        let rows = unsafe { self.query(db, sql) }?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().nth(column).flatten()).collect())
    }

    /// Whether `db` is in autocommit mode, that is, outside an explicit transaction.
    ///
    /// # Safety
    /// `db` is an open connection of this library.
    pub unsafe fn autocommit(self, db: *mut Sqlite3) -> bool {
        // SAFETY: `db` is open by the contract of this function.
        unsafe { routine!(self, get_autocommit)(db) != 0 }
    }

    /// Whether the application interrupted `db`. Always false on a host older than 3.41.
    ///
    /// # Safety
    /// `db` is an open connection of this library.
    pub unsafe fn interrupted(self, db: *mut Sqlite3) -> bool {
        // SAFETY: the version check makes sure that the table has the routine, and `db` is open by the contract of this function.
        self.version >= IS_INTERRUPTED && unsafe { routine!(self, is_interrupted)(db) != 0 }
    }

    /// Sends a file control to the file of a schema. Returns a result code.
    ///
    /// # Safety
    /// `db` is an open connection of this library, and `argument` is valid for `operation` until the call returns.
    pub unsafe fn file_control(
        self,
        db: *mut Sqlite3,
        schema: &CStr,
        operation: c_int,
        argument: *mut c_void,
    ) -> c_int {
        // SAFETY: `db` and `argument` are valid by the contract of this function.
        unsafe { routine!(self, file_control)(db, schema.as_ptr(), operation, argument) }
    }
}

/// A row with its values as text, and None for NULL.
pub type TextRow = Vec<Option<CString>>;

/// Returns a column of a row as text; NULL is empty.
pub fn text_at(row: &TextRow, column: usize) -> String {
    row.get(column).and_then(Option::as_ref).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Returns a column of a row as an integer; NULL is 0.
pub fn integer_at(row: &TextRow, column: usize) -> i64 {
    text_at(row, column).parse().unwrap_or_default()
}

unsafe extern "C" fn collect(rows: *mut c_void, count: c_int, values: *mut *mut c_char, _: *mut *mut c_char) -> c_int {
    guard("sqlite3_exec", SQLITE_ERROR, || {
        // SAFETY: `Api::query` passes a pointer to its rows, and does not use them while `sqlite3_exec` runs.
        let rows = unsafe { &mut *rows.cast::<Vec<TextRow>>() };
        let text = |column: usize| {
            // SAFETY: `values` has an entry for each of the `count` columns.
            let value = unsafe { *values.add(column) };
            // SAFETY: a value that is not null is a string, which SQLite keeps until this callback returns.
            (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_owned())
        };
        rows.push((0..usize::try_from(count).unwrap_or(0)).map(text).collect());
        SQLITE_OK
    })
}

fn starts_with_pragma(sql: &CStr) -> bool {
    let sql = sql.to_bytes().trim_ascii_start();
    sql.get(..PRAGMA.len()).is_some_and(|start| start.eq_ignore_ascii_case(PRAGMA))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pragma_is_recognized_by_its_first_word() {
        assert!(starts_with_pragma(c" pragma main.page_count") && starts_with_pragma(c"PRAGMA x"));
        assert!(!starts_with_pragma(c"SELECT 'PRAGMA'") && !starts_with_pragma(c"PRA"));
    }
}
