//! The routines of the SQLite library that loaded us.
//!
//! An extension links no SQLite: it is handed a table of the host's routines, `sqlite3_api_routines` of
//! `sqlite3ext.h`. The table only ever grew at its end, so that a host's table is a prefix of a newer one.

use super::ffi::*;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

/// The oldest version that works, 3.31.0: the first whose names give away the names of their journals.
const OLDEST: c_int = 3_031_000;
/// The version that `sqlite3_is_interrupted` came with.
const IS_INTERRUPTED: c_int = 3_041_000;

/// The keyword.
const PRAGMA: &[u8] = b"PRAGMA";

type Unused = *const c_void;
type TextDestructor = isize;
/// `SQLITE_TRANSIENT`: SQLite copies the text.
const TRANSIENT: TextDestructor = -1;

/// `sqlite3_api_routines` up to the newest routine in use. Arrays stand for the routines between those in use.
#[repr(C)]
pub struct Routines {
    _aggregate_context_to_db_handle: [Unused; 50],
    declare_vtab: unsafe extern "C" fn(*mut Sqlite3, *const c_char) -> c_int,
    _enable_shared_cache_to_errcode: [Unused; 2],
    errmsg: unsafe extern "C" fn(*mut Sqlite3) -> *const c_char,
    _errmsg16: [Unused; 1],
    exec:
        unsafe extern "C" fn(*mut Sqlite3, *const c_char, Option<ExecCallback>, *mut c_void, *mut *mut c_char) -> c_int,
    _expired_to_free_table: [Unused; 4],
    get_autocommit: unsafe extern "C" fn(*mut Sqlite3) -> c_int,
    _get_auxdata_to_last_insert_rowid: [Unused; 5],
    libversion: unsafe extern "C" fn() -> *const c_char,
    libversion_number: unsafe extern "C" fn() -> c_int,
    _malloc: [Unused; 1],
    mprintf: unsafe extern "C" fn(*const c_char, ...) -> *mut c_char,
    _open_to_result_blob: [Unused; 9],
    result_double: unsafe extern "C" fn(*mut Context, f64),
    result_error: unsafe extern "C" fn(*mut Context, *const c_char, c_int),
    _result_error16_to_result_int: [Unused; 2],
    result_int64: unsafe extern "C" fn(*mut Context, i64),
    result_null: unsafe extern "C" fn(*mut Context),
    result_text: unsafe extern "C" fn(*mut Context, *const c_char, c_int, TextDestructor),
    _result_text16_to_value_numeric_type: [Unused; 23],
    value_text: unsafe extern "C" fn(*mut Value) -> *const c_char,
    _value_text16_to_value_text16le: [Unused; 3],
    value_type: unsafe extern "C" fn(*mut Value) -> c_int,
    _vmprintf_to_clear_bindings: [Unused; 5],
    create_module_v2: unsafe extern "C" fn(
        *mut Sqlite3,
        *const c_char,
        *const Module,
        *mut c_void,
        Option<unsafe extern "C" fn(*mut c_void)>,
    ) -> c_int,
    _bind_zeroblob_to_create_collation_v2: [Unused; 7],
    file_control: unsafe extern "C" fn(*mut Sqlite3, *const c_char, c_int, *mut c_void) -> c_int,
    _memory_highwater_to_soft_heap_limit: [Unused; 13],
    vfs_find: unsafe extern "C" fn(*const c_char) -> *mut Vfs,
    vfs_register: unsafe extern "C" fn(*mut Vfs, c_int) -> c_int,
    _vfs_unregister_to_result_zeroblob: [Unused; 3],
    result_error_code: unsafe extern "C" fn(*mut Context, c_int),
    _test_control_to_randomness: [Unused; 2],
    context_db_handle: unsafe extern "C" fn(*mut Context) -> *mut Sqlite3,
    _extended_result_codes_to_limit: [Unused; 2],
    next_stmt: unsafe extern "C" fn(*mut Sqlite3, *mut Statement) -> *mut Statement,
    sql: unsafe extern "C" fn(*mut Statement) -> *const c_char,
    _status_to_compileoption_used: [Unused; 8],
    create_function_v2: unsafe extern "C" fn(
        *mut Sqlite3,
        *const c_char,
        c_int,
        c_int,
        *mut c_void,
        Option<ScalarFunction>,
        Unused,
        Unused,
        Unused,
    ) -> c_int,
    _db_config_to_extended_errcode: [Unused; 4],
    log: unsafe extern "C" fn(c_int, *const c_char, ...),
    _soft_heap_limit64_to_blob_reopen: [Unused; 9],
    vtab_config: unsafe extern "C" fn(*mut Sqlite3, c_int, ...) -> c_int,
    _vtab_on_conflict_to_errstr: [Unused; 6],
    stmt_busy: unsafe extern "C" fn(*mut Statement) -> c_int,
    _stmt_readonly_to_stricmp: [Unused; 2],
    uri_boolean: unsafe extern "C" fn(*const c_char, *const c_char, c_int) -> c_int,
    _uri_int64: [Unused; 1],
    uri_parameter: unsafe extern "C" fn(*const c_char, *const c_char) -> *const c_char,
    _xvsnprintf_to_wal_checkpoint_v2: [Unused; 2],
    auto_extension: unsafe extern "C" fn(Option<unsafe extern "C" fn()>) -> c_int,
    _bind_blob64_to_filename_database: [Unused; 54],
    filename_journal: unsafe extern "C" fn(*const c_char) -> *const c_char,
    filename_wal: unsafe extern "C" fn(*const c_char) -> *const c_char,
    _create_filename_to_value_encoding: [Unused; 17],
    is_interrupted: unsafe extern "C" fn(*mut Sqlite3) -> c_int,
}

