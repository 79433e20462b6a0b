//! Temporary files, and reading and writing a file at a place in it, so that threads can share it.

use std::fs::File;
use std::io;
use std::path::PathBuf;

/// A file without a name, in the first of SQLite's directories for temporary files where one can be made.
pub(crate) fn temporary() -> io::Result<File> {
    let made = temporary_directories().find_map(|directory| tempfile::tempfile_in(directory).ok());
    made.map_or_else(tempfile::tempfile, Ok)
}

/// SQLite's directories for temporary files, in the order in which it tries them; the system's own at the end.
pub(crate) fn temporary_directories() -> impl Iterator<Item = PathBuf> {
    let named = ["SQLITE_TMPDIR", "TMPDIR"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let usual = ["/var/tmp", "/usr/tmp", "/tmp"].map(PathBuf::from).into_iter().filter(|_| cfg!(unix));
    named.chain(usual).chain(std::iter::once_with(std::env::temp_dir))
}

/// Whether the process may have a file of that many bytes. To write beyond that limit sends the signal `SIGXFSZ`, which ends a
/// process that does not ignore it.
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

/// Fills `bytes` from `offset` on. A file that ends before is an error.
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
