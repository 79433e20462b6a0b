//! The VFS's methods: names that mean a replica are opened here, everything else is the default VFS's.

use super::access;
use super::companions::{self, Companions};
use super::deferred::{DeferredFile, Opening};
use super::errors::{During, report};
use super::ffi::*;
use super::fork;
use super::guard::guard;
use super::methods::ReplicaFile;
use super::names;
use super::registration::Registration;
use super::spelling;
use crate::config::Settings;
use crate::error::Error;
use crate::log;
use crate::store::Location;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

thread_local! {
    /// The full path that `xFullPathname` last made of a bare name on this thread; SQLite opens it next.
    static MADE_OF_BARE: RefCell<Option<CString>> = const { RefCell::new(None) };
}

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
            file_size: (*default).file_size.max(size_of::<ReplicaFile>() as c_int),
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
        if companions::contains(name) {
            return SQLITE_CANTOPEN;
        }
        // SAFETY: SQLite passes a database's name, with its parameters, for this flag.
        if flags & SQLITE_OPEN_MAIN_DB == 0 || name.is_null() || !unsafe { is_replica(registration, name) } {
            let default = registration.default;
            // SAFETY: the default VFS gets what we got, in a buffer that has room for its files.
            return unsafe { ((*default).open)(default, name, file, flags, out_flags) };
        }
        fork::watch();
        log::start();
        // SAFETY: as above.
        match unsafe { open_replica(registration, name) } {
            Ok(opened) => {
                // SAFETY: the buffer has room, and SQLite may or may not want the flags.
                unsafe {
                    match opened {
                        Opened::Now(opened) => file.cast::<ReplicaFile>().write(opened),
                        Opened::Deferred(deferred) => file.cast::<DeferredFile>().write(deferred),
                    }
                    if let Some(out_flags) = out_flags.as_mut() {
                        *out_flags = flags & !(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_READONLY;
                    }
                }
                SQLITE_OK
            }
            Err(error) => report(registration.api, &error, During::Open),
        }
    })
}

/// Whether a database to open is a replica.
///
/// # Safety
/// `name` is what SQLite passed to `xOpen` for a main database.
unsafe fn is_replica(registration: &Registration, name: *const c_char) -> bool {
    // SAFETY: as promised.
    let parameter = |key: &str| unsafe { registration.api.uri_parameter(name, key) };
    // SAFETY: as promised.
    let path = unsafe { CStr::from_ptr(name) };
    let bare = MADE_OF_BARE.try_with(|made| made.borrow().as_deref() == Some(path)).unwrap_or(false);
    names::is_ours(&parameter, bare, || registration.local_file_exists(path))
}

/// What an open gives to SQLite.
enum Opened {
    Now(ReplicaFile),
    /// It depends on who asks, which SQLite says next.
    Deferred(DeferredFile),
}

/// Opens a replica.
///
/// # Safety
/// `name` is what SQLite passed to `xOpen` for a main database.
unsafe fn open_replica(registration: &Registration, name: *const c_char) -> Result<Opened, Error> {
    let api = registration.api;
    // SAFETY: as promised, here and below.
    let parameter = |key: &str| unsafe { api.uri_parameter(name, key) };
    // SAFETY: see above.
    let path = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    let shown = spelling::unspelled(&path).to_owned();
    let asked = Settings::read(parameter).and_then(|settings| {
        let location = Location::parse(&settings.replica_url)?;
        let url = parameter("replica_url").filter(|url| !url.is_empty());
        Ok((access::check(url.as_deref(), &location)?, settings, location))
    });
    let (condition, settings, location) = asked.map_err(|error| error.context(format!("cannot open {shown}")))?;
    // SAFETY: see above.
    let unlocked = unsafe { api.uri_boolean(name, c"nolock") || api.uri_boolean(name, c"immutable") };
    // SAFETY: see above. The names stay until SQLite has closed the file.
    let [journal, wal] = unsafe { api.companions(name) };
    let companions = Companions::enter(journal, wal);
    let opening = Opening { api, settings, location, unlocked, name: shown };
    match condition {
        Some(condition) => Ok(Opened::Deferred(DeferredFile::new(opening, condition, companions))),
        None => opening.open(companions).map(|file| Opened::Now(ReplicaFile::new(api, file))),
    }
}

unsafe extern "C" fn delete(vfs: *mut Vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    guard("xDelete", SQLITE_IOERR, || {
        if companions::contains(name) {
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
        if companions::contains(name) {
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
        // SAFETY: SQLite passes a VFS of ours.
        let registration = unsafe { Registration::of(vfs) };
        let default = registration.default;
        // SAFETY: the default VFS gets what we got.
        let code = unsafe { ((*default).full_pathname)(default, name, room, out) };
        if code != SQLITE_OK && code != SQLITE_OK_SYMLINK {
            return code;
        }
        // SAFETY: both are strings, the path since the default VFS succeeded.
        let (written, path) = unsafe { (CStr::from_ptr(name), CStr::from_ptr(out).to_owned()) };
        let bare = names::is_bare(written);
        // SAFETY: SQLite makes full paths of databases' names alone, before it opens them, and passes the name with
        // its parameters: it copies them from this very pointer into the name for `xOpen`. A VFS put over this one
        // must pass on names of that shape, as it must to `xOpen`.
        let parameters = unsafe { names::parameters(name) };
        let parameter = |key: &str| parameters.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone());
        let ours = names::is_ours(&parameter, bare, || registration.local_file_exists(&path));
        let spelling = spelling::spell(path.to_bytes(), ours.then(|| names::identity(&parameters)).as_deref());
        let (Ok(spelling), Ok(room)) = (CString::new(spelling), usize::try_from(room)) else {
            return SQLITE_CANTOPEN_FULLPATH;
        };
        if spelling.count_bytes() >= room {
            return SQLITE_CANTOPEN_FULLPATH;
        }
        // SAFETY: the room suffices.
        unsafe { ptr::copy_nonoverlapping(spelling.as_ptr(), out, spelling.count_bytes() + 1) };
        let _ = MADE_OF_BARE.try_with(|made| made.replace(bare.then_some(spelling)));
        // A link at the place of a replica's name means nothing.
        if ours { SQLITE_OK } else { code }
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
