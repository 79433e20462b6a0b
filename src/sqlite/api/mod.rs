//! The routines of the SQLite library that loaded this extension.
//!
//! An extension is not linked with SQLite. The library that loads it passes a table of its routines ([`Routines`]).

mod calls;
mod connection;
mod filename;
mod routines;
mod scratch;
mod statement;

use super::ffi::*;
pub use connection::{TextRow, integer_at, text_at};
pub use routines::Routines;
pub use scratch::ScratchDatabase;
pub use statement::Prepared;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

/// The oldest version that works, 3.31.0: the first that has `sqlite3_filename_journal` and `sqlite3_filename_wal`.
const OLDEST: c_int = 3_031_000;
/// The version that introduced `sqlite3_is_interrupted`.
const IS_INTERRUPTED: c_int = 3_041_000;

/// One routine of a host, for use in `unsafe`. [`Api::of_host`] requires that the table lives as long as the process.
///
/// Reads this one member only, because the table of an older host is shorter than [`Routines`].
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
    /// Returns the routines of a host, or None if `routines` is null.
    ///
    /// Before [`Api::check`] has succeeded, only [`Api::allocate`] and [`Api::log`] may be called.
    ///
    /// # Safety
    /// `routines` is null, or the table that SQLite passed to an entry point. SQLite keeps the table for the life of the process.
    pub unsafe fn of_host(routines: *const Routines) -> Option<Api> {
        if routines.is_null() {
            return None;
        }
        let api = Api { routines, version: 0 };
        // SAFETY: every version of SQLite has this routine, which takes no arguments.
        Some(Api { version: unsafe { routine!(api, libversion_number)() }, ..api })
    }

    /// Checks that the host is new enough. Otherwise returns the error text.
    pub fn check(self) -> Result<(), String> {
        if self.version >= OLDEST {
            return Ok(());
        }
        // SAFETY: every version of SQLite has this routine, which takes no arguments and returns a static string.
        let found = unsafe { CStr::from_ptr(routine!(self, libversion)()) }.to_string_lossy();
        Err(format!("litestream-vfs needs SQLite 3.31 or newer, and this program has {found}"))
    }

    /// Copies text into memory of SQLite's allocator, for SQLite to free. Returns null if there is no memory.
    pub fn allocate(self, text: &str) -> *mut c_char {
        // SAFETY: the format takes one string, which lives until the call returns. SQLite copies it.
        unsafe { routine!(self, mprintf)(c"%s".as_ptr(), c_string(text).as_ptr()) }
    }

    /// Writes to the error log of the application (`SQLITE_CONFIG_LOG`).
    pub fn log(self, code: c_int, text: &str) {
        // SAFETY: the format takes one string, which lives until the call returns.
        unsafe { routine!(self, log)(code, c"%s".as_ptr(), c_string(text).as_ptr()) }
    }

    /// Returns the VFS with this name, or the default VFS if `name` is None. Null if there is none.
    pub fn vfs_find(self, name: Option<&CStr>) -> *mut Vfs {
        // SAFETY: the name is null, for the default VFS, or a string that lives until the call returns.
        unsafe { routine!(self, vfs_find)(name.map_or(ptr::null(), CStr::as_ptr)) }
    }

    /// Registers a VFS, as the default one if `is_default`. Returns a result code.
    ///
    /// # Safety
    /// `vfs` lives, and is not moved, for the rest of the process.
    pub unsafe fn vfs_register(self, vfs: *mut Vfs, is_default: bool) -> c_int {
        // SAFETY: SQLite keeps `vfs` in its list, which is allowed because it lives as long as the process, by the contract of this
        // function.
        unsafe { routine!(self, vfs_register)(vfs, is_default.into()) }
    }

    /// Makes SQLite call `entry` for every connection opened later. Returns a result code.
    ///
    /// # Safety
    /// `entry` has the signature of an entry point, and lives as long as the process.
    pub unsafe fn auto_extension(self, entry: unsafe extern "C" fn()) -> c_int {
        // SAFETY: `entry` is an entry point that stays loaded, by the contract of this function.
        unsafe { routine!(self, auto_extension)(Some(entry)) }
    }
}

/// Converts text to a C string. The string ends at the first NUL of the text.
pub fn c_string(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

#[cfg(test)]
pub mod tests {
    use super::routines::tests::bundled;
    use super::*;

    /// Returns the bundled SQLite as a host.
    pub fn host() -> Api {
        // SAFETY: the table is the one that the bundled library passed to an entry point.
        unsafe { Api::of_host(bundled()) }.expect("a host")
    }

    #[test]
    fn an_old_host_is_refused_with_both_versions() {
        let api = host();
        assert_eq!(api.check(), Ok(()));
        let old = Api { version: OLDEST - 1, ..api };
        let text = old.check().unwrap_err();
        assert!(text.contains("3.31") && text.contains(rusqlite::version()), "{text}");
    }

    #[test]
    fn a_c_string_ends_at_the_first_nul() {
        assert_eq!(c_string("a%s").as_c_str(), c"a%s");
        assert_eq!(c_string("a\0b").as_c_str(), c"a");
    }
}
