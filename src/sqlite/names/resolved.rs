//! What `xFullPathname` found out about a name that SQLite opens next.

use super::meaning::{self, Meaning, Selection};
use super::path_identity;
use super::text_name::TextName;
use crate::sqlite::registration::Registration;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};

/// A full path, and how it was made from a name.
#[derive(Debug)]
pub(super) struct ResolvedName {
    pub(super) full: CString,
    /// The path that the default VFS made from the name.
    pub(super) nominal: CString,
    /// Whether the name had no directory part.
    pub(super) is_bare: bool,
    /// Whether the full path is in another directory than `nominal`, because no file can be created there.
    pub(super) is_relocated: bool,
    /// What the name contained, if it was a text instead of a URI.
    pub(super) text: Option<TextName>,
}

thread_local! {
    /// The last name that this thread resolved. SQLite opens it next.
    static LAST: RefCell<Option<ResolvedName>> = const { RefCell::new(None) };
}

/// Records what this thread resolved last. None if the default VFS resolved the name.
pub(super) fn remember(resolved: Option<ResolvedName>) {
    // A thread that is ending has no such value any more.
    let _ = LAST.try_with(|last| last.replace(resolved));
}

/// Runs `read` with the resolved name with the full path `full`, if it is the last one that this thread resolved.
fn last_resolved<T>(full: &CStr, read: impl FnOnce(&ResolvedName) -> T) -> Option<T> {
    let last = |last: &RefCell<Option<ResolvedName>>| {
        last.borrow().as_ref().filter(|last| last.full.as_c_str() == full).map(read)
    };
    LAST.try_with(last).ok().flatten()
}

/// Returns the meaning of a name that SQLite opens.
///
/// # Safety
/// `name` is a name that SQLite passed to `xOpen` for a main database file, and the file is not closed.
pub unsafe fn meaning_of_opened(registration: &Registration, selection: Selection, name: *const c_char) -> Meaning {
    // SAFETY: SQLite passed `name` to `xOpen` for a main database file, by the contract of this function.
    let parameter = |key: &str| unsafe { parameter(registration, name, key) };
    // SAFETY: `name` is a string, which SQLite keeps until the file is closed.
    let path = unsafe { CStr::from_ptr(name) };
    let resolved = last_resolved(path, |resolved| (resolved.is_bare, resolved.nominal.clone()));
    let (is_bare, nominal) = resolved.unwrap_or_else(|| (false, path.to_owned()));
    meaning::meaning(selection, &parameter, is_bare, || registration.exists(&nominal))
}

/// Returns the value of a parameter of a name that SQLite opens: a parameter of its URI, or of the text that it was.
///
/// # Safety
/// As for [`meaning_of_opened`].
pub unsafe fn parameter(registration: &Registration, name: *const c_char, key: &str) -> Option<String> {
    // SAFETY: `name` is a string, which SQLite keeps until the file is closed.
    let path = unsafe { CStr::from_ptr(name) };
    let of_text = |resolved: &ResolvedName| resolved.text.as_ref().map(|text| text.parameter(key));
    match last_resolved(path, of_text).flatten() {
        Some(value) => value,
        // SAFETY: SQLite passed `name` to `xOpen` for a main database file, by the contract of this function.
        None => unsafe { registration.api.uri_parameter(name, key) },
    }
}

/// Whether a full path that SQLite opens is in another directory than its name says.
pub fn is_relocated(full: &CStr) -> bool {
    last_resolved(full, |resolved| resolved.is_relocated).unwrap_or(false)
}

/// Returns a full path as messages show it: without the changes of [`full_pathname`](super::full_pathname()).
pub fn displayed(full: &CStr) -> String {
    let without_suffix = |path: &CStr| path_identity::without_suffix(&path.to_string_lossy()).to_owned();
    let shown = last_resolved(full, |resolved| match &resolved.text {
        Some(text) => text.shown.clone(),
        None => without_suffix(&resolved.nominal),
    });
    shown.unwrap_or_else(|| without_suffix(full))
}
