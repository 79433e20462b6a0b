//! The files of the directory that stay open, and how many.

use super::CacheDirectory;
use crate::lock::{Mutex, RwLock};
use crate::process::{Maker, PerProcess, descriptor_limit};
use crate::replica::folder::{self, Folder};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// How many files a directory keeps open. All directories of the process together use an eighth of its descriptors if the least for each
/// allows it.
const LEAST: usize = 4;
const MOST: usize = 64;

/// In how many directories this process has files open.
static DIRECTORIES: PerProcess<AtomicUsize> = PerProcess::new();

/// The files of one directory that stay open. When there are too many, the one that was opened first is closed: a replica has a file for
/// each transaction of the last minute.
pub(super) struct OpenFiles {
    folder: Arc<Folder>,
    /// In the order in which they were opened.
    opened: Mutex<VecDeque<Weak<FileState>>>,
    counted_in: Maker,
}

impl OpenFiles {
    pub(super) fn new(folder: Arc<Folder>) -> OpenFiles {
        OpenFiles { folder, opened: Mutex::default(), counted_in: Maker::this() }
    }

    /// Returns a file of the directory, which is not opened yet.
    pub(super) fn file(self: &Arc<Self>, name: String) -> OpenFile {
        OpenFile { files: self.clone(), state: Arc::new(FileState { name, file: RwLock::default() }) }
    }

    /// Closes the oldest files if there are too many with this one, which was opened.
    fn add(&self, state: &Arc<FileState>) {
        let mut opened = self.opened.lock();
        if opened.is_empty() {
            directories().fetch_add(1, Ordering::Relaxed);
        }
        opened.retain(|other| other.strong_count() > 0 && !ptr::eq(other.as_ptr(), Arc::as_ptr(state)));
        opened.push_back(Arc::downgrade(state));
        let surplus = opened.len().saturating_sub(share());
        let oldest: Vec<_> = opened.drain(..surplus).collect();
        drop(opened);
        close(oldest);
    }

    /// Returns the files that are open, which are no longer counted.
    fn take(&self) -> VecDeque<Weak<FileState>> {
        let opened = std::mem::take(&mut *self.opened.lock());
        if !opened.is_empty() {
            directories().fetch_sub(1, Ordering::Relaxed);
        }
        opened
    }

    /// Closes all files. Whoever needs one meanwhile opens it again, and does not wait until this has ended.
    pub(super) fn close_all(&self) {
        close(self.take());
    }
}

impl CacheDirectory {
    /// Closes the files that are open. They are opened again when they are needed. Waits for the disk.
    pub(in crate::replica) fn close_files(&self) {
        self.open_files.close_all();
    }
}

impl Drop for OpenFiles {
    fn drop(&mut self) {
        if self.counted_in.is_this() {
            self.take();
        }
    }
}

fn directories() -> &'static AtomicUsize {
    DIRECTORIES.get_or_init(AtomicUsize::default)
}

/// Closes files. Waits for the disk, so the caller has no lock.
fn close(files: impl IntoIterator<Item = Weak<FileState>>) {
    for state in files.into_iter().filter_map(|state| state.upgrade()) {
        let file = state.file.write().take();
        drop(file);
    }
}

/// Returns how many files each directory may keep open now.
fn share() -> usize {
    let all = usize::try_from(descriptor_limit() / 8).unwrap_or(usize::MAX);
    (all / directories().load(Ordering::Relaxed).max(1)).clamp(LEAST, MOST)
}

struct FileState {
    name: String,
    file: RwLock<Option<Arc<File>>>,
}

/// A file that is created when it is needed first, and then stays open among the [`OpenFiles`] of its directory.
pub(super) struct OpenFile {
    files: Arc<OpenFiles>,
    state: Arc<FileState>,
}

impl OpenFile {
    pub(super) fn name(&self) -> &str {
        &self.state.name
    }

    /// Returns the file. Another process may have removed it.
    pub(super) fn get(&self) -> io::Result<Arc<File>> {
        if let Some(file) = &*self.state.file.read() {
            return Ok(file.clone());
        }
        let opened = {
            let mut file = self.state.file.write();
            if let Some(file) = &*file {
                return Ok(file.clone());
            }
            file.insert(Arc::new(self.files.folder.create_file(self.name())?)).clone()
        };
        self.files.add(&self.state);
        Ok(opened)
    }

    /// Returns the file that has the name now. It is created again if another process has removed it.
    pub(super) fn current(&self) -> io::Result<Arc<File>> {
        let file = self.get()?;
        if !folder::is_removed(&file) {
            return Ok(file);
        }
        *self.state.file.write() = None;
        self.get()
    }

    /// Empties the file, for the processes that have it open, and removes it.
    pub(super) fn remove(&self) {
        if let Ok(file) = self.get() {
            let _ = file.set_len(0);
        }
        let _ = self.files.folder.remove(self.name());
        *self.state.file.write() = None;
    }
}
