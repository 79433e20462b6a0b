//! SQLite's table of routines, `sqlite3_api_routines` of `sqlite3ext.h`.
//!
//! New versions of SQLite only append to the table, so that the table of an older host is a prefix of this one.

use super::super::ffi::*;
use std::ffi::{c_char, c_int, c_void};

type Unused = *const c_void;
pub type TextDestructor = isize;
/// `SQLITE_TRANSIENT`: SQLite copies the text before the call returns.
pub const TRANSIENT: TextDestructor = -1;

/// `sqlite3_api_routines`, up to the newest routine in use. Arrays take the place of routines that are not used.
#[repr(C)]
pub struct Routines {
    _aggregate_context_to_changes: [Unused; 16],
    pub close: unsafe extern "C" fn(*mut Sqlite3) -> c_int,
    _collation_needed_to_db_handle: [Unused; 33],
    pub declare_vtab: unsafe extern "C" fn(*mut Sqlite3, *const c_char) -> c_int,
    _enable_shared_cache_to_errcode: [Unused; 2],
    pub errmsg: unsafe extern "C" fn(*mut Sqlite3) -> *const c_char,
    _errmsg16: [Unused; 1],
    pub exec:
        unsafe extern "C" fn(*mut Sqlite3, *const c_char, Option<ExecCallback>, *mut c_void, *mut *mut c_char) -> c_int,
    _expired: [Unused; 1],
    pub finalize: unsafe extern "C" fn(*mut Statement) -> c_int,
    _free_to_free_table: [Unused; 2],
    pub get_autocommit: unsafe extern "C" fn(*mut Sqlite3) -> c_int,
    _get_auxdata_to_last_insert_rowid: [Unused; 5],
    pub libversion: unsafe extern "C" fn() -> *const c_char,
    pub libversion_number: unsafe extern "C" fn() -> c_int,
    _malloc: [Unused; 1],
    pub mprintf: unsafe extern "C" fn(*const c_char, ...) -> *mut c_char,
    pub open: unsafe extern "C" fn(*const c_char, *mut *mut Sqlite3) -> c_int,
    _open16_to_realloc: [Unused; 6],
    pub reset: unsafe extern "C" fn(*mut Statement) -> c_int,
    pub result_blob: unsafe extern "C" fn(*mut Context, *const c_void, c_int, TextDestructor),
    pub result_double: unsafe extern "C" fn(*mut Context, f64),
    pub result_error: unsafe extern "C" fn(*mut Context, *const c_char, c_int),
    _result_error16_to_result_int: [Unused; 2],
    pub result_int64: unsafe extern "C" fn(*mut Context, i64),
    pub result_null: unsafe extern "C" fn(*mut Context),
    pub result_text: unsafe extern "C" fn(*mut Context, *const c_char, c_int, TextDestructor),
    _result_text16_to_rollback_hook: [Unused; 5],
    /// None in a SQLite without authorizers.
    pub set_authorizer: Option<unsafe extern "C" fn(*mut Sqlite3, Option<Authorizer>, *mut c_void) -> c_int>,
    _set_auxdata_to_xsnprintf: [Unused; 2],
    pub step: unsafe extern "C" fn(*mut Statement) -> c_int,
    _table_column_metadata_to_user_data: [Unused; 7],
    pub value_blob: unsafe extern "C" fn(*mut Value) -> *const c_void,
    pub value_bytes: unsafe extern "C" fn(*mut Value) -> c_int,
    _value_bytes16: [Unused; 1],
    pub value_double: unsafe extern "C" fn(*mut Value) -> f64,
    _value_int_to_value_numeric_type: [Unused; 3],
    pub value_text: unsafe extern "C" fn(*mut Value) -> *const c_char,
    _value_text16_to_value_text16le: [Unused; 3],
    pub value_type: unsafe extern "C" fn(*mut Value) -> c_int,
    _vmprintf_to_overload_function: [Unused; 2],
    pub prepare_v2:
        unsafe extern "C" fn(*mut Sqlite3, *const c_char, c_int, *mut *mut Statement, *mut *const c_char) -> c_int,
    _prepare16_v2_to_clear_bindings: [Unused; 2],
    pub create_module_v2: unsafe extern "C" fn(
        *mut Sqlite3,
        *const c_char,
        *const Module,
        *mut c_void,
        Option<unsafe extern "C" fn(*mut c_void)>,
    ) -> c_int,
    _bind_zeroblob_to_create_collation_v2: [Unused; 7],
    pub file_control: unsafe extern "C" fn(*mut Sqlite3, *const c_char, c_int, *mut c_void) -> c_int,
    _memory_highwater_to_soft_heap_limit: [Unused; 13],
    pub vfs_find: unsafe extern "C" fn(*const c_char) -> *mut Vfs,
    pub vfs_register: unsafe extern "C" fn(*mut Vfs, c_int) -> c_int,
    _vfs_unregister_to_result_zeroblob: [Unused; 3],
    pub result_error_code: unsafe extern "C" fn(*mut Context, c_int),
    _test_control_to_randomness: [Unused; 2],
    pub context_db_handle: unsafe extern "C" fn(*mut Context) -> *mut Sqlite3,
    _extended_result_codes_to_limit: [Unused; 2],
    pub next_stmt: unsafe extern "C" fn(*mut Sqlite3, *mut Statement) -> *mut Statement,
    pub sql: unsafe extern "C" fn(*mut Statement) -> *const c_char,
    _status_to_compileoption_used: [Unused; 8],
    pub create_function_v2: unsafe extern "C" fn(
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
    pub log: unsafe extern "C" fn(c_int, *const c_char, ...),
    _soft_heap_limit64_to_blob_reopen: [Unused; 9],
    pub vtab_config: unsafe extern "C" fn(*mut Sqlite3, c_int, ...) -> c_int,
    _vtab_on_conflict_to_close_v2: [Unused; 2],
    pub db_filename: unsafe extern "C" fn(*mut Sqlite3, *const c_char) -> *const c_char,
    _db_readonly_to_errstr: [Unused; 3],
    pub stmt_busy: unsafe extern "C" fn(*mut Statement) -> c_int,
    _stmt_readonly_to_stricmp: [Unused; 2],
    pub uri_boolean: unsafe extern "C" fn(*const c_char, *const c_char, c_int) -> c_int,
    _uri_int64: [Unused; 1],
    pub uri_parameter: unsafe extern "C" fn(*const c_char, *const c_char) -> *const c_char,
    _xvsnprintf_to_wal_checkpoint_v2: [Unused; 2],
    pub auto_extension: unsafe extern "C" fn(Option<unsafe extern "C" fn()>) -> c_int,
    _bind_blob64_to_filename_database: [Unused; 54],
    pub filename_journal: unsafe extern "C" fn(*const c_char) -> *const c_char,
    pub filename_wal: unsafe extern "C" fn(*const c_char) -> *const c_char,
    _create_filename_to_value_encoding: [Unused; 17],
    pub is_interrupted: unsafe extern "C" fn(*mut Sqlite3) -> c_int,
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use rusqlite::ffi;
    use std::ptr;
    use std::sync::OnceLock;

    /// The address of the table that the bundled SQLite passes to extensions.
    static TABLE: OnceLock<usize> = OnceLock::new();

    unsafe extern "C" fn remember(
        _: *mut ffi::sqlite3,
        _: *mut *mut c_char,
        table: *const ffi::sqlite3_api_routines,
    ) -> c_int {
        TABLE.get_or_init(|| table.expose_provenance());
        SQLITE_OK
    }

    pub fn bundled() -> *const Routines {
        // SAFETY: `remember` has the signature of an entry point and lives as long as the process.
        unsafe { rusqlite::auto_extension::register_auto_extension(remember) }.unwrap();
        rusqlite::Connection::open_in_memory().unwrap();
        ptr::with_exposed_provenance(*TABLE.get().unwrap())
    }

    /// Every routine must be at the offset that it has in the library's own table.
    #[test]
    fn the_table_has_the_layout_of_sqlite() {
        let table = bundled();
        macro_rules! assert_routines {
            ($($name:ident = $linked:ident),* $(,)?) => {
                $(
                    // SAFETY: the table lives as long as the process, and the bundled library is new enough to have this routine.
                    assert_eq!(unsafe { (*table).$name } as *const (), ffi::$linked as *const (), stringify!($name));
                )*
            };
        }
        // SAFETY: as above.
        let set_authorizer = unsafe { (*table).set_authorizer }.map(|routine| routine as *const ());
        assert_eq!(set_authorizer, Some(ffi::sqlite3_set_authorizer as *const ()));
        assert_routines! {
            close = sqlite3_close,
            declare_vtab = sqlite3_declare_vtab,
            errmsg = sqlite3_errmsg,
            exec = sqlite3_exec,
            finalize = sqlite3_finalize,
            get_autocommit = sqlite3_get_autocommit,
            libversion = sqlite3_libversion,
            libversion_number = sqlite3_libversion_number,
            mprintf = sqlite3_mprintf,
            open = sqlite3_open,
            reset = sqlite3_reset,
            result_blob = sqlite3_result_blob,
            result_double = sqlite3_result_double,
            result_error = sqlite3_result_error,
            result_error_code = sqlite3_result_error_code,
            result_int64 = sqlite3_result_int64,
            result_null = sqlite3_result_null,
            result_text = sqlite3_result_text,
            step = sqlite3_step,
            value_blob = sqlite3_value_blob,
            value_bytes = sqlite3_value_bytes,
            value_double = sqlite3_value_double,
            value_text = sqlite3_value_text,
            value_type = sqlite3_value_type,
            prepare_v2 = sqlite3_prepare_v2,
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
            db_filename = sqlite3_db_filename,
            stmt_busy = sqlite3_stmt_busy,
            uri_boolean = sqlite3_uri_boolean,
            uri_parameter = sqlite3_uri_parameter,
            auto_extension = sqlite3_auto_extension,
            filename_journal = sqlite3_filename_journal,
            filename_wal = sqlite3_filename_wal,
            is_interrupted = sqlite3_is_interrupted,
        }
    }
}
