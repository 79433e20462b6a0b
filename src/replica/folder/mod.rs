//! A folder of the cache directory or of the journals, with the rules that protect it from other users.
//!
//! Everything is opened relative to the descriptor of its folder and without following symbolic links. What another
//! user could have put there is never used: the directory itself is refused if it belongs to somebody else or if
//! others can write to it.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// An open folder.
#[derive(Debug)]
pub(in crate::replica) struct Folder {
    #[cfg(unix)]
    fd: std::os::fd::OwnedFd,
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

/// Returns a name that no other writer uses.
pub(in crate::replica) fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{TEMPORARY}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
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
    pub(super) fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let temporary = temporary_name();
        let written = self.write_new(&temporary, parts).and_then(|()| self.rename(&temporary, name));
        if written.is_err() {
            let _ = self.remove(&temporary);
        }
        written
    }

    fn write_new(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let mut file = self.create_file(name)?;
        #[cfg(unix)]
        crate::pread::may_grow_to(parts.iter().map(|part| part.len() as u64).sum())?;
        parts.iter().try_for_each(|part| io::Write::write_all(&mut file, part))
    }
}

#[cfg(unix)]
mod unix {
    use super::{Folder, FolderEntry};
    use crate::error::{Error, ErrorKind};
    use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, Stat};
    use rustix::io::Errno;
    use std::fs::{DirBuilder, File};
    use std::io;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::DirBuilderExt;
    use std::path::Path;

    const ONLY_OWNER: Mode = Mode::RWXU;
    const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    // Without NONBLOCK, opening a pipe would wait for its other end.
    const FILE: OFlags = OFlags::RDWR.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

    /// Why a folder may not be used; None if it may.
    fn objection(stat: &Stat) -> Option<&'static str> {
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Some("it belongs to another user");
        }
        // Writable by the group or by others.
        let others = Mode::from_raw_mode(stat.st_mode) & Mode::from_raw_mode(0o022);
        (!others.is_empty()).then_some("other users can write to it")
    }

    impl Folder {
        /// Opens the directory that a setting names, and creates it for this user alone if it does not exist.
        pub(in crate::replica) fn open(path: &Path, setting: &str) -> Result<Folder, Error> {
            let failed = |cause: &dyn std::fmt::Display| {
                Error::new(ErrorKind::Config, format!("the {setting} {} cannot be used: {cause}", path.display()))
            };
            let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
            let fd = match rustix::fs::openat(CWD, path, FOLDER, Mode::empty()) {
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    return Err(failed(&"it is not a directory, or a symbolic link")
                        .remedy(format!("name the directory itself in {setting}")));
                }
                Err(error) => {
                    let cause = created.err().unwrap_or_else(|| error.into());
                    return Err(failed(&cause).remedy("name a directory that this user can create and write"));
                }
                Ok(fd) => fd,
            };
            let stat = rustix::fs::fstat(&fd).map_err(|error| failed(&io::Error::from(error)))?;
            match objection(&stat) {
                Some(objection) => Err(failed(&objection).remedy("name a directory of this user with the mode 0700")),
                None => Ok(Folder { fd }),
            }
        }

        /// Opens a folder in this one, and creates it if it does not exist.
        pub(in crate::replica) fn create_folder(&self, name: &str) -> io::Result<Folder> {
            match rustix::fs::mkdirat(&self.fd, name, ONLY_OWNER) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            self.folder(name)
        }

        /// Opens a folder in this one.
        pub(in super::super) fn folder(&self, name: &str) -> io::Result<Folder> {
            let fd = rustix::fs::openat(&self.fd, name, FOLDER, Mode::empty())?;
            match objection(&rustix::fs::fstat(&fd)?) {
                Some(objection) => Err(io::Error::other(objection)),
                None => Ok(Folder { fd }),
            }
        }

        /// Opens a file. Returns None if there is none, or something else than a file.
        pub(in crate::replica) fn open_file(&self, name: &str) -> io::Result<Option<File>> {
            match rustix::fs::openat(&self.fd, name, FILE, Mode::empty()) {
                Ok(fd) if is_file(&fd)? => Ok(Some(fd.into())),
                Ok(_) | Err(Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::NXIO) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }

        /// Opens a file, and creates it if it does not exist. Replaces a symbolic link or a pipe.
        pub(in crate::replica) fn create_file(&self, name: &str) -> io::Result<File> {
            let create = || rustix::fs::openat(&self.fd, name, FILE | OFlags::CREATE, Mode::RUSR | Mode::WUSR);
            match create() {
                Ok(fd) if is_file(&fd)? => return Ok(fd.into()),
                Ok(_) | Err(Errno::LOOP | Errno::NXIO) => self.remove(name)?,
                Err(error) => return Err(error.into()),
            }
            Ok(create()?.into())
        }

        pub(in crate::replica) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
        }

        /// Removes a file. If a process has it open, its space is free only after that process has closed it.
        pub(in crate::replica) fn remove(&self, name: &str) -> io::Result<()> {
            Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
        }

        /// Makes what was created, renamed and removed in this folder durable.
        pub(in crate::replica) fn sync(&self) -> io::Result<()> {
            Ok(rustix::fs::fsync(&self.fd)?)
        }

        /// Releases the lock of [`Folder::try_lock`]. Children of a fork have the open file too, so closing it here does not suffice.
        pub(in crate::replica) fn unlock(file: &File) -> io::Result<()> {
            Ok(rustix::fs::flock(file, FlockOperation::NonBlockingUnlock)?)
        }

        /// Lists the folder. Leaves out what vanishes meanwhile, and names that are not text.
        pub(in crate::replica) fn entries(&self) -> io::Result<Vec<FolderEntry>> {
            let mut found = Vec::new();
            for entry in Dir::read_from(&self.fd)? {
                let entry = entry?;
                let Ok(name) = entry.file_name().to_str() else { continue };
                if [".", ".."].contains(&name) {
                    continue;
                }
                let Ok(stat) = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
                let allocated = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
                found.push(FolderEntry { name: name.to_owned(), allocated, modified: stat.st_mtime });
            }
            Ok(found)
        }

        /// Takes the lock that this file stands for, until the file is closed. Returns None if another process has it.
        pub(in crate::replica) fn try_lock(&self, name: &str) -> io::Result<Option<File>> {
            let file = self.create_file(name)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(Some(file)),
                Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
    }

    fn is_file(fd: &OwnedFd) -> io::Result<bool> {
        let stat = rustix::fs::fstat(fd)?;
        Ok(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    }
}

