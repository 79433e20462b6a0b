//! The system calls that write to the directory of a replica.

use crate::random;
use crate::store::{Creation, create};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Creates a file with these bytes, unless a file of this name exists. The file and its name are durable when the call returns.
///
/// The bytes are written to a temporary file, which then gets the name by `link`: unlike `rename`, it never replaces a file. So a
/// file is complete from the moment at which it has its name.
pub(super) fn create(path: &Path, bytes: &[u8]) -> io::Result<Creation> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    create_directories(directory)?;
    let temporary = temporary_name(path);
    let written = write_new(&temporary, bytes).and_then(|()| fs::hard_link(&temporary, path).map_err(link_error));
    // A temporary file that remains after a crash has a name that readers ignore.
    let _ = fs::remove_file(&temporary);
    let creation = match written {
        Ok(()) => Creation::Created,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Creation::Exists,
        Err(error) => return Err(error),
    };
    // Also if the file exists: an earlier try may have created it and failed here. The file has its name, so this is no refusal.
    sync_directory(directory).map_err(io::Error::other)?;
    Ok(creation)
}

/// Converts the error of a hard link in a directory in which a file was just created: Linux denies it on a file system without hard links,
/// such as FAT.
fn link_error(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => io::Error::new(io::ErrorKind::Unsupported, error),
        _ => error,
    }
}

/// Deletes a file. Does nothing if it does not exist.
pub(super) fn delete(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        deleted => deleted,
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    if let Some(time) = create::time_of(bytes) {
        file.set_modified(time.into())?;
    }
    file.sync_all()
}

fn temporary_name(path: &Path) -> PathBuf {
    let random = random::number();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{random:016x}.tmp"))
}

/// Creates a directory and its parents, and makes their names durable.
fn create_directories(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().ok_or(io::ErrorKind::InvalidInput)?;
    create_directories(parent)?;
    match fs::create_dir(directory) {
        // Another writer may have created it, and its name must be durable for this one too.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_directory(parent),
    }
}

/// Makes the names in a directory durable. Windows does this by itself.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn a_denied_hard_link_is_not_supported() {
        for (system, expected) in [
            (io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported),
            (io::ErrorKind::AlreadyExists, io::ErrorKind::AlreadyExists),
            (io::ErrorKind::Unsupported, io::ErrorKind::Unsupported),
        ] {
            assert_eq!(link_error(system.into()).kind(), expected);
        }
    }

    #[test]
    fn one_of_many_creators_wins_and_its_file_is_complete() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ltx/0/a.ltx");
        let barrier = Barrier::new(8);
        let created: Vec<(u8, Creation)> = thread::scope(|scope| {
            let creators: Vec<_> = (0..8u8)
                .map(|number| {
                    let (path, barrier) = (&path, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        (number, create(path, &vec![number; 100_000]).expect("it can be written"))
                    })
                })
                .collect();
            creators.into_iter().map(|creator| creator.join().expect("no panic")).collect()
        });
        let winners: Vec<u8> =
            created.iter().filter(|(_, creation)| *creation == Creation::Created).map(|(number, _)| *number).collect();
        assert_eq!(winners.len(), 1, "{created:?}");
        assert_eq!(fs::read(&path).expect("the file"), vec![winners[0]; 100_000]);
        let names: Vec<_> = fs::read_dir(dir.path().join("ltx/0")).expect("a directory").flatten().collect();
        assert_eq!(names.len(), 1, "no temporary file is left: {names:?}");
        delete(&path).expect("it is deleted");
        delete(&path).expect("a missing file is no error");
        assert!(!path.exists());
    }
}
