//! `xFullPathname`: the full path of a database, which is also the key of SQLite's shared cache.

use super::meaning::{self, Meaning, Selection};
use super::parameters;
use super::path_identity::{self, PathOwner};
use super::resolved::{ResolvedName, remember};
use super::text_name::{TextName, find};
use super::{relocate, unresolved};
use crate::sqlite::ffi::*;
use crate::sqlite::file::NoAttach;
use crate::sqlite::registration::Registration;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

/// A name that SQLite passes to `xFullPathname`.
struct GivenName<'a> {
    selection: Selection,
    /// The name, or the path in it if it is a text instead of a URI.
    path: &'a CStr,
    /// What the name contains, if it is a text instead of a URI.
    text: Option<&'a TextName>,
    /// The parameters of its URI. None if the name is not in SQLite's own memory.
    parameters: Option<&'a [(String, String)]>,
}

/// Writes the full path of `name` to `out`, and returns a result code. On failure, logs the reason.
///
/// # Safety
/// The arguments are those of `xFullPathname`.
pub unsafe fn full_pathname(
    registration: &'static Registration,
    selection: Selection,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: `name` is a string, which lives until the call of `xFullPathname` returns.
    let written = unsafe { CStr::from_ptr(name) };
    let text = TextName::parse(written);
    let of_uri = match &text {
        Some(_) => None,
        // SAFETY: `name` was passed to `xFullPathname`, which has not returned.
        None => unsafe { parameters::parameters(name) },
    };
    let parameters = text.as_ref().map(|text| text.parameters.as_slice()).or(of_uri.as_deref());
    let path = text.as_ref().map_or(written, |text| &text.path);
    let given = GivenName { selection, path, text: text.as_ref(), parameters };
    if selection == Selection::Default && !meaning::selects_replica(&|key| given.parameter(key)) {
        remember(None);
        let default = registration.default;
        // SAFETY: the default VFS lives as long as the process, and the arguments are those of `xFullPathname`.
        return unsafe { ((*default).full_pathname)(default, name, room, out) };
    }
    // SAFETY: `out` is room for `room` bytes, by the contract of `xFullPathname`.
    match unsafe { given.write_full_pathname(registration, room, out) } {
        code @ (SQLITE_OK | SQLITE_OK_SYMLINK) => code,
        code => {
            let shown = text.map_or_else(|| written.to_string_lossy().into_owned(), |text| text.shown);
            unresolved::report(registration.api, &shown, room, code)
        }
    }
}

impl GivenName<'_> {
    fn parameter(&self, key: &str) -> Option<String> {
        find(self.parameters?, key)
    }

    /// Writes the full path to `out`, which is room for `room` bytes. Returns a result code.
    ///
    /// # Safety
    /// `out` and `room` are those of `xFullPathname`.
    unsafe fn write_full_pathname(&self, registration: &Registration, room: c_int, out: *mut c_char) -> c_int {
        let default = registration.default;
        // SAFETY: the default VFS lives as long as the process. The path is a string, and `out` and `room` are those of `xFullPathname`.
        let code = unsafe { ((*default).full_pathname)(default, self.path.as_ptr(), room, out) };
        if code != SQLITE_OK && code != SQLITE_OK_SYMLINK {
            return code;
        }
        // SAFETY: the default VFS has succeeded, so it has written a string to `out`.
        let nominal = unsafe { CStr::from_ptr(out) }.to_owned();
        let is_bare = meaning::is_bare(self.path);
        let meaning = self.parameters.map(|_| {
            meaning::meaning(self.selection, &|key| self.parameter(key), is_bare, || registration.exists(&nominal))
        });
        let relocated = match meaning {
            Some(Meaning::Replica | Meaning::ByRole) => {
                relocate::relocated(&nominal, |path| registration.can_write(path))
            }
            _ => None,
        };
        let path = relocated.as_deref().unwrap_or(&nominal);
        let Ok(full) = CString::new(self.spelled(path.to_bytes(), meaning)) else {
            return SQLITE_CANTOPEN_FULLPATH;
        };
        if full.count_bytes() + unresolved::SUFFIX >= usize::try_from(room).unwrap_or(0) {
            return SQLITE_CANTOPEN_FULLPATH;
        }
        // SAFETY: `out` is room for `room` bytes, and the path with its NUL is shorter, as just checked. `full` is memory of its own.
        unsafe { ptr::copy_nonoverlapping(full.as_ptr(), out, full.count_bytes() + 1) };
        let is_relocated = relocated.is_some();
        remember(Some(ResolvedName { full, nominal, is_bare, is_relocated, text: self.text.cloned() }));
        // A symbolic link at the path of a replica has no meaning, because the path is not opened.
        if meaning == Some(Meaning::Replica) { SQLITE_OK } else { code }
    }

    /// Returns the spelling of a path that distinguishes this database from all others of the VFS.
    fn spelled(&self, path: &[u8], meaning: Option<Meaning>) -> Vec<u8> {
        let is_shared = NoAttach::may_apply().is_ok_and(|may_apply| !may_apply);
        let mut identity = meaning::identity(self.parameters.unwrap_or_default());
        if !is_shared {
            identity += &format!(" {}", path_identity::unique_number());
        }
        let owner = match meaning {
            // Local files keep their paths, so a replica must not have one of them.
            Some(Meaning::Replica) if self.selection == Selection::Default => {
                return path_identity::suffixed(path, &identity);
            }
            Some(Meaning::Replica) => PathOwner::Replica(&identity),
            Some(Meaning::ByRole) if is_shared => PathOwner::ByRole(&identity),
            Some(Meaning::Local) => PathOwner::Local,
            // Whether it is a replica is decided later, or not known.
            Some(Meaning::ByRole) | None => PathOwner::Unique,
        };
        path_identity::spell(path, owner)
    }
}
