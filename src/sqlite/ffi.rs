//! SQLite's C types and constants, as declared in `sqlite3.h`.

use std::ffi::{c_char, c_int, c_void};

/// `sqlite3`: a database connection. Only used behind a pointer.
#[repr(C)]
pub struct Sqlite3 {
    _opaque: [u8; 0],
}

/// `sqlite3_context`: one call of an SQL function. Only used behind a pointer.
#[repr(C)]
pub struct Context {
    _opaque: [u8; 0],
}

/// `sqlite3_value`: an argument of an SQL function. Only used behind a pointer.
#[repr(C)]
pub struct Value {
    _opaque: [u8; 0],
}

/// `sqlite3_stmt`: a prepared statement. Only used behind a pointer.
#[repr(C)]
pub struct Statement {
    _opaque: [u8; 0],
}

/// `sqlite3_file`: the first member of the file type of every VFS.
#[repr(C)]
pub struct SqliteFile {
    pub methods: *const IoMethods,
}

/// `sqlite3_io_methods`, version 1. Later versions add shared memory for a WAL and memory mapping, which replicas do not have.
#[repr(C)]
pub struct IoMethods {
    pub version: c_int,
    pub close: unsafe extern "C" fn(*mut SqliteFile) -> c_int,
    pub read: unsafe extern "C" fn(*mut SqliteFile, *mut c_void, c_int, i64) -> c_int,
    pub write: unsafe extern "C" fn(*mut SqliteFile, *const c_void, c_int, i64) -> c_int,
    pub truncate: unsafe extern "C" fn(*mut SqliteFile, i64) -> c_int,
    pub sync: unsafe extern "C" fn(*mut SqliteFile, c_int) -> c_int,
    pub file_size: unsafe extern "C" fn(*mut SqliteFile, *mut i64) -> c_int,
    pub lock: unsafe extern "C" fn(*mut SqliteFile, c_int) -> c_int,
    pub unlock: unsafe extern "C" fn(*mut SqliteFile, c_int) -> c_int,
    pub check_reserved_lock: unsafe extern "C" fn(*mut SqliteFile, *mut c_int) -> c_int,
    pub file_control: unsafe extern "C" fn(*mut SqliteFile, c_int, *mut c_void) -> c_int,
    pub sector_size: unsafe extern "C" fn(*mut SqliteFile) -> c_int,
    pub device_characteristics: unsafe extern "C" fn(*mut SqliteFile) -> c_int,
}

/// The result of `xDlSym`: a function of unknown type.
pub type Symbol = Option<unsafe extern "C" fn()>;

/// `xOpen`.
pub type OpenMethod = unsafe extern "C" fn(*mut Vfs, *const c_char, *mut SqliteFile, c_int, *mut c_int) -> c_int;

/// `xFullPathname`.
pub type FullPathnameMethod = unsafe extern "C" fn(*mut Vfs, *const c_char, c_int, *mut c_char) -> c_int;

/// `sqlite3_vfs`, version 3. Methods that a VFS may leave out are optional.
#[repr(C)]
pub struct Vfs {
    pub version: c_int,
    pub file_size: c_int,
    pub max_pathname: c_int,
    pub next: *mut Vfs,
    pub name: *const c_char,
    pub app_data: *mut c_void,
    pub open: OpenMethod,
    pub delete: unsafe extern "C" fn(*mut Vfs, *const c_char, c_int) -> c_int,
    pub access: unsafe extern "C" fn(*mut Vfs, *const c_char, c_int, *mut c_int) -> c_int,
    pub full_pathname: FullPathnameMethod,
    pub dl_open: Option<unsafe extern "C" fn(*mut Vfs, *const c_char) -> *mut c_void>,
    pub dl_error: Option<unsafe extern "C" fn(*mut Vfs, c_int, *mut c_char)>,
    pub dl_sym: Option<unsafe extern "C" fn(*mut Vfs, *mut c_void, *const c_char) -> Symbol>,
    pub dl_close: Option<unsafe extern "C" fn(*mut Vfs, *mut c_void)>,
    pub randomness: Option<unsafe extern "C" fn(*mut Vfs, c_int, *mut c_char) -> c_int>,
    pub sleep: Option<unsafe extern "C" fn(*mut Vfs, c_int) -> c_int>,
    pub current_time: Option<unsafe extern "C" fn(*mut Vfs, *mut f64) -> c_int>,
    pub get_last_error: Option<unsafe extern "C" fn(*mut Vfs, c_int, *mut c_char) -> c_int>,
    /// Not present in version 1.
    pub current_time_int64: Option<unsafe extern "C" fn(*mut Vfs, *mut i64) -> c_int>,
    /// Not present in versions 1 and 2, as the following members.
    pub set_system_call: Option<unsafe extern "C" fn(*mut Vfs, *const c_char, Symbol) -> c_int>,
    pub get_system_call: Option<unsafe extern "C" fn(*mut Vfs, *const c_char) -> Symbol>,
    pub next_system_call: Option<unsafe extern "C" fn(*mut Vfs, *const c_char) -> *const c_char>,
}

