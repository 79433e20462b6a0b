//! Temporary files, and positioned reads and writes, with which threads can share a file.

use std::fs::File;
use std::io;
use std::path::PathBuf;

/// Creates an unnamed temporary file, in the first of the [`temporary_directories`] in which this is possible.
pub(crate) fn temporary() -> io::Result<File> {
    let file = temporary_directories().find_map(|directory| tempfile::tempfile_in(directory).ok());
    file.map_or_else(tempfile::tempfile, Ok)
}

/// Returns SQLite's directories for temporary files, in the order in which SQLite tries them, and then the system's.
pub(crate) fn temporary_directories() -> impl Iterator<Item = PathBuf> {
    let named = ["SQLITE_TMPDIR", "TMPDIR"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let usual = ["/var/tmp", "/usr/tmp", "/tmp"].map(PathBuf::from).into_iter().filter(|_| cfg!(unix));
    named.chain(usual).chain(std::iter::once_with(std::env::temp_dir))
}

/// Checks that the process may write a file of this size. A write beyond the limit sends the signal `SIGXFSZ`, which ends the process
/// unless it is ignored.
#[cfg(unix)]
pub(crate) fn may_grow_to(bytes: u64) -> io::Result<()> {
    match rustix::process::getrlimit(rustix::process::Resource::Fsize).current {
        Some(limit) if bytes > limit => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("the process may not write files of more than {limit} bytes (ulimit -f)"),
        )),
        _ => Ok(()),
    }
}

/// Reads `bytes.len()` bytes at `offset`. Fails if the file is too short.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

/// Writes all of `bytes` at `offset`.
#[cfg(unix)]
pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    may_grow_to(offset.saturating_add(bytes.len() as u64))?;
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                bytes = &mut bytes[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}

#[cfg(windows)]
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}
