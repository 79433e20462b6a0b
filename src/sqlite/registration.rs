//! The VFS in one SQLite library.
//!
//! A process can hold several SQLite libraries, and each loads the extension for itself: what belongs to one, its
//! routines above all, must never be used with another. So each has a registration, and everything of the library's is
//! reached from there: its VFS, the files that the VFS opens, the functions and tables.

use super::api::Api;
use super::ffi::*;
use super::functions::Functions;
use super::tables::Tables;
use super::{names, vfs};
use std::ffi::{CStr, c_int};

/// What one SQLite library has of ours. Stays as long as the process.
#[derive(Debug)]
pub struct Registration {
    /// The library's routines.
    pub api: Api,
    /// The VFS for everything that is no replica: the default one when the extension was loaded.
    pub default: *mut Vfs,
    /// The library's functions.
    pub functions: Functions,
    /// The library's tables.
    pub tables: Tables,
}

impl Registration {
    /// The registration behind a VFS.
    ///
    /// # Safety
    /// `vfs` is one of ours.
    pub unsafe fn of(vfs: *mut Vfs) -> &'static Registration {
        // SAFETY: as promised, and registrations are leaked.
        unsafe { &*(*vfs).app_data.cast::<Registration>() }
    }

    /// The registration in the library of `api`, made if there is none yet.
    pub fn in_library(api: Api) -> Result<&'static Registration, String> {
        let found = api.vfs_find(Some(names::VFS));
        // SAFETY: what a library finds is registered.
        if unsafe { vfs::is_ours(found) } {
            // SAFETY: as just seen.
            return Ok(unsafe { Registration::of(found) });
        }
        if !found.is_null() {
            return Err("another extension has registered a VFS named litestream in this program; \
                        load only one of the two"
                .to_owned());
        }
        Registration::register(api)
    }

    fn register(api: Api) -> Result<&'static Registration, String> {
        let default = api.vfs_find(None);
        if default.is_null() {
            return Err("this program has no default VFS, which litestream-vfs needs for temporary files".to_owned());
        }
        let (functions, tables) = (Functions::new(api), Tables::new(api));
        let registration = Box::into_raw(Box::new(Registration { api, default, functions, tables }));
        // SAFETY: the registration is leaked, the VFS as well, and the default one is registered.
        let code = unsafe { api.vfs_register(Box::into_raw(Box::new(vfs::over(default, registration.cast())))) };
        match code {
            // SAFETY: leaked above.
            SQLITE_OK => Ok(unsafe { &*registration }),
            _ => Err(format!("SQLite does not take the VFS (result code {code})")),
        }
    }

    /// Whether a path is that of a file on this machine.
    pub fn exists(&self, path: &CStr) -> bool {
        // For an empty file the first answer is no.
        self.access(path, SQLITE_ACCESS_EXISTS) || self.access(path, SQLITE_ACCESS_READWRITE)
    }

    /// Whether the file or directory at a path can be read and written.
    pub fn can_write(&self, path: &CStr) -> bool {
        self.access(path, SQLITE_ACCESS_READWRITE)
    }

    fn access(&self, path: &CStr, what: c_int) -> bool {
        let mut answer: c_int = 0;
        // SAFETY: the default VFS is registered, and takes any path.
        let code = unsafe { ((*self.default).access)(self.default, path.as_ptr(), what, &mut answer) };
        code == SQLITE_OK && answer != 0
    }
}
