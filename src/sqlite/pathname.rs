//! `xFullPathname`: the full path of a database, which is also what SQLite knows its shared cache by.

use super::ffi::*;
use super::names::{self, Meaning};
use super::path_identity::{self, PathOwner};
use super::registration::Registration;
use super::{anchor, unresolved};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

/// A full path, and the name it was made of.
#[derive(Clone, Debug)]
pub struct Named {
    full: CString,
    /// The full path as the name says it.
    pub nominal: CString,
    /// Whether the name had no directory.
    pub bare: bool,
    /// Whether the full path is in another directory than the name says, since a file cannot be created there.
    pub moved: bool,
}

thread_local! {
    /// What was last made on this thread; SQLite opens it next.
    static LAST: RefCell<Option<Named>> = const { RefCell::new(None) };
}

/// The name that a full path was made of, if it is the one that was last made on this thread.
pub fn named(full: &CStr) -> Option<Named> {
    let last = LAST.try_with(|last| last.borrow().clone()).ok().flatten();
    last.filter(|last| last.full.as_c_str() == full)
}

/// Writes the full path of `name` to `out`; returns a result code. If there is none, the reason is logged.
///
/// # Safety
/// The arguments are those of `xFullPathname`.
pub unsafe fn full_pathname(
    registration: &'static Registration,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: the arguments are passed on as they came.
    match unsafe { write_full_pathname(registration, name, room, out) } {
        code @ (SQLITE_OK | SQLITE_OK_SYMLINK) => code,
        // SAFETY: `xFullPathname` gets a string.
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
    // SAFETY: the default VFS gets what we got.
    let code = unsafe { ((*default).full_pathname)(default, name, room, out) };
    if code != SQLITE_OK && code != SQLITE_OK_SYMLINK {
        return code;
    }
    // SAFETY: both are strings, the path since the default VFS succeeded.
    let (written, nominal) = unsafe { (CStr::from_ptr(name), CStr::from_ptr(out).to_owned()) };
    let bare = names::is_bare(written);
    // SAFETY: `name` is a string.
    let parameters = unsafe { names::parameters(name) };
    let meaning = parameters.as_deref().map(|parameters| {
        let parameter = |key: &str| parameters.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone());
        names::meaning(&parameter, bare, || registration.exists(&nominal))
    });
    let moved = match meaning {
        Some(Meaning::Replica | Meaning::ByRole) => anchor::elsewhere(&nominal, |path| registration.can_write(path)),
        _ => None,
    };
    let (path, moved) = (moved.as_deref().unwrap_or(&nominal), moved.is_some());
    let identity = names::identity(parameters.as_deref().unwrap_or_default());
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
    // SAFETY: the room suffices.
    unsafe { ptr::copy_nonoverlapping(full.as_ptr(), out, full.count_bytes() + 1) };
    let named = Named { full, nominal, bare, moved };
    let _ = LAST.try_with(|last| last.replace(Some(named)));
    // A link at the path of a replica's name means nothing.
    if meaning == Some(Meaning::Replica) { SQLITE_OK } else { code }
}