/// One routine of a host, for use in `unsafe`: `Api::of_host` took a table that stays as long as the process.
/// Reads that member alone: an older host's table ends before ours.
macro_rules! routine {
    ($api:expr, $name:ident) => {
        (*$api.routines).$name
    };
}

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
        let mut rows = Rows { column, texts: Vec::new() };
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

    /// The connection that calls a function.
    ///
    /// # Safety
    /// `context` is that of the call under way.
    pub unsafe fn connection(self, context: *mut Context) -> *mut Sqlite3 {
        // SAFETY: as promised.
        unsafe { routine!(self, context_db_handle)(context) }
    }

    /// Whether an argument is an integer. To be asked before [`Api::text`], which may change what it is.
    ///
    /// # Safety
    /// `value` is an argument of the call under way.
    pub unsafe fn is_integer(self, value: *mut Value) -> bool {
        // SAFETY: as promised.
        unsafe { routine!(self, value_type)(value) == SQLITE_INTEGER }
    }

    /// An argument as text; None for NULL.
    ///
    /// # Safety
    /// `value` is an argument of the call under way.
    pub unsafe fn text(self, value: *mut Value) -> Option<CString> {
        // SAFETY: as promised; the text stays until the value is next looked at.
        unsafe {
            if routine!(self, value_type)(value) == SQLITE_NULL {
                return None;
            }
            let text = routine!(self, value_text)(value);
            (!text.is_null()).then(|| CStr::from_ptr(text).to_owned())
        }
    }

    /// Answers a call with text.
    ///
    /// # Safety
    /// As for [`Api::connection`].
    pub unsafe fn result_text(self, context: *mut Context, text: &str) {
        // SAFETY: as promised; SQLite copies the text.
        unsafe { routine!(self, result_text)(context, c_string(text).as_ptr(), -1, TRANSIENT) }
    }

    /// Answers a call with an integer.
    ///
    /// # Safety
    /// As for [`Api::connection`].
    pub unsafe fn result_integer(self, context: *mut Context, number: i64) {
        // SAFETY: as promised.
        unsafe { routine!(self, result_int64)(context, number) }
    }

    /// Answers a call with a number that need not be whole.
    ///
    /// # Safety
    /// As for [`Api::connection`].
    pub unsafe fn result_real(self, context: *mut Context, number: f64) {
        // SAFETY: as promised.
        unsafe { routine!(self, result_double)(context, number) }
    }

    /// Answers a call with NULL.
    ///
    /// # Safety
    /// As for [`Api::connection`].
    pub unsafe fn result_null(self, context: *mut Context) {
        // SAFETY: as promised.
        unsafe { routine!(self, result_null)(context) }
    }

    /// Answers a call with an error of this code and text.
    ///
    /// # Safety
    /// As for [`Api::connection`].
    pub unsafe fn result_error(self, context: *mut Context, code: c_int, text: &str) {
        // SAFETY: as promised; SQLite copies the text, and keeps it when it gets the code.
        unsafe {
            routine!(self, result_error)(context, c_string(text).as_ptr(), -1);
            routine!(self, result_error_code)(context, code);
        }
    }
}

