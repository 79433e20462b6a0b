//! The routines of the SQLite library that loaded us.
//!
//! An extension links no SQLite: it is handed a table of the host's routines (`routines`).

mod calls;
mod routines;
mod statement;

use super::ffi::*;
pub use routines::Routines;
pub use statement::Prepared;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

/// The oldest version that works, 3.31.0: the first whose names give away the names of their journals.
const OLDEST: c_int = 3_031_000;
/// The version that `sqlite3_is_interrupted` came with.
const IS_INTERRUPTED: c_int = 3_041_000;

/// The keyword.
const PRAGMA: &[u8] = b"PRAGMA";

/// One routine of a host, for use in `unsafe`: `Api::of_host` took a table that stays as long as the process.
/// Reads that member alone: an older host's table ends before ours.
macro_rules! routine {
    ($api:expr, $name:ident) => {
        (*$api.routines).$name
    };
}
use routine;

/// A host's routines, called from Rust.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    routines: *const Routines,
    version: c_int,
}

impl Api {
    /// The routines of a host; None if it gave none. To be [checked](Api::check) before any is called but those for text.
    ///
    /// # Safety
    /// `routines` is null, or a table that SQLite handed to an extension.
    pub unsafe fn of_host(routines: *const Routines) -> Option<Api> {
        if routines.is_null() {
            return None;
        }
        let api = Api { routines, version: 0 };
        // SAFETY: it takes nothing, and every host has it.
        Some(Api { version: unsafe { routine!(api, libversion_number)() }, ..api })
    }

    /// Whether the host is new enough, or what to tell it.
    pub fn check(self) -> Result<(), String> {
        if self.version >= OLDEST {
            return Ok(());
        }
        // SAFETY: it takes nothing, and every host has it.
        let found = unsafe { CStr::from_ptr(routine!(self, libversion)()) }.to_string_lossy();
        Err(format!("litestream-vfs needs SQLite 3.31 or newer, and this program has {found}"))
    }

    /// Text in the host's memory, for the host to free. Null if there is no memory.
    pub fn allocate(self, text: &str) -> *mut c_char {
        // SAFETY: the format takes one string, and copies it.
        unsafe { routine!(self, mprintf)(c"%s".as_ptr(), c_string(text).as_ptr()) }
    }

    /// Writes to the application's error log.
    pub fn log(self, code: c_int, text: &str) {
        // SAFETY: the format takes one string.
        unsafe { routine!(self, log)(code, c"%s".as_ptr(), c_string(text).as_ptr()) }
    }

    /// The VFS of a name, or the default one; null if there is none.
    pub fn vfs_find(self, name: Option<&CStr>) -> *mut Vfs {
        // SAFETY: null asks for the default VFS.
        unsafe { routine!(self, vfs_find)(name.map_or(ptr::null(), CStr::as_ptr)) }
    }

    /// Registers a VFS, not as the default one; answers a result code.
    ///
    /// # Safety
    /// `vfs` stays where it is.
    pub unsafe fn vfs_register(self, vfs: *mut Vfs) -> c_int {
        // SAFETY: as promised.
        unsafe { routine!(self, vfs_register)(vfs, 0) }
    }

    /// Has `entry` called for every connection opened from now on; answers a result code.
    ///
    /// # Safety
    /// `entry` has the signature of an extension's entry point.
    pub unsafe fn auto_extension(self, entry: unsafe extern "C" fn()) -> c_int {
        // SAFETY: as promised.
        unsafe { routine!(self, auto_extension)(Some(entry)) }
    }

    /// Creates a function of `arguments` arguments; answers a result code.
    ///
    /// # Safety
    /// `db` is open, and `body` calls the routines of this host alone.
    pub unsafe fn create_function(
        self,
        db: *mut Sqlite3,
        name: &CStr,
        arguments: c_int,
        flags: c_int,
        body: ScalarFunction,
    ) -> c_int {
        let none = ptr::null();
        // SAFETY: as promised; a scalar function has a body alone.
        unsafe {
            let create = routine!(self, create_function_v2);
            create(db, name.as_ptr(), arguments, SQLITE_UTF8 | flags, ptr::null_mut(), Some(body), none, none, none)
        }
    }

