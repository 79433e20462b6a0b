//! The methods of the VFS. Names that mean a replica are opened here. The default VFS gets everything else.

use crate::log;
use crate::sqlite::errors::{During, report};
use crate::sqlite::ffi::*;
use crate::sqlite::file::no_wal;
use crate::sqlite::guard::guard;
use crate::sqlite::journal::JournalFile;
use crate::sqlite::names::journal_names::JournalName;
use crate::sqlite::names::{self, Meaning, Selection, journal_names};
use crate::sqlite::open::undecided::UndecidedFile;
use crate::sqlite::open::{self};
use crate::sqlite::registration::Registration;
use crate::sqlite::{fork, memory};
use std::ffi::{c_char, c_int, c_void};
use std::ptr;

/// Defines the methods whose result depends on how SQLite chose the VFS.
macro_rules! by_selection {
    ($($open:ident, $full_pathname:ident: $selection:expr;)*) => {
        $(
            pub unsafe extern "C" fn $open(
                vfs: *mut Vfs,
                name: *const c_char,
                file: *mut SqliteFile,
                flags: c_int,
                out_flags: *mut c_int,
            ) -> c_int {
                // SAFETY: the arguments are those that SQLite passed to `xOpen`.
                unsafe { open_file($selection, vfs, name, file, flags, out_flags) }
            }

            pub unsafe extern "C" fn $full_pathname(
                vfs: *mut Vfs,
                name: *const c_char,
                room: c_int,
                out: *mut c_char,
            ) -> c_int {
                guard("xFullPathname", SQLITE_CANTOPEN, || {
                    // SAFETY: SQLite calls this method only with the VFS that has it, which this extension registered. The other
                    // arguments are those of `xFullPathname`.
                    unsafe { names::full_pathname(Registration::of(vfs), $selection, name, room, out) }
                })
            }
        )*
    };
}

by_selection! {
    open, full_pathname: Selection::Named;
    open_default, full_pathname_default: Selection::Default;
}

/// `xOpen` of a VFS that SQLite chose by `selection`.
///
/// # Safety
/// The other arguments are those that SQLite passed to `xOpen` of a VFS that this extension registered.
unsafe fn open_file(
    selection: Selection,
    vfs: *mut Vfs,
    name: *const c_char,
    file: *mut SqliteFile,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    guard("xOpen", SQLITE_CANTOPEN, || {
        // SAFETY: SQLite passes memory of `file_size` bytes, which holds a `SqliteFile`. If `methods` is null, SQLite does not call `xClose`.
        unsafe { (*file).methods = ptr::null() };
        // SAFETY: SQLite calls this method only with the VFS that has it, which this extension registered.
        let registration = unsafe { Registration::of(vfs) };
        if let Some(journal) = journal_names::meaning(name) {
            // SAFETY: `file` and `out_flags` are those that SQLite passed to this method.
            return unsafe { open_journal(registration, journal, file, flags, out_flags) };
        }
        let meaning = match flags & SQLITE_OPEN_MAIN_DB != 0 && !name.is_null() {
            // SAFETY: with this flag, a name that is not null is that of a main database file.
            true => unsafe { names::meaning_of_opened(registration, selection, name) },
            false => Meaning::Local,
        };
        if meaning == Meaning::Local {
            let default = registration.default;
            // SAFETY: the arguments are those that SQLite passed to this method, and `file_size` is at least that of the default VFS.
            return unsafe { ((*default).open)(default, name, file, flags, out_flags) };
        }
        fork::watch();
        crate::replica::set_memory_release(memory::release_free);
        log::start();
        let opened = match meaning {
            // SAFETY: `name` is that of a main database file, and `file` has `file_size` bytes, enough for the files of this extension.
            Meaning::Replica => unsafe { open::open_or_defer(registration, name, file, flags) },
            _ => {
                // SAFETY: `file` has room for an `UndecidedFile`, and SQLite keeps `name` until the file is closed.
                unsafe { file.cast::<UndecidedFile>().write(UndecidedFile::new(registration, name, flags, None)) };
                Ok(UndecidedFile::out_flags(flags))
            }
        };
        match opened {
            Ok(flags) => {
                // SAFETY: `out_flags` is null or points to room for the flags, by the contract of `xOpen`.
                if let Some(out_flags) = unsafe { out_flags.as_mut() } {
                    *out_flags = flags;
                }
                SQLITE_OK
            }
            Err(error) => report(registration.api, &error, During::Open),
        }
    })
}

