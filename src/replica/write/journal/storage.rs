//! The files of a journal.
//!
//! | file | content |
//! |---|---|
//! | `lock` | its lock is that of the process that uses the journal |
//! | `journal` | the transactions since the last upload began |
//! | `upload` | the file that is being put into the replica, made of the journal before |
//! | `discarded-…` | what was discarded, and with the ending `tail` what followed the last complete entry of a journal |
//!
//! When an upload begins, `upload` is written first, and `journal` removed then. If a process ends in between, the transactions in `journal`
//! are also in `upload`, and both begin with the same TXID. Views read the transactions from the open file, which stays readable.

use super::failure::{StorageFailure, unusable};
use super::format::{self, ENTRY_HEAD, HEAD};
use crate::error::{Error, ErrorKind};
use crate::pread;
use crate::random;
use crate::replica::folder::{Folder, FolderLock, TEMPORARY, folder_name, temporary_name};
use crate::time;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOCK: &str = "lock";
pub(super) const JOURNAL: &str = "journal";
pub(super) const UPLOAD: &str = "upload";
pub(super) const DISCARDED: &str = "discarded-";

/// The folder of this version of the format in `buffer_path`.
const FORMAT: &str = "litestream-vfs-journal-1";

/// The files of a journal, which no other process uses meanwhile.
#[derive(Debug)]
pub(super) struct JournalStorage {
    pub(super) folder: Folder,
    _lock: FolderLock,
    pub(super) path: PathBuf,
    pub(super) segment: Option<Segment>,
    pub(super) steps: JournalSteps,
}