    /// Creates, or replaces, a virtual table's module; answers a result code. `data` is what its `xConnect` gets.
    ///
    /// # Safety
    /// `db` is open, `module` calls the routines of this host alone, and both it and `data` stay.
    pub unsafe fn create_module(
        self,
        db: *mut Sqlite3,
        name: &CStr,
        module: &'static Module,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: as promised; what stays needs no destructor.
        unsafe { routine!(self, create_module_v2)(db, name.as_ptr(), module, data, None) }
    }

    /// Tells the columns of a virtual table, as CREATE TABLE has them, and that views and triggers may read it whoever wrote
    /// them (`SQLITE_VTAB_INNOCUOUS` is as old as the oldest version that works); answers a result code.
    ///
    /// # Safety
    /// `db` is calling `xConnect`.
    pub unsafe fn declare_innocuous_table(self, db: *mut Sqlite3, columns: &str) -> c_int {
        // SAFETY: as promised; the option takes no value.
        unsafe {
            match routine!(self, declare_vtab)(db, c_string(columns).as_ptr()) {
                SQLITE_OK => routine!(self, vtab_config)(db, SQLITE_VTAB_INNOCUOUS),
                code => code,
            }
        }
    }

    /// How many statements of `db` have begun and not ended. Without pragmas: SQLite runs one for every pragma that is
    /// read as a table, and none of them holds a database open.
    ///
    /// # Safety
    /// `db` is open and in the hands of this thread.
    pub unsafe fn unfinished(self, db: *mut Sqlite3) -> usize {
        let mut statement = ptr::null_mut();
        // SAFETY: as promised; nothing is prepared or finalized meanwhile.
        let next = || unsafe {
            statement = routine!(self, next_stmt)(db, statement);
            (!statement.is_null()).then_some(statement)
        };
        // SAFETY: the statements are those of `db`, and their text stays with them.
        let counts = |statement: &*mut Statement| unsafe {
            let sql = routine!(self, sql)(*statement);
            let is_pragma = !sql.is_null() && starts_with_pragma(CStr::from_ptr(sql));
            !is_pragma && routine!(self, stmt_busy)(*statement) != 0
        };
        std::iter::from_fn(next).filter(counts).count()
    }

    /// Runs SQL and answers column `column` of its rows.
    ///
    /// # Safety
    /// `db` is open and in the hands of this thread.
    pub unsafe fn query(self, db: *mut Sqlite3, sql: &str, column: usize) -> Result<Vec<CString>, String> {
        let mut rows = StatementRows { column, texts: Vec::new() };
        let sql = c_string(sql);
        // SAFETY: as promised; the callback gets the rows that outlive the call.
        let code =
            unsafe { routine!(self, exec)(db, sql.as_ptr(), Some(collect), (&raw mut rows).cast(), ptr::null_mut()) };
        match code {
            SQLITE_OK => Ok(rows.texts),
            // SAFETY: the text stays until the next call on `db`.
            _ => Err(unsafe { CStr::from_ptr(routine!(self, errmsg)(db)) }.to_string_lossy().into_owned()),
        }
    }

    /// Whether no transaction was begun.
    ///
    /// # Safety
    /// `db` is open.
    pub unsafe fn autocommit(self, db: *mut Sqlite3) -> bool {
        // SAFETY: as promised.
        unsafe { routine!(self, get_autocommit)(db) != 0 }
    }

    /// Whether the application asked `db` to stop what it does. A host older than 3.41 cannot tell.
    ///
    /// # Safety
    /// `db` is open.
    pub unsafe fn interrupted(self, db: *mut Sqlite3) -> bool {
        // SAFETY: as promised, and the host is new enough to have the routine.
        self.version >= IS_INTERRUPTED && unsafe { routine!(self, is_interrupted)(db) != 0 }
    }

