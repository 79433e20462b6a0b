//! Why the files of a journal cannot be used, and what to do about it.

use crate::error::{Error, ErrorKind, is_limit_on_files, remedy_unless_files};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Why an upload has not succeeded.
pub(super) enum UploadFailure {
    /// It may succeed later.
    Temporary(Error),
    /// It never can.
    Final(Error),
}

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

    pub(super) fn into_cause(self) -> io::Error {
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

/// Returns the error of a file of a journal that cannot be read, although nothing shows that it is damaged: its transactions are never given
/// up for that, and who uses the journal next tries again.
pub(super) fn not_read(file: &Path, cause: &io::Error) -> Error {
    out_of_reach(file, "read", cause)
}

/// As [`not_read`], if what is needed before the journal can be used cannot be written.
pub(super) fn not_written(file: &Path, cause: &io::Error) -> Error {
    out_of_reach(file, "written", cause)
}

fn out_of_reach(file: &Path, what: &str, cause: &io::Error) -> Error {
    // Reading goes on without the journal. Without descriptors it does not.
    let kind = if is_limit_on_files(cause) { ErrorKind::Config } else { ErrorKind::ReadOnly };
    let remedy = match cause.kind() {
        // Another directory would not have the transactions.
        io::ErrorKind::PermissionDenied => "let this user read and write it and its folder",
        io::ErrorKind::ReadOnlyFilesystem => "let its file system be written again",
        _ => remedy(cause),
    };
    Error::new(kind, format!("the file {} of the journal cannot be {what}: {cause}", file.display()))
        .remedy(format!("{remedy}; its transactions stay there, and the next try continues with them"))
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

    /// No error of the system is a reason to give up transactions, or to look for them somewhere else.
    #[cfg(unix)]
    #[test]
    fn a_file_that_cannot_be_read_keeps_its_transactions() {
        for (code, remedy) in [
            (libc::EACCES, "let this user read and write it and its folder"),
            (libc::EROFS, "let its file system be written again"),
            (libc::EMFILE, "raise the limit on open files (ulimit -n)"),
            (libc::EIO, "check the disk of buffer_path"),
            (libc::ESTALE, "check the disk of buffer_path"),
        ] {
            let error = not_read(Path::new("/j/journal"), &io::Error::from_raw_os_error(code));
            let text = error.to_string();
            assert_ne!(error.kind(), ErrorKind::Damaged);
            assert!(text.starts_with("the file /j/journal of the journal cannot be read: "), "{text}");
            assert!(text.contains(&format!("; {remedy}; its transactions stay there")), "{text}");
        }
    }
}
