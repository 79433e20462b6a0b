//! Folders on systems with owners and modes.

use super::{Folder, FolderEntry, FolderLock};
use crate::error::{Error, ErrorKind, remedy_unless_files};
use crate::process::Maker;
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
const OF_NEW_FILES: Mode = Mode::RUSR.union(Mode::WUSR);

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
                return Err(failed(&cause)
                    .remedy(remedy_unless_files(&cause, "name a directory that this user can create and write")));
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
    pub(in crate::replica) fn folder(&self, name: &str) -> io::Result<Folder> {
        let fd = rustix::fs::openat(&self.fd, name, FOLDER, Mode::empty())?;
        match objection(&rustix::fs::fstat(&fd)?) {
            Some(objection) => Err(io::Error::other(objection)),
            None => Ok(Folder { fd }),
        }
    }

    /// Opens a folder in this one. Returns None if there is none, something else than a folder, or one that may not be used.
    pub(in crate::replica) fn find_folder(&self, name: &str) -> io::Result<Option<Folder>> {
        match rustix::fs::openat(&self.fd, name, FOLDER, Mode::empty()) {
            Ok(fd) => Ok(objection(&rustix::fs::fstat(&fd)?).is_none().then_some(Folder { fd })),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::ACCESS) => Ok(None),
            Err(error) => Err(error.into()),
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
        let create = || rustix::fs::openat(&self.fd, name, FILE | OFlags::CREATE, OF_NEW_FILES);
        match create() {
            Ok(fd) if is_file(&fd)? => return Ok(fd.into()),
            Ok(_) | Err(Errno::LOOP | Errno::NXIO) => self.remove(name)?,
            Err(error) => return Err(error.into()),
        }
        Ok(create()?.into())
    }

    /// Creates a file. Fails if there is anything with its name.
    pub(in crate::replica) fn create_new_file(&self, name: &str) -> io::Result<File> {
        let flags = FILE | OFlags::CREATE | OFlags::EXCL;
        Ok(rustix::fs::openat(&self.fd, name, flags, OF_NEW_FILES)?.into())
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

    /// Takes the lock that this file stands for. Returns None if another process has it.
    pub(in crate::replica) fn try_lock(&self, name: &str) -> io::Result<Option<FolderLock>> {
        let file = self.create_file(name)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(FolderLock { file, holder: Maker::this() })),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Children of a fork have the open file too. Closing it here would leave the lock to them until they end.
        if self.holder.is_this() {
            let _ = rustix::fs::flock(&self.file, FlockOperation::NonBlockingUnlock);
        }
    }
}

fn is_file(fd: &OwnedFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::folder::{TEMPORARY, temporary_name};

    #[test]
    fn a_lock_that_was_given_back_is_free_although_children_of_a_fork_have_its_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = Folder::open(&dir.path().join("private"), "cache_dir").expect("a folder");
        let take = || folder.try_lock("lock").expect("the lock can be tried");
        let mut lock = take().expect("it is free");
        // A child shares the open file, as a duplicate does. It never gives the lock back.
        let duplicate = || lock.file.try_clone().expect("another descriptor");
        let of_child = FolderLock { file: duplicate(), holder: Maker::parent() };
        drop(of_child);
        assert!(take().is_none());
        let inherited = duplicate();
        lock.file.set_modified(std::time::SystemTime::now()).expect("it is the file");
        drop(lock);
        lock = take().expect("it was given back");
        drop((lock, inherited));
    }

    /// Two containers with one volume, in each of which the process has the number 1.
    #[test]
    fn a_file_that_another_process_writes_or_left_is_never_a_part_of_a_new_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = Folder::open(&dir.path().join("private"), "cache_dir").expect("a folder");
        let content = |name: &str| folder.read(name, 1000).expect("it can be read").expect("a file");
        let (other, long) = (format!("{TEMPORARY}1"), vec![7; 100]);
        folder.write_through("whole", &other, &[&long]).expect("a file");
        let written = folder.write_through(&other, "head", &[b"short"]);
        assert_eq!(written.expect_err("it is that of the other").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(content(&other), long);
        folder.write("head", &[b"sho", b"rt"]).expect("a file");
        assert_eq!((content("head"), content(&other)), (b"short".to_vec(), long));
        assert_eq!(folder.entries().expect("the entries").len(), 2);
        assert_ne!(temporary_name(), temporary_name());
    }
}
