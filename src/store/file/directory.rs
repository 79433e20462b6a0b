//! The system calls on the directory of a replica.

use super::config::FileConfig;
use crate::ltx::{FileName, Level, Txid};
use crate::pread::read_exact_at;
use crate::store::blocking::Call;
use crate::store::bounds::check_names;
use crate::store::paths::Layout;
use crate::store::{Chunk, Listed, Version};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// What an entry of a directory extends the deadline of a listing by, as if it had so many bytes: an eighth of a second.
const ENTRY: u64 = 16 * 1024;

/// Lists the files of a level in ascending order. Returns None if the replica is a file and not a directory.
pub(super) fn list(
    config: &FileConfig,
    level: Level,
    range: &Range<Txid>,
    call: &Call,
) -> io::Result<Option<Vec<Listed>>> {
    let root = config.directory();
    let entries = match fs::read_dir(root.join(Layout::Decimal.level(level))) {
        // On Windows, this is also the error for a path through a file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(if root.is_file() { None } else { Some(Vec::new()) });
        }
        entries => entries?,
    };
    let mut files = Vec::new();
    for (index, entry) in entries.enumerate() {
        call.extend(ENTRY);
        check_names(index + 1).map_err(io::Error::other)?;
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(FileName::parse) else { continue };
        if !range.contains(&name.min) {
            continue;
        }
        match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_file() => files.push(listed(level, name, &metadata)),
            Ok(_) => {}
            Err(error) if concerns_entry(&error) => {
                tracing::debug!("{}: {error}, so it is left out of the listing", entry.path().display());
            }
            Err(error) => return Err(error),
        }
    }
    files.sort_unstable_by_key(|file| file.name);
    Ok(Some(files))
}

/// Returns the version of a file and, if it is the expected one, the bytes of a range. They are read into `buffer`, which is enlarged
/// if necessary.
pub(super) fn read(
    path: &Path,
    range: Range<u64>,
    expected: Option<&Version>,
    mut buffer: Vec<u8>,
) -> io::Result<(Version, Option<Chunk>)> {
    let (file, metadata) = open(path)?;
    let (version, file_size) = (version(&metadata), metadata.len());
    if expected.is_some_and(|expected| *expected != version) {
        return Ok((version, None));
    }
    let end = range.end.min(file_size);
    let length = usize::try_from(end.saturating_sub(range.start)).map_err(|_| io::ErrorKind::OutOfMemory)?;
    buffer.resize(length, 0);
    // The caller may keep the bytes, so the buffer must not keep unused capacity.
    buffer.shrink_to_fit();
    read_exact_at(&file, &mut buffer, range.start)?;
    let modified_ms = modified_ms(&metadata);
    Ok((version.clone(), Some(Chunk { bytes: buffer.into(), file_size, version, modified_ms })))
}

/// Opens a file of the replica. For a directory, pipe, socket or device it fails with [`NotFound`](io::ErrorKind::NotFound), because
/// listings leave them out. Opening a pipe does not block.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let is_socket = |error: &io::Error| cfg!(unix) && error.raw_os_error() == Some(NO_SUCH_DEVICE);
    let file = options.open(path);
    let file = file.map_err(|error| if is_socket(&error) { io::ErrorKind::NotFound.into() } else { error })?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The error of opening a socket.
#[cfg(unix)]
const NO_SUCH_DEVICE: i32 = libc::ENXIO;
#[cfg(not(unix))]
const NO_SUCH_DEVICE: i32 = 0;

/// Returns whether an error concerns only one entry of a directory, so that the others can be listed.
///
/// The entry was deleted during the listing, or is a link to nothing, to itself, through a file, or to a directory that this process
/// may not read. A read of that file reports the error.
fn concerns_entry(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ELOOP) {
        return true;
    }
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidFilename
    )
}

fn listed(level: Level, name: FileName, metadata: &Metadata) -> Listed {
    let modified_ms = modified_ms(metadata);
    Listed { level, name, size: metadata.len(), version: Some(version(metadata)), modified_ms }
}

fn modified_ms(metadata: &Metadata) -> i64 {
    i64::try_from(modified_ns(metadata) / 1_000_000).unwrap_or(i64::MAX)
}

/// Returns the version of a file: inode, size and time of the last change, at least one of which changes with every rewrite.
fn version(metadata: &Metadata) -> Version {
    Version(format!("{:x}-{:x}-{:x}", inode(metadata), metadata.len(), modified_ns(metadata)).into())
}

fn modified_ns(metadata: &Metadata) -> u128 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.unwrap_or_default().as_nanos()
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}
