//! A folder of the cache directory or of the journals, with the rules that protect it from other users.
//!
//! Everything is opened relative to the descriptor of its folder and without following symbolic links. What another
//! user could have put there is never used: the directory itself is refused if it belongs to somebody else or if
//! others can write to it.

#[cfg(unix)]
mod unix;
#[cfg(not(unix))]
mod unsupported;

use crate::random;
use std::fs::File;
use std::io;

/// An open folder.
#[derive(Debug)]
pub(in crate::replica) struct Folder {
    #[cfg(unix)]
    fd: std::os::fd::OwnedFd,
}

/// The lock of a file in a folder, which other processes respect. Dropping it gives it back; the child of a fork does not have it.
#[derive(Debug)]
pub(in crate::replica) struct FolderLock {
    pub file: File,
    #[cfg(unix)]
    holder: crate::process::Maker,
}

/// A file or a folder in a folder.
pub(in crate::replica) struct FolderEntry {
    pub name: String,
    /// The size on disk in bytes, without holes.
    pub allocated: u64,
    /// When it was last written, in seconds since 1970.
    pub modified: i64,
}

/// The start of the names of files that are being written.
pub(in crate::replica) const TEMPORARY: &str = "t-";

/// A file that makes its folder one of a full disk, for tests.
#[cfg(test)]
pub(in crate::replica) const FULL: &str = "full";

#[cfg(test)]
thread_local! {
    /// Whether this thread can punch holes, for tests.
    pub(in crate::replica) static CAN_PUNCH: std::cell::Cell<bool> = const { std::cell::Cell::new(true) };
}

/// Returns a name that no other writer uses. It is random: processes of two containers can have the same number.
pub(in crate::replica) fn temporary_name() -> String {
    format!("{TEMPORARY}{:016x}", random::number())
}

/// Returns the name of the folder of a replica.
pub(in crate::replica) fn folder_name(place: &str) -> String {
    use std::fmt::Write;
    let digest = ring::digest::digest(&ring::digest::SHA256, place.as_bytes());
    digest.as_ref().iter().take(16).fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}

impl Folder {
    /// Reads a whole file. Returns None if there is none, or if it is longer than `max` bytes.
    pub(in crate::replica) fn read(&self, name: &str, max: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(mut file) = self.open_file(name)? else { return Ok(None) };
        let size = file.metadata()?.len();
        if size > max {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(size as usize);
        // The file can grow meanwhile, if somebody else writes to it.
        io::Read::read_to_end(&mut io::Read::take(&mut file, max), &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Writes a whole file. Readers see the old content or the new one, never a part.
    pub(in crate::replica) fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        self.write_through(&temporary_name(), name, parts)
    }

    /// As [`Folder::write`]. The file has the name `temporary` until it is complete. Fails if there is such a file: it is that of another writer.
    fn write_through(&self, temporary: &str, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let file = self.create_new_file(temporary)?;
        let written = self.fill(file, parts).and_then(|()| self.rename(temporary, name));
        if written.is_err() {
            let _ = self.remove(temporary);
        }
        written
    }

    fn fill(&self, mut file: File, parts: &[&[u8]]) -> io::Result<()> {
        #[cfg(test)]
        if self.open_file(FULL)?.is_some() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        #[cfg(unix)]
        crate::pread::may_grow_to(parts.iter().map(|part| part.len() as u64).sum())?;
        parts.iter().try_for_each(|part| io::Write::write_all(&mut file, part))
    }
}

/// Returns whether an open file was removed from its folder.
pub(in crate::replica) fn is_removed(file: &File) -> bool {
    #[cfg(unix)]
    return file.metadata().is_ok_and(|metadata| std::os::unix::fs::MetadataExt::nlink(&metadata) == 0);
    #[cfg(not(unix))]
    return file.metadata().is_err();
}

/// Returns the size on disk of a file in bytes, without holes.
pub(in crate::replica) fn allocated(metadata: &std::fs::Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blocks(metadata) * 512;
    #[cfg(not(unix))]
    return metadata.len();
}

/// Returns the size of the blocks in which the space of a file is allocated and freed, in bytes.
pub(in crate::replica) fn block_size(metadata: &std::fs::Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blksize(metadata).max(1);
    #[cfg(not(unix))]
    {
        let _ = metadata;
        1
    }
}

/// Returns the offset of the next byte of a file from `offset` on that is not in a hole. None if there is none.
pub(in crate::replica) fn next_data(file: &File, offset: u64) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)) {
        Ok(data) => Some(data),
        Err(rustix::io::Errno::NXIO) => None,
        Err(_) => Some(offset),
    };
    #[cfg(not(target_os = "linux"))]
    return file.metadata().is_ok_and(|metadata| offset < metadata.len()).then_some(offset);
}

/// Frees the disk space of the whole blocks in a part of a file, which reads as zeros afterwards. Fails if the system cannot do that.
pub(in crate::replica) fn punch_hole(file: &File, range: std::ops::Range<u64>) -> io::Result<()> {
    #[cfg(test)]
    if !CAN_PUNCH.get() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::FallocateFlags;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(file, flags, range.start, range.end - range.start)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, range);
        Err(io::ErrorKind::Unsupported.into())
    }
}
