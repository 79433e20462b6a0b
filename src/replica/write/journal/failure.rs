//! Why the files of a journal cannot be used, and what to do about it.

use crate::error::{Error, ErrorKind, remedy_unless_files};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Why a change of the files failed.
#[derive(Debug)]
pub(super) enum StorageFailure {
    /// Nothing has changed.
    Unchanged(io::Error),
    /// It is unknown what a crash would leave.
    Unknown(io::Error),
}

impl StorageFailure {
    pub(super) fn cause(&self) -> &io::Error {
        match self {
            StorageFailure::Unchanged(cause) | StorageFailure::Unknown(cause) => cause,
        }
    }
}

/// Returns the error of a journal whose files cannot be opened or created.
pub(super) fn unusable(path: &Path, cause: &io::Error) -> Error {
    Error::new(ErrorKind::Config, format!("the journal {} cannot be used: {cause}", path.display()))
        .remedy(remedy(cause))
}

/// Returns the error of a journal whose disk has not responded for a time.
pub(super) fn hangs(path: &Path, limit: Duration) -> Error {
    Error::new(
        ErrorKind::Unreachable,
        format!("the disk of the journal {} has not responded for {limit:?}", path.display()),
    )
    .remedy("check the disk of buffer_path")
}

/// Returns what to do about a call of the system that failed for a file of a journal.
pub(super) fn remedy(cause: &io::Error) -> &'static str {
    use io::ErrorKind::*;
    match cause.kind() {
        StorageFull | QuotaExceeded => "free space on the disk of buffer_path",
        FileTooLarge => "raise the limit on the size of files (ulimit -f)",
        NotFound | NotADirectory | AlreadyExists | PermissionDenied | ReadOnlyFilesystem => {
            "name a directory that this user can write in buffer_path"
        }
        _ => remedy_unless_files(cause, "check the disk of buffer_path"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What helps depends on what the system said, and not on when it said it.
    #[cfg(unix)]
    #[test]
    fn each_failure_of_a_disk_has_its_own_remedy() {
        let given = |code: i32| unusable(Path::new("/j"), &io::Error::from_raw_os_error(code)).to_string();
        for (code, remedy) in [
            (libc::ENOSPC, "free space on the disk of buffer_path"),
            (libc::EDQUOT, "free space on the disk of buffer_path"),
            (libc::EFBIG, "raise the limit on the size of files (ulimit -f)"),
            (libc::EACCES, "name a directory that this user can write in buffer_path"),
            (libc::EROFS, "name a directory that this user can write in buffer_path"),
            (libc::EMFILE, "raise the limit on open files (ulimit -n)"),
            (libc::EIO, "check the disk of buffer_path"),
        ] {
            let text = given(code);
            assert!(
                text.starts_with("the journal /j cannot be used: ") && text.ends_with(&format!("; {remedy}")),
                "{text}"
            );
        }
    }
}