/// Returns whether an open file was removed from its folder.
pub(super) fn is_removed(file: &File) -> bool {
    #[cfg(unix)]
    return file.metadata().is_ok_and(|metadata| std::os::unix::fs::MetadataExt::nlink(&metadata) == 0);
    #[cfg(not(unix))]
    return file.metadata().is_err();
}

/// Returns the size on disk of a file in bytes, without holes.
pub(super) fn allocated(metadata: &std::fs::Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blocks(metadata) * 512;
    #[cfg(not(unix))]
    return metadata.len();
}

/// Returns the offset of the next byte of a file from `offset` on that is not in a hole. None if there is none.
pub(super) fn next_data(file: &File, offset: u64) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)) {
        Ok(data) => Some(data),
        Err(rustix::io::Errno::NXIO) => None,
        Err(_) => Some(offset),
    };
    #[cfg(not(target_os = "linux"))]
    return file.metadata().is_ok_and(|metadata| offset < metadata.len()).then_some(offset);
}

/// Frees the disk space of a part of a file, which reads as zeros afterwards. Fails if the system cannot do that.
pub(super) fn punch_hole(file: &File, range: std::ops::Range<u64>) -> io::Result<()> {
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

/// Systems without the owners and modes that the rules need.
#[cfg(not(unix))]
mod unsupported {
    use super::{Folder, FolderEntry};
    use crate::error::{Error, ErrorKind};
    use std::fs::File;
    use std::io;
    use std::path::Path;

    fn unsupported<T>() -> io::Result<T> {
        Err(io::ErrorKind::Unsupported.into())
    }

    impl Folder {
        pub(in crate::replica) fn open(_: &Path, setting: &str) -> Result<Folder, Error> {
            let error = Error::new(ErrorKind::Config, format!("{setting} is not supported on this system"));
            Err(error.remedy(format!("remove {setting} and its environment variable")))
        }

        pub(in crate::replica) fn sync(&self) -> io::Result<()> {
            unsupported()
        }

        pub(in crate::replica) fn unlock(_: &File) -> io::Result<()> {
            unsupported()
        }

        pub(in crate::replica) fn create_folder(&self, _: &str) -> io::Result<Folder> {
            unsupported()
        }

        pub(in super::super) fn folder(&self, _: &str) -> io::Result<Folder> {
            unsupported()
        }

        pub(in crate::replica) fn open_file(&self, _: &str) -> io::Result<Option<File>> {
            unsupported()
        }

        pub(in crate::replica) fn create_file(&self, _: &str) -> io::Result<File> {
            unsupported()
        }

        pub(in crate::replica) fn rename(&self, _: &str, _: &str) -> io::Result<()> {
            unsupported()
        }

        pub(in crate::replica) fn remove(&self, _: &str) -> io::Result<()> {
            unsupported()
        }

        pub(in crate::replica) fn entries(&self) -> io::Result<Vec<FolderEntry>> {
            unsupported()
        }

        pub(in crate::replica) fn try_lock(&self, _: &str) -> io::Result<Option<File>> {
            unsupported()
        }
    }
}