struct Rows {
    column: usize,
    texts: Vec<CString>,
}

unsafe extern "C" fn collect(rows: *mut c_void, _: c_int, values: *mut *mut c_char, _: *mut *mut c_char) -> c_int {
    super::guard::guard("sqlite3_exec", SQLITE_ERROR, || {
        // SAFETY: `Api::query` passes its rows, and nobody else has them meanwhile.
        let rows = unsafe { &mut *rows.cast::<Rows>() };
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
    use super::*;
    use rusqlite::ffi;
    use std::sync::OnceLock;

    /// The table that the bundled SQLite hands to extensions, as an address.
    static TABLE: OnceLock<usize> = OnceLock::new();

    unsafe extern "C" fn remember(
        _: *mut ffi::sqlite3,
        _: *mut *mut c_char,
        table: *const ffi::sqlite3_api_routines,
    ) -> c_int {
        TABLE.get_or_init(|| table.expose_provenance());
        SQLITE_OK
    }

    fn bundled() -> *const Routines {
        // SAFETY: the entry has the signature it declares.
        unsafe { rusqlite::auto_extension::register_auto_extension(remember) }.unwrap();
        rusqlite::Connection::open_in_memory().unwrap();
        ptr::with_exposed_provenance(*TABLE.get().unwrap())
    }

    /// Every routine must stand where the library's own table has it.
    #[test]
    fn the_table_is_laid_out_as_sqlite_s() {
        let table = bundled();
        macro_rules! assert_routines {
            ($($name:ident = $linked:ident),* $(,)?) => {
                $(
                    // SAFETY: the bundled library is newer than every routine here.
                    assert_eq!(unsafe { (*table).$name } as *const (), ffi::$linked as *const (), stringify!($name));
                )*
            };
        }
        assert_routines! {
            declare_vtab = sqlite3_declare_vtab,
            errmsg = sqlite3_errmsg,
            exec = sqlite3_exec,
            get_autocommit = sqlite3_get_autocommit,
            libversion = sqlite3_libversion,
            libversion_number = sqlite3_libversion_number,
            mprintf = sqlite3_mprintf,
            result_double = sqlite3_result_double,
            result_error = sqlite3_result_error,
            result_error_code = sqlite3_result_error_code,
            result_int64 = sqlite3_result_int64,
            result_null = sqlite3_result_null,
            result_text = sqlite3_result_text,
            value_text = sqlite3_value_text,
            value_type = sqlite3_value_type,
            create_module_v2 = sqlite3_create_module_v2,
            file_control = sqlite3_file_control,
            vfs_find = sqlite3_vfs_find,
            vfs_register = sqlite3_vfs_register,
            context_db_handle = sqlite3_context_db_handle,
            next_stmt = sqlite3_next_stmt,
            sql = sqlite3_sql,
            create_function_v2 = sqlite3_create_function_v2,
            log = sqlite3_log,
            vtab_config = sqlite3_vtab_config,
            stmt_busy = sqlite3_stmt_busy,
            uri_boolean = sqlite3_uri_boolean,
            uri_parameter = sqlite3_uri_parameter,
            auto_extension = sqlite3_auto_extension,
            filename_journal = sqlite3_filename_journal,
            filename_wal = sqlite3_filename_wal,
            is_interrupted = sqlite3_is_interrupted,
        }
    }

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