    /// Sends a file control to the file behind a schema; answers a result code.
    ///
    /// # Safety
    /// `db` is open, and `argument` is what `operation` takes.
    pub unsafe fn file_control(
        self,
        db: *mut Sqlite3,
        schema: &CStr,
        operation: c_int,
        argument: *mut c_void,
    ) -> c_int {
        // SAFETY: as promised.
        unsafe { routine!(self, file_control)(db, schema.as_ptr(), operation, argument) }
    }

    /// The name of a schema's database as SQLite passed it to `xOpen`, with its parameters; null if the schema has no file, or
    /// SQLite does not say.
    ///
    /// # Safety
    /// `db` is open, or being opened, and in the hands of this thread.
    pub unsafe fn filename(self, db: *mut Sqlite3, schema: &CStr) -> *const c_char {
        // SAFETY: as promised.
        unsafe { routine!(self, db_filename)(db, schema.as_ptr()) }
    }

    /// A URI parameter of a database's name.
    ///
    /// # Safety
    /// `name` is what SQLite passed to `xOpen` for a main database.
    pub unsafe fn uri_parameter(self, name: *const c_char, key: &str) -> Option<String> {
        // SAFETY: as promised; the value lives in the name.
        unsafe {
            let value = routine!(self, uri_parameter)(name, c_string(key).as_ptr());
            (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
        }
    }

    /// A URI parameter that switches something on.
    ///
    /// # Safety
    /// As for [`Api::uri_parameter`].
    pub unsafe fn uri_boolean(self, name: *const c_char, key: &CStr) -> bool {
        // SAFETY: as promised.
        unsafe { routine!(self, uri_boolean)(name, key.as_ptr(), 0) != 0 }
    }

    /// The addresses by which SQLite names a database's journal and its WAL.
    ///
    /// # Safety
    /// As for [`Api::uri_parameter`].
    pub unsafe fn companions(self, name: *const c_char) -> [*const c_char; 2] {
        // SAFETY: as promised.
        unsafe { [routine!(self, filename_journal)(name), routine!(self, filename_wal)(name)] }
    }
}

struct StatementRows {
    column: usize,
    texts: Vec<CString>,
}

unsafe extern "C" fn collect(rows: *mut c_void, _: c_int, values: *mut *mut c_char, _: *mut *mut c_char) -> c_int {
    super::guard::guard("sqlite3_exec", SQLITE_ERROR, || {
        // SAFETY: `Api::query` passes its rows, and nobody else has them meanwhile.
        let rows = unsafe { &mut *rows.cast::<StatementRows>() };
        // SAFETY: the statement has that column.
        let value = unsafe { *values.add(rows.column) };
        if !value.is_null() {
            // SAFETY: SQLite's text, which stays for this call.
            rows.texts.push(unsafe { CStr::from_ptr(value) }.to_owned());
        }
        SQLITE_OK
    })
}

fn starts_with_pragma(sql: &CStr) -> bool {
    let sql = sql.to_bytes().trim_ascii_start();
    sql.get(..PRAGMA.len()).is_some_and(|start| start.eq_ignore_ascii_case(PRAGMA))
}

/// Text as C takes it, which ends at a NUL.
pub fn c_string(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::routines::tests::bundled;
    use super::*;
    #[test]
    fn an_old_host_is_refused_with_both_versions() {
        // SAFETY: the table is the bundled library's.
        let api = unsafe { Api::of_host(bundled()) }.unwrap();
        assert_eq!(api.check(), Ok(()));
        let old = Api { version: OLDEST - 1, ..api };
        let text = old.check().unwrap_err();
        assert!(text.contains("3.31") && text.contains(rusqlite::version()), "{text}");
    }

    #[test]
    fn a_pragma_is_told_by_its_first_word() {
        assert!(starts_with_pragma(c" pragma main.page_count") && starts_with_pragma(c"PRAGMA x"));
        assert!(!starts_with_pragma(c"SELECT 'PRAGMA'") && !starts_with_pragma(c"PRA"));
    }

    #[test]
    fn text_for_c_ends_at_a_nul() {
        assert_eq!(c_string("a%s").as_c_str(), c"a%s");
        assert_eq!(c_string("a\0b").as_c_str(), c"a");
    }
}
