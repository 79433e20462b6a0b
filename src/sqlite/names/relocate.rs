//! Relocation of a replica's path to a directory that can be written.
//!
//! To commit a transaction that wrote to several attached databases, SQLite creates a super-journal. Its path is that of the *main*
//! database with a suffix, and SQLite writes it into the journals of the other databases, so that another process can find the super-journal
//! and roll the commit back. If the main database is a replica, its directory need not exist or be writable. Then the replica gets a path in
//! SQLite's directory for temporary files.

use crate::pread;
use std::ffi::{CStr, CString};

/// Returns the path that a replica gets if the directory of its full path `path` cannot be written. None if that directory can be written, or
/// if no directory for temporary files can.
pub fn relocated(path: &CStr, can_write: impl Fn(&CStr) -> bool) -> Option<CString> {
    let is_separator = |byte: &u8| *byte == b'/' || (cfg!(windows) && *byte == b'\\');
    let bytes = path.to_bytes();
    let (directory, name) = bytes.split_at(bytes.iter().rposition(is_separator)? + 1);
    let is_writable = |directory: &[u8]| CString::new(directory).is_ok_and(|directory| can_write(&directory));
    if is_writable(directory) {
        return None;
    }
    let directories = pread::temporary_directories().filter(|directory| directory.is_absolute());
    let mut directories = directories.filter_map(|directory| directory.into_os_string().into_string().ok());
    let found = directories.find(|directory| is_writable(directory.as_bytes()))?;
    CString::new([found.trim_end_matches('/').as_bytes(), b"/", name].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_path_in_a_writable_directory_is_not_relocated() {
        let checked = std::cell::RefCell::new(Vec::new());
        let can_write = |path: &CStr| {
            checked.borrow_mut().push(path.to_owned());
            true
        };
        assert_eq!(relocated(c"/data/app.db", can_write), None);
        assert_eq!(checked.into_inner(), [c"/data/".to_owned()]);
    }

    #[test]
    fn other_paths_are_relocated_to_the_directory_for_temporary_files() {
        let first: PathBuf = pread::temporary_directories().next().expect("one");
        let can_write = |path: &CStr| !path.to_bytes().starts_with(b"/nowhere");
        let found = relocated(c"/nowhere/app.db", can_write).expect("a path");
        assert_eq!(PathBuf::from(found.to_str().expect("text")), first.join("app.db"));
        assert_eq!(relocated(c"/nowhere/app.db", |_| false), None);
    }
}
