//! The VFS `litestream`, and its registration in a SQLite library.

mod methods;

use super::api::Api;
use super::ffi::*;
use super::file::methods::ReplicaFile;
use super::names;
use super::open::undecided::UndecidedFile;
use super::registration::Registration;
use super::sql::functions::Functions;
use super::sql::tables::Tables;
use methods::*;
use std::ffi::c_int;
use std::ptr;

/// Returns the registration in the library of `api`. Registers the VFS if the library does not have it yet.
pub fn find_or_register(api: Api) -> Result<&'static Registration, String> {
    let found = api.vfs_find(Some(names::VFS));
    // SAFETY: `found` is null or a registered VFS, which lives as long as the process.
    if unsafe { is_litestream(found) } {
        // SAFETY: `found` is a VFS that this extension registered, as just checked.
        return Ok(unsafe { Registration::of(found) });
    }
    if !found.is_null() {
        return Err("another extension has registered a VFS named litestream in this program; \
                    load only one of the two"
            .to_owned());
    }
    register(api)
}

fn register(api: Api) -> Result<&'static Registration, String> {
    let default = api.vfs_find(None);
    if default.is_null() {
        return Err("this program has no default VFS, which litestream-vfs needs for temporary files".to_owned());
    }
    let (functions, tables) = (Functions::new(api), Tables::new(api));
    let registration: &'static Registration = Box::leak(Box::new(Registration { api, default, functions, tables }));
    // SAFETY: `default` is not null, so it is a registered VFS.
    let vfs = Box::leak(Box::new(unsafe { new(default, registration) }));
    // SAFETY: the VFS is leaked, so it lives as long as the process.
    match unsafe { api.vfs_register(vfs) } {
        SQLITE_OK => Ok(registration),
        code => Err(format!("SQLite refused the VFS litestream (result code {code})")),
    }
}

/// Makes the VFS of a registration. Of the optional methods it has those that the default VFS has.
///
/// # Safety
/// `default` is a registered VFS.
unsafe fn new(default: *mut Vfs, registration: &'static Registration) -> Vfs {
    // SAFETY: `default` is registered, by the contract of this function, and so lives as long as the process. Every version has
    // the member `version`.
    let has_int64 = unsafe { (*default).version } >= 2;
    // SAFETY: the same `default`, which lives as long as the process. `current_time_int64`, which version 1 does not have, is
    // read only from version 2 on.
    unsafe {
        Vfs {
            version: if has_int64 { 2 } else { 1 },
            file_size: (*default).file_size.max(size_of::<ReplicaFile>().max(size_of::<UndecidedFile>()) as c_int),
            max_pathname: (*default).max_pathname,
            next: ptr::null_mut(),
            name: names::VFS.as_ptr(),
            app_data: ptr::from_ref(registration).cast_mut().cast(),
            open,
            delete,
            access,
            full_pathname,
            dl_open: (*default).dl_open.and(Some(dl_open)),
            dl_error: (*default).dl_error.and(Some(dl_error)),
            dl_sym: (*default).dl_sym.and(Some(dl_sym)),
            dl_close: (*default).dl_close.and(Some(dl_close)),
            randomness: (*default).randomness.and(Some(randomness)),
            sleep: (*default).sleep.and(Some(sleep)),
            current_time: (*default).current_time.and(Some(current_time)),
            get_last_error: (*default).get_last_error.and(Some(get_last_error)),
            current_time_int64: if has_int64 {
                (*default).current_time_int64.and(Some(current_time_int64))
            } else {
                None
            },
        }
    }
}

/// Whether this extension registered a VFS.
///
/// # Safety
/// `vfs` is null or a registered VFS.
unsafe fn is_litestream(vfs: *const Vfs) -> bool {
    // SAFETY: `vfs` is not null here, so it is a registered VFS by the contract of this function, and lives as long as the process.
    !vfs.is_null() && ptr::fn_addr_eq(unsafe { (*vfs).open }, open as OpenMethod)
}
