//! The VFSes `litestream` and `litestream-default`, and their registration in a SQLite library.

mod methods;

use super::api::Api;
use super::ffi::*;
use super::file::methods::ReplicaFile;
use super::journal::JournalFile;
use super::names::{self, Selection};
use super::open::undecided::UndecidedFile;
use super::registration::Registration;
use super::sql::functions::Functions;
use super::sql::tables::Tables;
use crate::config;
use methods::*;
use std::ffi::{CStr, c_int};
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
    let (functions, tables) = (Box::leak(Box::new(Functions::new(api))), Box::leak(Box::new(Tables::new(api))));
    let registration: &'static Registration = Box::leak(Box::new(Registration { api, default, functions, tables }));
    register_vfs(registration, names::VFS, Selection::Named)?;
    if config::default_vfs_in_environment().map_err(|error| error.to_string())? {
        make_default(registration)?;
    }
    Ok(registration)
}

/// Makes a VFS the default that opens the names of replicas, and passes every other name to the VFS that was the default before. Has
/// no effect if this was done already.
pub fn make_default(registration: &Registration) -> Result<(), String> {
    let api = registration.api;
    if !api.vfs_find(Some(names::DEFAULT_VFS)).is_null() {
        return Ok(());
    }
    let beneath = Registration { default: api.vfs_find(None), ..*registration };
    register_vfs(Box::leak(Box::new(beneath)), names::DEFAULT_VFS, Selection::Default)
}

/// Registers a VFS with a registration.
fn register_vfs(registration: &'static Registration, name: &'static CStr, selection: Selection) -> Result<(), String> {
    // SAFETY: the default VFS of a registration is registered.
    let vfs = Box::leak(Box::new(unsafe { new(registration, name, selection) }));
    // SAFETY: the VFS is leaked, so it lives as long as the process.
    match unsafe { registration.api.vfs_register(vfs, selection == Selection::Default) } {
        SQLITE_OK => Ok(()),
        code => Err(format!("SQLite refused the VFS {} (result code {code})", name.to_string_lossy())),
    }
}

/// The size in bytes of the largest file of this extension.
const OWN_FILE_SIZE: usize = {
    let (replica, undecided, journal) =
        (size_of::<ReplicaFile>(), size_of::<UndecidedFile>(), size_of::<JournalFile>());
    let larger = if replica > undecided { replica } else { undecided };
    if larger > journal { larger } else { journal }
};

/// Makes a VFS. Of the optional methods it has those that the default VFS of its registration has.
///
/// # Safety
/// The default VFS of the registration is registered.
unsafe fn new(registration: &'static Registration, name: &'static CStr, selection: Selection) -> Vfs {
    let default = registration.default;
    // SAFETY: `default` is registered, by the contract of this function, and so lives as long as the process. Every version has
    // the member `version`.
    let version = unsafe { (*default).version }.clamp(1, 3);
    let (open, full_pathname): (OpenMethod, FullPathnameMethod) = match selection {
        Selection::Named => (open, full_pathname),
        Selection::Default => (open_default, full_pathname_default),
    };
    // SAFETY: the same `default`, which lives as long as the process. Members that its version does not have are not read.
    unsafe {
        Vfs {
            version,
            file_size: (*default).file_size.max(OWN_FILE_SIZE as c_int),
            max_pathname: (*default).max_pathname,
            next: ptr::null_mut(),
            name: name.as_ptr(),
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
            current_time_int64: if version >= 2 {
                (*default).current_time_int64.and(Some(current_time_int64))
            } else {
                None
            },
            set_system_call: if version >= 3 { (*default).set_system_call.and(Some(set_system_call)) } else { None },
            get_system_call: if version >= 3 { (*default).get_system_call.and(Some(get_system_call)) } else { None },
            next_system_call: if version >= 3 { (*default).next_system_call.and(Some(next_system_call)) } else { None },
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
