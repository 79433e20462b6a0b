//! The state of this extension in one SQLite library.
//!
//! A process can contain several SQLite libraries, each of which loads the extension. The objects of one library, in particular its
//! routines, must never be used with another. So each library has a [`Registration`], from which its VFS, its open files, its functions and
//! its tables get everything they need.

use super::api::Api;
use super::ffi::*;
use super::sql::functions::Functions;
use super::sql::tables::Tables;
use std::ffi::{CStr, c_int};

/// The state of this extension in one SQLite library. Lives as long as the process.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// The routines of the library.
    pub api: Api,
    /// The VFS for all files that are not replicas: the default VFS at the time when the VFS with this registration was registered.
    pub default: *mut Vfs,
    /// The functions of the library.
    pub functions: &'static Functions,
    /// The tables of the library.
    pub tables: &'static Tables,
}

impl Registration {
    /// Returns the registration of a VFS.
    ///
    /// # Safety
    /// `vfs` is a VFS that this extension registered.
    pub unsafe fn of(vfs: *mut Vfs) -> &'static Registration {
        // SAFETY: the `app_data` of a VFS of this extension, which `vfs` is by the contract of this function, points to a leaked
        // `Registration`.
        unsafe { &*(*vfs).app_data.cast::<Registration>() }
    }

    /// Whether a local file exists at a path. Also true for an empty file.
    pub fn exists(&self, path: &CStr) -> bool {
        // `SQLITE_ACCESS_EXISTS` is false for an empty file.
        self.access(path, SQLITE_ACCESS_EXISTS) || self.access(path, SQLITE_ACCESS_READWRITE)
    }

    /// Whether the file or directory at a path can be read and written.
    pub fn can_write(&self, path: &CStr) -> bool {
        self.access(path, SQLITE_ACCESS_READWRITE)
    }

    fn access(&self, path: &CStr, flags: c_int) -> bool {
        let mut result: c_int = 0;
        // SAFETY: the default VFS is registered, and so lives as long as the process. `xAccess` takes any string, and `result` is room
        // for its result.
        let code = unsafe { ((*self.default).access)(self.default, path.as_ptr(), flags, &mut result) };
        code == SQLITE_OK && result != 0
    }
}
