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
    refuse_existing(args)?;
    let connection = replica::open_and_stay(&args.replica, &args.moment)?;
    let _interruptible = Interruptible::new(&connection);
    let partial = create_partial(file).map_err(|error| cannot_write(file, &error))?;
    copy(&connection, &partial)?;
    interrupt::check()?;
    refuse_existing(args)?;
    finish(partial, args).map_err(|error| cannot_write(file, &error))?;
    let state = "SELECT 'TXID ' || litestream_txid() || ', ' || litestream_time()";
    let state: String = connection.query_row(state, [], |row| row.get(0))?;
    let bytes = fs::metadata(file).map_or(0, |metadata| metadata.len());
    say(format_args!("{}: {}, the state of {state}", file.display(), progress::size(bytes)));
    Ok(())
}

fn cannot_write(file: &Path, error: &io::Error) -> Failure {
    Failure::Reason(format!("cannot write {}: {error}", file.display()))
}

/// Fails if the file exists and is not to be replaced, or if a journal of an earlier database with its name does.
fn refuse_existing(args: &Export) -> Result<(), Failure> {
    if !args.force && fs::symlink_metadata(&args.file).is_ok() {
        return Err(exists(&args.file));
    }
    let journals = ["-wal", "-journal"].map(|suffix| with_suffix(&args.file, suffix));
    match journals.iter().find(|journal| fs::symlink_metadata(journal).is_ok()) {
        None => Ok(()),
        Some(journal) => {
            let (journal, file) = (journal.display(), args.file.display());
            Err(Failure::Reason(format!("{journal} exists, and SQLite would apply it to {file}; delete it first")))
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
        // As for every new file, the umask decides.
        partial.permissions(fs::Permissions::from_mode(0o666));
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

/// Gives the file its name, after its content is on the disk.
fn finish(partial: TempPath, args: &Export) -> io::Result<()> {
    File::options().write(true).open(&partial)?.sync_all()?;
    let persisted = if args.force { partial.persist(&args.file) } else { partial.persist_noclobber(&args.file) };
    persisted.map_err(|error| error.error)?;
    // The name is in the directory. Windows cannot open one.
    #[cfg(unix)]
    File::open(directory(&args.file))?.sync_all()?;
    Ok(())
}
