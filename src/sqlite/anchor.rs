//! A directory for the name of a replica.
//!
//! SQLite commits a transaction that wrote several attached files by way of a super-journal, which it creates beside the path of the
//! *main* database and whose path it writes into the journals of the others. If the main database is a replica, its directory need not
//! exist, or be writable. Then the path is put into SQLite's directory for temporary files: another process has to find the
//! super-journal by its path to roll such a commit back, so the path must be a real one.

use crate::pread;
use std::ffi::{CStr, CString};

/// Where a replica by the full path `path` is put, if its own directory cannot be written. None if it can, or none can.
pub fn elsewhere(path: &CStr, can_write: impl Fn(&CStr) -> bool) -> Option<CString> {
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
    fn a_name_stays_where_a_file_can_be_created() {
        let asked = std::cell::RefCell::new(Vec::new());
        let yes = |path: &CStr| {
            asked.borrow_mut().push(path.to_owned());
            true
        };
        assert_eq!(elsewhere(c"/data/app.db", yes), None);
        assert_eq!(asked.into_inner(), [c"/data/".to_owned()]);
    }

    #[test]
    fn another_name_goes_to_the_directory_for_temporary_files() {
        let first: PathBuf = pread::temporary_directories().next().expect("one");
        let not_there = |path: &CStr| !path.to_bytes().starts_with(b"/nowhere");
        let found = elsewhere(c"/nowhere/app.db", not_there).expect("a path");
        assert_eq!(PathBuf::from(found.to_str().expect("text")), first.join("app.db"));
        assert_eq!(elsewhere(c"/nowhere/app.db", |_| false), None);
    }
}
