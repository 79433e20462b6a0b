//! SQLite's C types and constants, as `sqlite3.h` gives them.

use std::ffi::{c_char, c_int, c_void};

/// A database connection; only ever a pointer.
#[repr(C)]
pub struct Sqlite3 {
    _opaque: [u8; 0],
}

/// The state of one call of an SQL function; only ever a pointer.
#[repr(C)]
pub struct Context {
    _opaque: [u8; 0],
}

/// An argument of an SQL function; only ever a pointer.
#[repr(C)]
pub struct Value {
    _opaque: [u8; 0],
}

/// `sqlite3_file`: what every VFS's own file starts with.
#[repr(C)]
pub struct SqliteFile {
    pub methods: *const IoMethods,
}

/// `sqlite3_io_methods`, version 1: without shared memory there is no WAL, without `xFetch` no memory mapping.
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

/// What `xDlSym` answers: a function of unknown type.
pub type Symbol = Option<unsafe extern "C" fn()>;

/// `xOpen`.
pub type OpenMethod = unsafe extern "C" fn(*mut Vfs, *const c_char, *mut SqliteFile, c_int, *mut c_int) -> c_int;

/// `sqlite3_vfs`, version 2. Members that a host may leave out are optional.
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
    pub full_pathname: unsafe extern "C" fn(*mut Vfs, *const c_char, c_int, *mut c_char) -> c_int,
    pub dl_open: Option<unsafe extern "C" fn(*mut Vfs, *const c_char) -> *mut c_void>,
    pub dl_error: Option<unsafe extern "C" fn(*mut Vfs, c_int, *mut c_char)>,
    pub dl_sym: Option<unsafe extern "C" fn(*mut Vfs, *mut c_void, *const c_char) -> Symbol>,
    pub dl_close: Option<unsafe extern "C" fn(*mut Vfs, *mut c_void)>,
    pub randomness: Option<unsafe extern "C" fn(*mut Vfs, c_int, *mut c_char) -> c_int>,
    pub sleep: Option<unsafe extern "C" fn(*mut Vfs, c_int) -> c_int>,
    pub current_time: Option<unsafe extern "C" fn(*mut Vfs, *mut f64) -> c_int>,
    pub get_last_error: Option<unsafe extern "C" fn(*mut Vfs, c_int, *mut c_char) -> c_int>,
    /// Only there from version 2 on.
    pub current_time_int64: Option<unsafe extern "C" fn(*mut Vfs, *mut i64) -> c_int>,
}

/// A row of `sqlite3_exec`.
pub type ExecCallback = unsafe extern "C" fn(*mut c_void, c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;

/// The body of an SQL function.
pub type ScalarFunction = unsafe extern "C" fn(*mut Context, c_int, *mut *mut Value);

pub const SQLITE_OK: c_int = 0;
pub const SQLITE_ERROR: c_int = 1;
pub const SQLITE_INTERNAL: c_int = 2;
pub const SQLITE_BUSY: c_int = 5;
pub const SQLITE_READONLY: c_int = 8;
pub const SQLITE_INTERRUPT: c_int = 9;
pub const SQLITE_IOERR: c_int = 10;
pub const SQLITE_CORRUPT: c_int = 11;
pub const SQLITE_NOTFOUND: c_int = 12;
pub const SQLITE_CANTOPEN: c_int = 14;
pub const SQLITE_OK_LOAD_PERMANENTLY: c_int = 1 << 8;
/// `xFullPathname` met a symbolic link on the way; not an error.
pub const SQLITE_OK_SYMLINK: c_int = 2 << 8;
pub const SQLITE_IOERR_READ: c_int = SQLITE_IOERR | 1 << 8;
pub const SQLITE_IOERR_SHORT_READ: c_int = SQLITE_IOERR | 2 << 8;
pub const SQLITE_CANTOPEN_FULLPATH: c_int = SQLITE_CANTOPEN | 3 << 8;

pub const SQLITE_OPEN_READONLY: c_int = 0x1;
pub const SQLITE_OPEN_READWRITE: c_int = 0x2;
pub const SQLITE_OPEN_CREATE: c_int = 0x4;
pub const SQLITE_OPEN_MAIN_DB: c_int = 0x100;

pub const SQLITE_ACCESS_EXISTS: c_int = 0;

pub const SQLITE_LOCK_NONE: c_int = 0;
pub const SQLITE_LOCK_SHARED: c_int = 1;

pub const SQLITE_FCNTL_VFSNAME: c_int = 12;
pub const SQLITE_FCNTL_PRAGMA: c_int = 14;
pub const SQLITE_FCNTL_PDB: c_int = 30;

pub const SQLITE_UTF8: c_int = 1;
pub const SQLITE_DIRECTONLY: c_int = 0x8_0000;
pub const SQLITE_INNOCUOUS: c_int = 0x20_0000;
pub const SQLITE_INTEGER: c_int = 1;
pub const SQLITE_NULL: c_int = 5;