/// The callback of `sqlite3_exec`, called for each row.
pub type ExecCallback = unsafe extern "C" fn(*mut c_void, c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;

/// The callback of `sqlite3_set_authorizer`: the kind of action, and up to four names.
pub type Authorizer =
    unsafe extern "C" fn(*mut c_void, c_int, *const c_char, *const c_char, *const c_char, *const c_char) -> c_int;

/// `xFunc`: the implementation of an SQL function.
pub type ScalarFunction = unsafe extern "C" fn(*mut Context, c_int, *mut *mut Value);

/// `xCreate` and `xConnect`: the connection, the data of the module, the number of arguments and the arguments, the resulting table, and
/// the resulting error text.
pub type ConnectMethod = unsafe extern "C" fn(
    *mut Sqlite3,
    *mut c_void,
    c_int,
    *const *const c_char,
    *mut *mut Vtab,
    *mut *mut c_char,
) -> c_int;

/// `xFilter`: the cursor, the number and the name of the plan that `xBestIndex` chose, the number of values and the values.
pub type FilterMethod = unsafe extern "C" fn(*mut VtabCursor, c_int, *const c_char, c_int, *mut *mut Value) -> c_int;

/// `sqlite3_module`, version 1: the methods of a virtual table.
#[repr(C)]
pub struct Module {
    pub version: c_int,
    pub create: Option<ConnectMethod>,
    pub connect: ConnectMethod,
    pub best_index: unsafe extern "C" fn(*mut Vtab, *mut IndexInfo) -> c_int,
    pub disconnect: unsafe extern "C" fn(*mut Vtab) -> c_int,
    pub destroy: Option<unsafe extern "C" fn(*mut Vtab) -> c_int>,
    pub open: unsafe extern "C" fn(*mut Vtab, *mut *mut VtabCursor) -> c_int,
    pub close: unsafe extern "C" fn(*mut VtabCursor) -> c_int,
    pub filter: FilterMethod,
    pub next: unsafe extern "C" fn(*mut VtabCursor) -> c_int,
    pub eof: unsafe extern "C" fn(*mut VtabCursor) -> c_int,
    pub column: unsafe extern "C" fn(*mut VtabCursor, *mut Context, c_int) -> c_int,
    pub rowid: unsafe extern "C" fn(*mut VtabCursor, *mut i64) -> c_int,
    /// `xUpdate`, the transaction methods, `xFindFunction` and `xRename`, which a read-only table does not have.
    pub writing: [Option<unsafe extern "C" fn()>; 7],
}

/// `sqlite3_vtab`: the first member of every virtual table type.
#[repr(C)]
pub struct Vtab {
    pub module: *const Module,
    pub references: c_int,
    /// The error text, allocated by SQLite's allocator. SQLite frees it.
    pub error: *mut c_char,
}

/// `sqlite3_vtab_cursor`: the first member of every cursor type.
#[repr(C)]
pub struct VtabCursor {
    pub table: *mut Vtab,
}

/// `sqlite3_index_info`, up to the members that 3.31 has: the input and the output of `xBestIndex`.
#[repr(C)]
pub struct IndexInfo {
    pub constraint_count: c_int,
    pub constraints: *const IndexConstraint,
    pub order_count: c_int,
    pub orders: *const IndexOrder,
    pub usage: *mut ConstraintUsage,
    pub number: c_int,
    pub name: *mut c_char,
    pub free_name: c_int,
    pub is_ordered: c_int,
    pub cost: f64,
    pub rows: i64,
    pub flags: c_int,
    pub columns_used: u64,
}

/// A term of an ORDER BY clause.
#[repr(C)]
pub struct IndexOrder {
    pub column: c_int,
    pub descending: u8,
}

/// A term of a WHERE clause that compares a column with a value.
#[repr(C)]
pub struct IndexConstraint {
    pub column: c_int,
    pub operator: u8,
    /// 0 if the value is not known in this join order.
    pub usable: u8,
    pub offset: c_int,
}

/// How the plan of `xBestIndex` uses a term.
#[repr(C)]
pub struct ConstraintUsage {
    /// The position of the value among the arguments of `xFilter`, counted from 1. 0 if the value is not passed.
    pub argument: c_int,
    /// 1 if SQLite need not check the term itself.
    pub omit: u8,
}

pub const SQLITE_OK: c_int = 0;
pub const SQLITE_ERROR: c_int = 1;
pub const SQLITE_INTERNAL: c_int = 2;
pub const SQLITE_BUSY: c_int = 5;
pub const SQLITE_READONLY: c_int = 8;
pub const SQLITE_INTERRUPT: c_int = 9;
pub const SQLITE_IOERR: c_int = 10;
pub const SQLITE_CORRUPT: c_int = 11;
pub const SQLITE_NOTFOUND: c_int = 12;
pub const SQLITE_FULL: c_int = 13;
pub const SQLITE_CANTOPEN: c_int = 14;
pub const SQLITE_TOOBIG: c_int = 18;
pub const SQLITE_CONSTRAINT: c_int = 19;
pub const SQLITE_MISUSE: c_int = 21;
pub const SQLITE_ROW: c_int = 100;
pub const SQLITE_OK_LOAD_PERMANENTLY: c_int = 1 << 8;
/// `xFullPathname` resolved a symbolic link. Not an error.
pub const SQLITE_OK_SYMLINK: c_int = 2 << 8;
pub const SQLITE_BUSY_SNAPSHOT: c_int = SQLITE_BUSY | 2 << 8;
pub const SQLITE_IOERR_READ: c_int = SQLITE_IOERR | 1 << 8;
pub const SQLITE_IOERR_SHORT_READ: c_int = SQLITE_IOERR | 2 << 8;
pub const SQLITE_IOERR_WRITE: c_int = SQLITE_IOERR | 3 << 8;
pub const SQLITE_IOERR_FSYNC: c_int = SQLITE_IOERR | 4 << 8;
pub const SQLITE_CANTOPEN_FULLPATH: c_int = SQLITE_CANTOPEN | 3 << 8;

/// The results of an authorizer that rejects an action and that has SQLite compute NULL instead, and actions.
pub const SQLITE_DENY: c_int = 1;
pub const SQLITE_IGNORE: c_int = 2;
pub const SQLITE_CREATE_INDEX: c_int = 1;
pub const SQLITE_CREATE_TABLE: c_int = 2;
pub const SQLITE_INSERT: c_int = 18;
pub const SQLITE_READ: c_int = 20;
pub const SQLITE_UPDATE: c_int = 23;
pub const SQLITE_REINDEX: c_int = 27;
pub const SQLITE_FUNCTION: c_int = 31;

pub const SQLITE_OPEN_READONLY: c_int = 0x1;
pub const SQLITE_OPEN_READWRITE: c_int = 0x2;
pub const SQLITE_OPEN_CREATE: c_int = 0x4;
pub const SQLITE_OPEN_MAIN_DB: c_int = 0x100;
pub const SQLITE_OPEN_MAIN_JOURNAL: c_int = 0x800;
pub const SQLITE_OPEN_WAL: c_int = 0x8_0000;

pub const SQLITE_ACCESS_EXISTS: c_int = 0;
pub const SQLITE_ACCESS_READWRITE: c_int = 1;

pub const SQLITE_LOCK_NONE: c_int = 0;
pub const SQLITE_LOCK_SHARED: c_int = 1;

pub const SQLITE_FCNTL_VFSNAME: c_int = 12;
pub const SQLITE_FCNTL_PRAGMA: c_int = 14;
pub const SQLITE_FCNTL_SYNC: c_int = 21;
pub const SQLITE_FCNTL_VFS_POINTER: c_int = 27;
pub const SQLITE_FCNTL_PDB: c_int = 30;

pub const SQLITE_IOCAP_SAFE_APPEND: c_int = 0x200;
pub const SQLITE_IOCAP_SEQUENTIAL: c_int = 0x400;
pub const SQLITE_IOCAP_POWERSAFE_OVERWRITE: c_int = 0x1000;

pub const SQLITE_INDEX_CONSTRAINT_EQ: u8 = 2;
pub const SQLITE_VTAB_INNOCUOUS: c_int = 2;
pub const SQLITE_VTAB_DIRECTONLY: c_int = 3;

pub const SQLITE_UTF8: c_int = 1;
pub const SQLITE_DIRECTONLY: c_int = 0x8_0000;
pub const SQLITE_INNOCUOUS: c_int = 0x20_0000;
pub const SQLITE_INTEGER: c_int = 1;
pub const SQLITE_FLOAT: c_int = 2;
pub const SQLITE_BLOB: c_int = 4;
pub const SQLITE_NULL: c_int = 5;
