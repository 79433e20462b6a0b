//! `xFullPathname`: the full path of a database, which is also the key of SQLite's shared cache.

use super::meaning::{self, Meaning};
use super::parameters::parameters;
use super::path_identity::{self, PathOwner};
use super::{relocate, unresolved};
use crate::sqlite::ffi::*;
use crate::sqlite::registration::Registration;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

/// A full path, and how it was made from a name.
#[derive(Clone, Debug)]
struct ResolvedName {
    full: CString,
    /// The path that the default VFS made from the name.
    nominal: CString,
    /// Whether the name had no directory part.
    is_bare: bool,
    /// Whether the full path is in another directory than `nominal`, because no file can be created there.
    is_relocated: bool,
}

thread_local! {
    /// The last name that this thread resolved. SQLite opens it next.
    static LAST: RefCell<Option<ResolvedName>> = const { RefCell::new(None) };
}

/// Returns the resolved name with the full path `full`, if it is the last one that this thread resolved.
fn last_resolved(full: &CStr) -> Option<ResolvedName> {
    let last = LAST.try_with(|last| last.borrow().clone()).ok().flatten();
    last.filter(|last| last.full.as_c_str() == full)
}

/// Returns the meaning of a name that SQLite opens.
///
/// # Safety
/// `name` is a name that SQLite passed to `xOpen` for a main database file, and the file is not closed.
pub unsafe fn meaning_of_opened(registration: &Registration, name: *const c_char) -> Meaning {
    // SAFETY: SQLite passed `name` to `xOpen` for a main database file, by the contract of this function.
    let parameter = |key: &str| unsafe { registration.api.uri_parameter(name, key) };
    // SAFETY: `name` is a string, which SQLite keeps until the file is closed.
    let path = unsafe { CStr::from_ptr(name) };
    let resolved = last_resolved(path);
    let (is_bare, path) = resolved.as_ref().map_or((false, path), |resolved| (resolved.is_bare, &*resolved.nominal));
    meaning::meaning(&parameter, is_bare, || registration.exists(path))
}

/// Whether a full path that SQLite opens is in another directory than its name says.
pub fn is_relocated(full: &CStr) -> bool {
    last_resolved(full).is_some_and(|resolved| resolved.is_relocated)
}

/// Returns a full path as messages show it: without the changes of [`full_pathname`].
pub fn displayed(full: &CStr) -> String {
    let resolved = last_resolved(full);
    let path = resolved.as_ref().map_or(full, |resolved| &resolved.nominal).to_string_lossy();
    path_identity::without_suffix(&path).to_owned()
}

/// Writes the full path of `name` to `out`, and returns a result code. On failure, logs the reason.
///
/// # Safety
/// The arguments are those of `xFullPathname`.
pub unsafe fn full_pathname(
    registration: &'static Registration,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: the arguments are those of `xFullPathname`, by the contract of this function.
    match unsafe { write_full_pathname(registration, name, room, out) } {
        code @ (SQLITE_OK | SQLITE_OK_SYMLINK) => code,
        // SAFETY: `name` is a string, which lives until the call of `xFullPathname` returns.
        code => unresolved::report(registration.api, unsafe { CStr::from_ptr(name) }, room, code),
    }
}

/// # Safety
/// As for [`full_pathname`].
unsafe fn write_full_pathname(
    registration: &'static Registration,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    let default = registration.default;
    // SAFETY: the default VFS lives as long as the process, and the arguments are those of `xFullPathname`.
    let code = unsafe { ((*default).full_pathname)(default, name, room, out) };
    if code != SQLITE_OK && code != SQLITE_OK_SYMLINK {
        return code;
    }
    // SAFETY: `name` is a string, which lives until the call of `xFullPathname` returns. `out` is one since the default VFS has succeeded.
    let (written, nominal) = unsafe { (CStr::from_ptr(name), CStr::from_ptr(out).to_owned()) };
    let is_bare = meaning::is_bare(written);
    // SAFETY: `name` is a string.
    let parameters = unsafe { parameters(name) };
    let meaning = parameters.as_deref().map(|parameters| {
        let parameter = |key: &str| parameters.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone());
        meaning::meaning(&parameter, is_bare, || registration.exists(&nominal))
    });
    let relocated = match meaning {
        Some(Meaning::Replica | Meaning::ByRole) => relocate::relocated(&nominal, |path| registration.can_write(path)),
        _ => None,
    };
    let (path, is_relocated) = (relocated.as_deref().unwrap_or(&nominal), relocated.is_some());
    let identity = meaning::identity(parameters.as_deref().unwrap_or_default());
    let owner = match meaning {
        Some(Meaning::Replica) => PathOwner::Replica(&identity),
        Some(Meaning::ByRole) => PathOwner::ByRole(&identity),
        Some(Meaning::Local) => PathOwner::Local,
        None => PathOwner::Unknown,
    };
    let Ok(full) = CString::new(path_identity::spell(path.to_bytes(), owner)) else {
        return SQLITE_CANTOPEN_FULLPATH;
    };
    if full.count_bytes() + unresolved::SUFFIX >= usize::try_from(room).unwrap_or(0) {
        return SQLITE_CANTOPEN_FULLPATH;
    }
    // SAFETY: `out` is room for `room` bytes, and the path with its NUL is shorter, as just checked. `full` is memory of its own.
    unsafe { ptr::copy_nonoverlapping(full.as_ptr(), out, full.count_bytes() + 1) };
    let resolved = ResolvedName { full, nominal, is_bare, is_relocated };
    let _ = LAST.try_with(|last| last.replace(Some(resolved)));
    // A symbolic link at the path of a replica has no meaning, because the path is not opened.
    if meaning == Some(Meaning::Replica) { SQLITE_OK } else { code }
}
