//! `export`: writes a state to a database file, under a temporary name until it is complete.

use crate::args::Export;
use crate::failure::Failure;
use crate::interrupt::{self, Interruptible};
use crate::stderr::say;
use crate::{progress, replica};
use indicatif::ProgressBar;
use rusqlite::Connection;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use tempfile::TempPath;

pub fn run(args: &Export) -> Result<(), Failure> {
    let file = args.file.as_path();
    let target = file_to_write(args)?;
    let connection = replica::open_and_stay(&args.replica, &args.moment)?;
    let _interruptible = Interruptible::new(&connection);
    let partial = create_partial(&target).map_err(|error| cannot_write(file, &error))?;
    copy(&connection, &partial)?;
    interrupt::check()?;
    // It may exist by now.
    file_to_write(args)?;
    finish(partial, &target, args.force).map_err(|error| cannot_write(file, &error))?;
    let state = replica::state(&connection)?;
    let bytes = fs::metadata(file).map_or(0, |metadata| metadata.len());
    say(format_args!("{}: {}, the state of {state}", file.display(), progress::size(bytes)));
    Ok(())
}

fn cannot_write(file: &Path, error: &io::Error) -> Failure {
    Failure::Reason(format!("cannot write {}: {error}", file.display()))
}

/// Returns the file to write: that of the arguments, or the one to which it is a symbolic link. The link itself stays.
///
/// Fails if the file exists and is not to be replaced or cannot be, or if a journal of an earlier database with its name exists.
fn file_to_write(args: &Export) -> Result<PathBuf, Failure> {
    let file = args.file.as_path();
    let target = match (fs::symlink_metadata(file), fs::metadata(file)) {
        (Ok(_), _) if !args.force => return Err(exists(file)),
        (_, Ok(metadata)) if !metadata.is_file() => {
            return Err(Failure::Reason(format!("{} is not a regular file", file.display())));
        }
        (Ok(metadata), _) if metadata.is_symlink() => {
            fs::canonicalize(file).map_err(|error| cannot_write(file, &error))?
        }
        _ => file.to_owned(),
    };
    let journals = ["-wal", "-journal"].map(|suffix| with_suffix(&target, suffix));
    match journals.iter().find(|journal| fs::symlink_metadata(journal).is_ok()) {
        None => Ok(target),
        Some(journal) => {
            let (journal, target) = (journal.display(), target.display());
            Err(Failure::Reason(format!("{journal} exists, and SQLite would apply it to {target}; delete it first")))
        }
    }
}

/// Returns the path of a file that SQLite keeps beside a database.
fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn exists(file: &Path) -> Failure {
    Failure::Reason(format!("{} exists; --force replaces it", file.display()))
}

/// Returns the directory that contains a file.
fn directory(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates an empty file in the directory of `file`. It is deleted when the value is dropped.
fn create_partial(file: &Path) -> io::Result<TempPath> {
    let name = file.file_name().ok_or_else(|| io::Error::other("it is not the name of a file"))?;
    let prefix = format!(".{}.", name.to_string_lossy());
    let mut partial = tempfile::Builder::new();
    partial.prefix(&prefix).suffix(".partial");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As for every new file, the umask decides. One that replaces another is only its owner's until it gets the permissions of that.
        let mode = if file.exists() { 0o600 } else { 0o666 };
        partial.permissions(fs::Permissions::from_mode(mode));
    }
    Ok(partial.tempfile_in(fs::canonicalize(directory(file))?)?.into_temp_path())
}

/// Copies the database. Its size so far is the progress.
fn copy(connection: &Connection, partial: &Path) -> Result<(), Failure> {
    let size = "SELECT (page_count - freelist_count) * page_size
                FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    let size: i64 = connection.query_row(size, [], |row| row.get(0))?;
    let bar = progress::bytes(size.unsigned_abs(), "exporting");
    let path = partial.to_str().ok_or_else(|| Failure::Reason(format!("{} is not UTF-8", partial.display())))?;
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        scope.spawn({
            let bar = &bar;
            move || show_size(partial, bar, &is_done)
        });
        let copied = connection.execute("VACUUM main INTO ?", [path]);
        drop(done);
        copied
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// Shows the size of a file until the channel is closed.
fn show_size(file: &Path, bar: &ProgressBar, is_done: &mpsc::Receiver<()>) {
    while is_done.recv_timeout(progress::REFRESH) == Err(RecvTimeoutError::Timeout) {
        bar.set_position(fs::metadata(file).map_or(0, |metadata| metadata.len()));
    }
}

/// Gives the file its name, after its content is on the disk, and the permissions of the file that it replaces.
fn finish(partial: TempPath, file: &Path, replace: bool) -> io::Result<()> {
    File::options().write(true).open(&partial)?.sync_all()?;
    // Opened first, because a failure says that there is no file. Windows cannot open a directory.
    let parent = if cfg!(unix) { Some(File::open(directory(file))?) } else { None };
    if let Ok(replaced) = fs::metadata(file) {
        fs::set_permissions(&partial, replaced.permissions())?;
    }
    let persisted = if replace { partial.persist(file) } else { partial.persist_noclobber(file) };
    persisted.map_err(|error| error.error)?;
    // The name is in the directory.
    parent.map_or(Ok(()), |parent| where_possible(parent.sync_all()))
}

/// Leaves out the errors of file systems that cannot sync a directory.
fn where_possible(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_that_cannot_be_synced_is_not_synced() {
        for kind in [io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported] {
            assert!(where_possible(Err(kind.into())).is_ok());
        }
        assert!(where_possible(Ok(())).is_ok());
        assert!(where_possible(Err(io::ErrorKind::StorageFull.into())).is_err());
    }
}
