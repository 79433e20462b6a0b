//! An empty database in memory, to have SQLite parse a schema.

use super::connection::TextRow;
use super::{Api, c_string, routine};
use crate::sqlite::ffi::*;
use crate::sqlite::guard::guard;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

/// A connection to an empty database in memory. It is closed when it is dropped.
pub struct ScratchDatabase {
    api: Api,
    db: *mut Sqlite3,
}

impl ScratchDatabase {
    /// Opens a database. Fails with the result code of SQLite.
    pub fn open(api: Api) -> Result<ScratchDatabase, String> {
        let mut db = ptr::null_mut();
        // SAFETY: the name is a string that lives until the call returns, and `db` is room for a pointer.
        let code = unsafe { routine!(api, open)(c_string(":memory:").as_ptr(), &raw mut db) };
        // SQLite sets `db` also if it fails, unless there is no memory.
        let scratch = ScratchDatabase { api, db };
        if code == SQLITE_OK { Ok(scratch) } else { Err(format!("cannot open a database in memory: code {code}")) }
    }

    /// Runs SQL and returns its rows, with their values as text. Fails with SQLite's error text.
    pub fn query(&self, sql: &str) -> Result<Vec<TextRow>, String> {
        // SAFETY: `db` is open, because `open` succeeded, and no other thread knows it.
        unsafe { self.api.query(self.db, sql) }
    }

    /// Creates a table or an index by a statement from the schema of a replica. That can be any text, so nothing else is done that it says.
    /// Fails with SQLite's error text.
    pub fn define(&self, sql: &str) -> Result<(), String> {
        if sql.contains('\0') {
            return Err("it contains a NUL".to_owned());
        }
        // SAFETY: the table of routines lives as long as the process.
        let set_authorizer = unsafe { routine!(self.api, set_authorizer) };
        let set_authorizer = set_authorizer.ok_or("this SQLite has no authorizers")?;
        let creates_index = Cell::new(false);
        // SAFETY: `db` is open, because `open` succeeded. `authorize` is part of this library, which is never unloaded. It is called while
        // the statement runs, so not after `creates_index` has gone.
        let set =
            |authorizer| unsafe { set_authorizer(self.db, authorizer, (&raw const creates_index).cast_mut().cast()) };
        // With a writable schema, a statement could insert into it, and compute any value for that.
        self.query("PRAGMA writable_schema = OFF")?;
        if set(Some(authorize)) != SQLITE_OK {
            return Err("this SQLite accepts no authorizer".to_owned());
        }
        let defined = self.query(sql);
        set(None);
        defined.map(drop)
    }
}

/// Allows what SQLite does to create a table or an index. `creates_index` is a `Cell<bool>`.
unsafe extern "C" fn authorize(
    creates_index: *mut c_void,
    action: c_int,
    name: *const c_char,
    _: *const c_char,
    _: *const c_char,
    _: *const c_char,
) -> c_int {
    guard("authorizer", SQLITE_DENY, || {
        // SAFETY: `define` passes it, and waits until the statement has run.
        let creates_index = unsafe { &*creates_index.cast::<Cell<bool>>() };
        match action {
            SQLITE_CREATE_TABLE | SQLITE_REINDEX => SQLITE_OK,
            SQLITE_CREATE_INDEX => {
                creates_index.set(true);
                SQLITE_OK
            }
            // The columns of an index.
            SQLITE_READ => SQLITE_OK,
            // A function in an index is NULL: SQLite computes constant expressions also for a table without rows, for as long as they take.
            SQLITE_FUNCTION if creates_index.get() => SQLITE_IGNORE,
            // The default values and conditions of a table.
            SQLITE_FUNCTION => SQLITE_OK,
            // SAFETY: for these actions, `name` is that of a table, and lives until this callback returns.
            SQLITE_INSERT | SQLITE_UPDATE if unsafe { CStr::from_ptr(name) } == c"sqlite_master" => SQLITE_OK,
            _ => SQLITE_DENY,
        }
    })
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        // SAFETY: `db` is null, which SQLite ignores, or a connection without statements that nothing uses afterwards.
        unsafe { routine!(self.api, close)(self.db) };
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::host;
    use super::*;

    #[test]
    fn a_statement_of_a_schema_creates_tables_and_indexes_and_does_nothing_else() {
        let scratch = ScratchDatabase::open(host()).expect("a database");
        scratch
            .define("CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT DEFAULT (upper('x')) UNIQUE, c)")
            .expect("a table");
        scratch.define("CREATE UNIQUE INDEX i ON t (lower(b), c) WHERE c > 0").expect("an index");
        let blob = "replace(hex(zeroblob(400000000)), '0', '00')";
        let huge = format!("CREATE UNIQUE INDEX h ON t (instr({blob}, {blob} || '1'), a) WHERE {blob} > a");
        scratch.define(&huge).expect("an index of which nothing is computed");
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("x.db");
        let attach = format!("ATTACH '{}' AS y; CREATE TABLE y.z (a)", path.display());
        for text in [
            format!("CREATE UNIQUE INDEX j ON t (b); {attach}"),
            format!("CREATE TABLE u (x); {attach}"),
            format!("CREATE TABLE v (x); {attach}\0"),
            format!("VACUUM INTO '{}'", path.display()),
            "CREATE TABLE w AS SELECT 1".to_owned(),
            "INSERT INTO t (c) VALUES (1)".to_owned(),
            "INSERT INTO sqlite_sequence VALUES (hex(zeroblob(499999999)), 1)".to_owned(),
            "INSERT INTO sqlite_master (sql) VALUES (hex(zeroblob(499999999)))".to_owned(),
            "SELECT load_extension('x')".to_owned(),
            "PRAGMA writable_schema = ON".to_owned(),
            "DROP TABLE t".to_owned(),
        ] {
            scratch.define(&text).expect_err(&text);
        }
        assert!(!path.exists());
        assert_eq!(scratch.query("SELECT * FROM t").map(|rows| rows.len()), Ok(0));
    }
}