/// Where a test lets the process end.
#[derive(Clone, Debug, Default)]
pub(super) struct JournalSteps(#[cfg(test)] pub super::crash::CrashPoint);

impl JournalSteps {
    /// Fails if the process ends here.
    pub(super) fn step(&self) -> io::Result<()> {
        #[cfg(test)]
        self.0.step()?;
        Ok(())
    }

    /// Fails if a test lets a read fail here.
    pub(super) fn read(&self) -> io::Result<()> {
        #[cfg(test)]
        self.0.read()?;
        Ok(())
    }
}

/// An open `journal`.
#[derive(Debug)]
pub(super) struct Segment {
    pub file: Arc<File>,
    pub salt: u64,
    pub entries: u64,
    pub length: u64,
}

impl JournalStorage {
    /// Opens the journal for the replica `place` in a directory, and creates it if it does not exist. Fails with [`ErrorKind::Busy`] if
    /// another process uses it.
    pub(super) fn open(directory: &Path, place: &str, steps: JournalSteps) -> Result<JournalStorage, Error> {
        let name = folder_name(place);
        let path = directory.join(FORMAT).join(&name);
        let missing = count_missing(directory).map_err(|cause| unusable(&path, &cause))?;
        let top = Folder::open(directory, "buffer_path")?;
        let folder = top.create_folder(FORMAT).and_then(|format| format.create_folder(&name));
        let folder = folder.map_err(|cause| unusable(&path, &cause))?;
        let Some(lock) = folder.try_lock(LOCK).map_err(|cause| unusable(&path, &cause))? else {
            let text = format!("the journal {} is that of another process", path.display());
            return Err(Error::new(ErrorKind::Busy, text).remedy(
                "write with one process, or give each its own buffer_path; a busy timeout waits for the other to end",
            ));
        };
        let storage = JournalStorage { folder, _lock: lock, path, segment: None, steps };
        let prepared = storage.remove_temporary().and_then(|()| storage.sync_folders(missing));
        prepared.map_err(|cause| unusable(&storage.path, &cause))?;
        Ok(storage)
    }

    /// Removes the files that an earlier process has not finished.
    fn remove_temporary(&self) -> io::Result<()> {
        let entries = self.folder.entries()?.into_iter().filter(|entry| entry.name.starts_with(TEMPORARY));
        entries.into_iter().try_for_each(|entry| self.folder.remove(&entry.name))
    }

    /// Makes the folders durable that lead to the journal. `created` of them, from `buffer_path` upwards, did not exist.
    fn sync_folders(&self, created: usize) -> io::Result<()> {
        // That of the journal, that of the format, `buffer_path`, and what each created one is in.
        for folder in std::path::absolute(&self.path)?.ancestors().take(3 + created) {
            File::open(folder)?.sync_all()?;
            #[cfg(test)]
            self.steps.0.synced(folder);
        }
        Ok(())
    }

    /// Returns where the journal is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where the file of the next transaction will be.
    pub(super) fn next_place(&mut self) -> Result<(Arc<File>, u64), StorageFailure> {
        let segment = match self.segment.take() {
            Some(segment) => segment,
            None => {
                let salt = random::number();
                let file = Arc::new(self.place(JOURNAL, &format::head(salt))?);
                Segment { file, salt, entries: 0, length: HEAD as u64 }
            }
        };
        let place = (segment.file.clone(), segment.length + ENTRY_HEAD as u64);
        self.segment = Some(segment);
        Ok(place)
    }

    /// Appends the file of a transaction at the place of [`JournalStorage::next_place`], and makes it durable.
    pub(super) fn append(&mut self, transaction: &[u8]) -> Result<(), StorageFailure> {
        self.next_place()?;
        let steps = self.steps.clone();
        let step = || steps.step();
        let Some(segment) = &mut self.segment else {
            return Err(StorageFailure::Unchanged(io::ErrorKind::NotFound.into()));
        };
        let (head, tail) = format::frame(segment.salt, segment.entries + 1, transaction);
        let mut end = segment.length;
        let mut write = |bytes: &[u8]| {
            step()?;
            pread::write_all_at(&segment.file, bytes, end)?;
            end += bytes.len() as u64;
            Ok(())
        };
        if let Err(error) = write(&head).and_then(|()| write(transaction)).and_then(|()| write(&tail)) {
            return Err(match step().and_then(|()| segment.file.set_len(segment.length)) {
                Ok(()) => StorageFailure::Unchanged(error),
                Err(_) => StorageFailure::Unknown(error),
            });
        }
        // After a failure, the system may have dropped what it could not write.
        step().and_then(|()| segment.file.sync_data()).map_err(StorageFailure::Unknown)?;
        segment.entries += 1;
        segment.length = end;
        Ok(())
    }

    /// Makes `bytes`, which contain all transactions of the journal, the file that is being put, and begins an empty journal.
    pub(super) fn seal(&mut self, bytes: &[u8]) -> Result<(), StorageFailure> {
        self.place(UPLOAD, bytes)?;
        self.segment = None;
        self.remove(JOURNAL).map_err(StorageFailure::Unknown)
    }

    /// Removes the transactions of the journal, which are also in the file that is being put.
    pub(super) fn drop_sealed(&mut self) -> io::Result<()> {
        self.segment = None;
        self.remove(JOURNAL)
    }

    /// Removes the file that was being put, because it is in the replica.
    pub(super) fn uploaded(&self) -> io::Result<()> {
        self.remove(UPLOAD)
    }

    /// Renames the files, so that the journal is empty. Returns the new names.
    pub(super) fn discard(&mut self) -> io::Result<Vec<PathBuf>> {
        let stamp = stamp();
        let mut names = Vec::new();
        for (name, ending) in [(UPLOAD, "ltx"), (JOURNAL, "journal")] {
            let discarded = format!("{DISCARDED}{stamp}.{ending}");
            match self.folder.rename(name, &discarded) {
                Ok(()) => names.push(self.path.join(discarded)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.segment = None;
        self.folder.sync()?;
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.steps.step()?;
        match self.folder.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.steps.step()?;
        self.folder.sync()
    }

    /// Writes a whole file, durably, and then gives it its name.
    pub(super) fn place(&self, name: &str, bytes: &[u8]) -> Result<File, StorageFailure> {
        let temporary = temporary_name();
        let steps = &self.steps;
        let written = steps.step().and_then(|()| self.folder.create_file(&temporary)).and_then(|file| {
            steps.step()?;
            file.set_len(0)?;
            pread::write_all_at(&file, bytes, 0)?;
            steps.step()?;
            file.sync_all()?;
            Ok(file)
        });
        let file = written.inspect_err(|_| drop(self.folder.remove(&temporary))).map_err(StorageFailure::Unchanged)?;
        self.steps.step().map_err(StorageFailure::Unchanged)?;
        let named = self.folder.rename(&temporary, name);
        named.and_then(|()| self.steps.step()).and_then(|()| self.folder.sync()).map_err(StorageFailure::Unknown)?;
        Ok(file)
    }
}

/// Returns a part of the names of files that are discarded now, which no other ones have. Later ones come later in the alphabet.
pub(super) fn stamp() -> String {
    format!("{}-{:08x}", time::now_ms(), random::number() as u32)
}

/// Returns how many folders have to be created for a path.
fn count_missing(path: &Path) -> io::Result<usize> {
    Ok(std::path::absolute(path)?.ancestors().take_while(|folder| !folder.exists()).count())
}