/// Opens a file whose name is that of the journal or the WAL of a replica.
///
/// # Safety
/// `file` has `file_size` bytes. `out_flags` is null or points to room for the flags.
unsafe fn open_journal(
    registration: &Registration,
    journal: JournalName,
    file: *mut SqliteFile,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    if journal == JournalName::Journal && flags & SQLITE_OPEN_MAIN_JOURNAL != 0 {
        // SAFETY: `file_size` bytes are enough for a `JournalFile`.
        unsafe { file.cast::<JournalFile>().write(JournalFile::new(registration.api)) };
        // SAFETY: `out_flags` is null or points to room for the flags.
        unsafe { out_flags.as_mut() }.into_iter().for_each(|out| *out = flags);
        return SQLITE_OK;
    }
    if flags & SQLITE_OPEN_WAL != 0 {
        return report(registration.api, &no_wal(), During::Use);
    }
    // SQLite opens the journal of a replica only to write to the replica, which is not allowed.
    SQLITE_READONLY
}

pub unsafe extern "C" fn delete(vfs: *mut Vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    guard("xDelete", SQLITE_IOERR, || {
        if journal_names::contains(name) {
            return SQLITE_OK;
        }
        // SAFETY: SQLite calls this method only with the VFS that has it, which this extension registered.
        let default = unsafe { Registration::of(vfs) }.default;
        // SAFETY: the default VFS lives as long as the process. The arguments are those that SQLite passed to this method.
        unsafe { ((*default).delete)(default, name, sync_directory) }
    })
}

pub unsafe extern "C" fn access(vfs: *mut Vfs, name: *const c_char, flags: c_int, result: *mut c_int) -> c_int {
    guard("xAccess", SQLITE_IOERR, || {
        if journal_names::contains(name) {
            // SAFETY: SQLite passes room for the result.
            unsafe { result.write(0) };
            return SQLITE_OK;
        }
        // SAFETY: SQLite calls this method only with the VFS that has it, which this extension registered.
        let default = unsafe { Registration::of(vfs) }.default;
        // SAFETY: the default VFS lives as long as the process. The arguments are those that SQLite passed to this method.
        unsafe { ((*default).access)(default, name, flags, result) }
    })
}

/// Defines methods that only call the default VFS. `missing` is the result if the default VFS does not have the method.
macro_rules! delegated {
    ($($method:ident($($argument:ident: $kind:ty),*) -> $result:ty, missing $missing:expr;)*) => {
        $(
            pub unsafe extern "C" fn $method(vfs: *mut Vfs, $($argument: $kind),*) -> $result {
                guard(stringify!($method), $missing, || {
                    // SAFETY: SQLite calls this method only with the VFS that has it, which this extension registered.
                    let default = unsafe { Registration::of(vfs) }.default;
                    // SAFETY: the default VFS lives as long as the process. This VFS has the method only if the default VFS has it, so the
                    // member exists. The arguments are those that SQLite passed to this method.
                    unsafe { (*default).$method.map_or($missing, |method| method(default, $($argument),*)) }
                })
            }
        )*
    };
}

delegated! {
    dl_open(name: *const c_char) -> *mut c_void, missing ptr::null_mut();
    dl_error(room: c_int, out: *mut c_char) -> (), missing ();
    dl_sym(library: *mut c_void, name: *const c_char) -> Symbol, missing None;
    dl_close(library: *mut c_void) -> (), missing ();
    randomness(room: c_int, out: *mut c_char) -> c_int, missing 0;
    sleep(microseconds: c_int) -> c_int, missing 0;
    current_time(out: *mut f64) -> c_int, missing SQLITE_ERROR;
    get_last_error(room: c_int, out: *mut c_char) -> c_int, missing SQLITE_OK;
    current_time_int64(out: *mut i64) -> c_int, missing SQLITE_ERROR;
    set_system_call(name: *const c_char, call: Symbol) -> c_int, missing SQLITE_NOTFOUND;
    get_system_call(name: *const c_char) -> Symbol, missing None;
    next_system_call(name: *const c_char) -> *const c_char, missing ptr::null();
}
