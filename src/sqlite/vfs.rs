//! The VFS's methods: names that mean a replica are opened here, everything else is the default VFS's.

use super::access::{self, AccessCondition};
use super::errors::{During, report};
use super::ffi::*;
use super::file::DbFile;
use super::guard::guard;
use super::journal_names::{self, JournalNames};
use super::methods::ReplicaFile;
use super::names::{self, Meaning};
use super::registration::Registration;
use super::undecided::UndecidedFile;
use super::{fork, memory, path_identity, pathname};
use crate::config::Settings;
use crate::error::Error;
use crate::log;
use crate::store::Location;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

/// The VFS of a registration, with those methods that its default VFS has.
///
/// # Safety
/// `default` is a registered VFS; `registration` will be a [`Registration`] that stays before a method is called.
pub unsafe fn over(default: *mut Vfs, registration: *mut c_void) -> Vfs {
    // SAFETY: as promised. A member of version 2 is looked at only where it is.
    let has_int64 = unsafe { (*default).version } >= 2;
    // SAFETY: as promised, for each.
    unsafe {
        Vfs {
            version: if has_int64 { 2 } else { 1 },
            file_size: (*default).file_size.max(size_of::<ReplicaFile>().max(size_of::<UndecidedFile>()) as c_int),
            max_pathname: (*default).max_pathname,
            next: ptr::null_mut(),
            name: names::VFS.as_ptr(),
            app_data: registration,
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

/// Whether a VFS is one of ours.
///
/// # Safety
/// `vfs` is null or a registered VFS.
pub unsafe fn is_ours(vfs: *const Vfs) -> bool {
    // SAFETY: as promised.
    !vfs.is_null() && ptr::fn_addr_eq(unsafe { (*vfs).open }, open as OpenMethod)
}

unsafe extern "C" fn open(
    vfs: *mut Vfs,
    name: *const c_char,
    file: *mut SqliteFile,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    guard("xOpen", SQLITE_CANTOPEN, || {
        // SAFETY: SQLite passes memory for a file. Without methods it takes the file for not open.
        unsafe { (*file).methods = ptr::null() };
        // SAFETY: SQLite passes a VFS of ours.
        let registration = unsafe { Registration::of(vfs) };
        if journal_names::contains(name) {
            // The journal that a write takes.
            return SQLITE_READONLY;
        }
        let meaning = match flags & SQLITE_OPEN_MAIN_DB != 0 && !name.is_null() {
            // SAFETY: SQLite passes a database's name, with its parameters, for this flag.
            true => unsafe { meaning(registration, name) },
            false => Meaning::Local,
        };
        if meaning == Meaning::Local {
            let default = registration.default;
            // SAFETY: the default VFS gets what we got, in a buffer that has room for its files.
            return unsafe { ((*default).open)(default, name, file, flags, out_flags) };
        }
        fork::watch();
        crate::replica::gives_memory_back_by(memory::give_back);
        log::start();
        let opened = match meaning {
            // SAFETY: as above, and the buffer has room for files of ours.
            Meaning::Replica => unsafe { open_or_wait(registration, name, file, read_only(flags)) },
            _ => {
                // SAFETY: as above.
                unsafe { file.cast::<UndecidedFile>().write(UndecidedFile::new(registration, name, flags, None)) };
                Ok(UndecidedFile::out_flags(flags))
            }
        };
        match opened {
            Ok(flags) => {
                // SAFETY: SQLite may or may not want the flags.
                if let Some(out_flags) = unsafe { out_flags.as_mut() } {
                    *out_flags = flags;
                }
                SQLITE_OK
            }
            Err(error) => report(registration.api, &error, During::Open),
        }
    })
}

/// Opens a replica, unless it depends on who asks: SQLite says that next. Returns `flags`.
///
/// # Safety
/// As for [`open_replica`].
unsafe fn open_or_wait(
    registration: &'static Registration,
    name: *const c_char,
    file: *mut SqliteFile,
    flags: c_int,
) -> Result<c_int, Error> {
    // SAFETY: as promised.
    match unsafe { read_name(registration, name) }? {
        // SAFETY: as promised.
        (named, None) => unsafe { open_replica(registration, name, &named, file, flags)? },
        (named, Some(condition)) => {
            let undecided = UndecidedFile::new(registration, name, flags, Some(Box::new((named, condition))));
            // SAFETY: as promised.
            unsafe { file.cast::<UndecidedFile>().write(undecided) };
        }
    }
    Ok(flags)
}

/// The flags of a file that was opened for reading alone.
pub fn read_only(flags: c_int) -> c_int {
    flags & !(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_READONLY
}

/// What the name of a database to open means.
///
/// # Safety
/// `name` is what SQLite passed to `xOpen` for a main database.
unsafe fn meaning(registration: &Registration, name: *const c_char) -> Meaning {
    // SAFETY: as promised.
    let parameter = |key: &str| unsafe { registration.api.uri_parameter(name, key) };
    // SAFETY: as promised.
    let path = unsafe { CStr::from_ptr(name) };
    let named = pathname::named(path);
    let (bare, path) = named.as_ref().map_or((false, path), |named| (named.bare, &*named.nominal));
    names::meaning(&parameter, bare, || registration.exists(path))
}

/// A replica to open, as its name and the environment say it.
pub struct OpenedName {
    settings: Settings,
    location: Location,
}

/// Reads the name of a replica, and on what it depends whether it may be opened. Asks nothing of the replica yet.
///
/// # Safety
/// `name` is what SQLite passed to `xOpen` for a main database.
pub unsafe fn read_name(
    registration: &Registration,
    name: *const c_char,
) -> Result<(OpenedName, Option<AccessCondition>), Error> {
    // SAFETY: as promised.
    let parameter = |key: &str| unsafe { registration.api.uri_parameter(name, key) };
    let read = Settings::read(parameter).and_then(|settings| {
        let location = Location::parse(&settings.replica_url)?;
        let url = parameter("replica_url").filter(|url| !url.is_empty());
        let condition = access::check(url.as_deref(), &location)?;
        Ok((OpenedName { settings, location }, condition))
    });
    // SAFETY: as promised.
    read.map_err(|error| unsafe { not_opened(name, error) })
}

/// Opens a replica, and writes it to `file`. `flags` are those that `xOpen` answers.
///
/// # Safety
/// `name` is what SQLite passed to `xOpen` for a main database, and `file` has room for a file of this VFS.
pub unsafe fn open_replica(
    registration: &Registration,
    name: *const c_char,
    named: &OpenedName,
    file: *mut SqliteFile,
    flags: c_int,
) -> Result<(), Error> {
    let api = registration.api;
    // SAFETY: as promised.
    let unlocked = unsafe { api.uri_boolean(name, c"nolock") || api.uri_boolean(name, c"immutable") };
    // SAFETY: as promised. The names stay until SQLite has closed the file.
    let [journal, wal] = unsafe { api.companions(name) };
    let opened = DbFile::open(api, &named.settings, &named.location, unlocked, JournalNames::enter(journal, wal));
    // SAFETY: as promised.
    let opened = opened.map_err(|error| unsafe { not_opened(name, error) })?;
    // SAFETY: as promised.
    unsafe { file.cast::<ReplicaFile>().write(ReplicaFile::new(api, opened, flags)) };
    Ok(())
}

/// The error with what was tried.
///
/// # Safety
/// `name` is what SQLite passed to `xOpen` for a main database.
pub unsafe fn not_opened(name: *const c_char, error: Error) -> Error {
    // SAFETY: as promised.
    let path = unsafe { CStr::from_ptr(name) };
    let named = pathname::named(path);
    let path = named.as_ref().map_or(path, |named| &named.nominal).to_string_lossy();
    error.context(format!("cannot open {}", path_identity::unspelled(&path)))
}

unsafe extern "C" fn delete(vfs: *mut Vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    guard("xDelete", SQLITE_IOERR, || {
        if journal_names::contains(name) {
            return SQLITE_OK;
        }
        // SAFETY: SQLite passes a VFS of ours.
        let default = unsafe { Registration::of(vfs) }.default;
        // SAFETY: the default VFS gets what we got.
        unsafe { ((*default).delete)(default, name, sync_directory) }
    })
}

unsafe extern "C" fn access(vfs: *mut Vfs, name: *const c_char, what: c_int, answer: *mut c_int) -> c_int {
    guard("xAccess", SQLITE_IOERR, || {
        if journal_names::contains(name) {
            // SAFETY: SQLite wants the answer there.
            unsafe { answer.write(0) };
            return SQLITE_OK;
        }
        // SAFETY: SQLite passes a VFS of ours.
        let default = unsafe { Registration::of(vfs) }.default;
        // SAFETY: the default VFS gets what we got.
        unsafe { ((*default).access)(default, name, what, answer) }
    })
}

unsafe extern "C" fn full_pathname(vfs: *mut Vfs, name: *const c_char, room: c_int, out: *mut c_char) -> c_int {
    guard("xFullPathname", SQLITE_CANTOPEN, || {
        // SAFETY: SQLite passes a VFS of ours, and the rest goes on as it is.
        unsafe { pathname::full_pathname(Registration::of(vfs), name, room, out) }
    })
}

/// Methods that are the default VFS's alone.
macro_rules! delegated {
    ($($method:ident($($argument:ident: $kind:ty),*) -> $answer:ty, without it $none:expr;)*) => {
        $(
            unsafe extern "C" fn $method(vfs: *mut Vfs, $($argument: $kind),*) -> $answer {
                guard(stringify!($method), $none, || {
                    // SAFETY: SQLite passes a VFS of ours.
                    let default = unsafe { Registration::of(vfs) }.default;
                    // SAFETY: ours has the method only if the default VFS does, which gets what we got.
                    unsafe { (*default).$method.map_or($none, |method| method(default, $($argument),*)) }
                })
            }
        )*
    };
}

delegated! {
    dl_open(name: *const c_char) -> *mut c_void, without it ptr::null_mut();
    dl_error(room: c_int, out: *mut c_char) -> (), without it ();
    dl_sym(library: *mut c_void, name: *const c_char) -> Symbol, without it None;
    dl_close(library: *mut c_void) -> (), without it ();
    randomness(room: c_int, out: *mut c_char) -> c_int, without it 0;
    sleep(microseconds: c_int) -> c_int, without it 0;
    current_time(out: *mut f64) -> c_int, without it SQLITE_ERROR;
    get_last_error(room: c_int, out: *mut c_char) -> c_int, without it SQLITE_OK;
    current_time_int64(out: *mut i64) -> c_int, without it SQLITE_ERROR;
}
