//! Opening a replica, and the rules for which connection may open which replica.

mod access;
mod decision;
mod main_database;
mod replica;
mod role;
pub mod undecided;

pub use main_database::{missing_vfs, open_failure};

use super::ffi::*;
use super::registration::Registration;
use crate::error::Error;
use std::ffi::{c_char, c_int};
use undecided::UndecidedFile;

/// Opens a replica, or defers the decision until SQLite passes the connection, if the access depends on that. `flags` are those of `xOpen`.
/// Returns those that `xOpen` returns.
///
/// # Safety
/// `name` is a name that SQLite passed to `xOpen` for a main database file, and `file` is the memory that it passed for the file.
pub unsafe fn open_or_defer(
    registration: &'static Registration,
    name: *const c_char,
    file: *mut SqliteFile,
    flags: c_int,
) -> Result<c_int, Error> {
    // SAFETY: `name` was passed to `xOpen`, by the contract of this function.
    match unsafe { replica::read_name(registration, name) }? {
        // SAFETY: `name` and `file` were passed to `xOpen`, by the contract of this function.
        (opened_name, None) => unsafe {
            let flags = opened_name.out_flags(flags);
            replica::open(registration, name, &opened_name, file, flags)?;
            Ok(flags)
        },
        (opened_name, Some(condition)) => {
            let flags = opened_name.out_flags(flags);
            let undecided = UndecidedFile::new(registration, name, flags, Some(Box::new((opened_name, condition))));
            // SAFETY: the memory for a file is large enough for an `UndecidedFile`, because the VFS's `file_size` is.
            unsafe { file.cast::<UndecidedFile>().write(undecided) };
            Ok(flags)
        }
    }
}
