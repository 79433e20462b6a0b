//! The cache directory: what was read of a replica, for the next process and for all processes of the machine.
//!
//! The content of a file of the replica never changes, so nothing in the directory is ever invalid. Nothing there is
//! needed either: what is missing, damaged or written by another version is read from the store.
//!
//! | module | contents |
//! |---|---|
//! | `sealed` | files that are written at once |
//! | `slots` | decoded pages, in a sparse file for each file of the replica |
//! | `parts` | byte ranges of files: small files, headers, indexes |
//! | `announcements` | what the processes fetch at the moment |
//! | `open_files` | the files of slots and announcements that are open |
//! | `leader` | which process polls for the others |
//! | `pause` | what happens after a write has failed |
//! | `contents` | which files the directory has, their size, and who needs them |
//! | `size` | its size, as the replicas of a process know it |
//! | `eviction` | keeps the directory within its bound: removes files |
//! | `eviction_mark` | tells other processes of that |
//! | `punching` | removes single pages from files |

mod announcements;
mod contents;
mod eviction;
mod eviction_mark;
mod leader;
mod open_files;
mod parts;
mod pause;
mod punching;
mod sealed;
mod size;
mod slots;
#[cfg(all(test, unix))]
mod tests;

pub(in crate::replica) use announcements::{Announcement, RENEWAL};
pub(in crate::replica) use leader::Leadership;
pub(in crate::replica) use sealed::{FieldReader, SealedFields};
pub(in crate::replica) use slots::{Admission, FileIdentity, SlotFile, StoredForm, stem};

use crate::error::{Error, ErrorKind, remedy_unless_files};
use crate::lock::{Mutex, RwLock};
use crate::replica::cache::{Page, PageKey};
use crate::replica::folder::{Folder, folder_name};
use announcements::Announcements;
use open_files::OpenFiles;
use pause::WriteFailure;
use size::DirectorySize;
use slots::SlotContent;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// The folder of this version of the format in the cache directory. Other versions have their own.
const FORMAT: &str = "litestream-vfs-1";

/// The record of the newest view.
const HEAD: &str = "head";

/// The maximum length of that record in bytes.
const MAX_HEAD: u64 = 16 << 20;

/// The part of a cache directory that belongs to one replica.
pub(in crate::replica) struct CacheDirectory {
    root: Arc<Folder>,
    folder: Arc<Folder>,
    /// Upper bound of the size of the whole cache directory, in bytes.
    bound: AtomicU64,
    open_files: Arc<OpenFiles>,
    /// The slots of files in use, by the number of the file.
    slots: RwLock<HashMap<u32, Weak<SlotFile>>>,
    announcements: Announcements,
    /// Whether pages are read from slots.
    serves_pages: AtomicBool,
    /// The size of the whole directory.
    size: Arc<DirectorySize>,
    /// Whether this replica has evicted, or left that to another process.
    has_evicted: AtomicBool,
    is_paused: AtomicBool,
    last_failure: Mutex<Option<WriteFailure>>,
}

impl CacheDirectory {
    /// How many descriptors it needs while its files are closed: those of its folders.
    pub(in crate::replica) const FOLDERS: u64 = 2;

    /// Opens the part of a cache directory for the replica `place`, and creates it if it does not exist. Fails if other
    /// users could change the directory. `bound` is the upper bound of its size in bytes.
    pub(in crate::replica) fn open(path: &Path, place: &str, bound: u64) -> Result<CacheDirectory, Error> {
        let top = Folder::open(path, "cache_dir")?;
        let folder = top.create_folder(FORMAT).and_then(|root| root.create_folder(&folder_name(place)));
        let opened = folder.and_then(|folder| Ok((folder, DirectorySize::of(path)?)));
        let (folder, size) = opened.map_err(|cause| {
            let text = format!("the cache_dir {} cannot be used: {cause}", path.display());
            Error::new(ErrorKind::Config, text)
                .remedy(remedy_unless_files(&cause, "name a directory that this user can write"))
        })?;
        let folder = Arc::new(folder);
        let open_files = Arc::new(OpenFiles::new(folder.clone()));
        let directory = CacheDirectory {
            root: Arc::new(top),
            folder,
            bound: AtomicU64::new(bound),
            slots: RwLock::default(),
            announcements: Announcements::new(&open_files),
            open_files,
            serves_pages: AtomicBool::new(true),
            size,
            has_evicted: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            last_failure: Mutex::default(),
        };
        // It is measured again when something is evicted.
        if let Err(error) = directory.size.measure(|| contents::size(&directory.root)) {
            tracing::debug!("cannot measure the cache directory: {error}");
        }
        Ok(directory)
    }

    /// Sets the upper bound of the size. The directory shrinks when something is written next.
    pub(super) fn resize(&self, bound: u64) {
        self.bound.store(bound, Ordering::Relaxed);
    }

    /// Returns the upper bound of the size, or 0 while nothing can be written.
    pub(super) fn room(&self) -> u64 {
        if self.may_write() { self.bound.load(Ordering::Relaxed) } else { 0 }
    }

    /// Checks that a whole database of `size` bytes can be kept. If it is too large, eviction would remove what was kept of it. Fails with
    /// the reason and the remedy.
    pub(super) fn check_keeps(&self, size: u64) -> Result<(), String> {
        let most = eviction::target(self.bound.load(Ordering::Relaxed));
        if !self.serves_pages.load(Ordering::Relaxed) {
            return Err(
                "with verify=full, every page is read from the store; set verify=off to use the cache directory"
                    .to_owned(),
            );
        }
        if size > most {
            return Err(format!(
                "the database has {size} bytes, and the cache directory keeps at most {most} of one; set a larger disk_cache_size"
            ));
        }
        if self.may_write() {
            return Ok(());
        }
        let cause = self.last_failure.lock().as_ref().map_or_else(String::new, |failure| failure.cause.clone());
        Err(format!("the cache directory cannot be written: {cause}"))
    }

    /// Whether processes find what others have fetched.
    fn exchanges_pages(&self) -> bool {
        self.serves_pages.load(Ordering::Relaxed) && self.may_write()
    }

    /// Returns how many bytes the whole directory has, approximately.
    pub(super) fn held(&self) -> u64 {
        self.size.held()
    }

    /// Sets whether pages are read from slots. They are not while every byte has to be verified before it is used.
    pub(in crate::replica) fn serve_pages(&self, serves: bool) {
        self.serves_pages.store(serves, Ordering::Relaxed);
    }

    /// Returns the slots of a file with this number.
    pub(in crate::replica) fn slots(
        &self,
        number: u32,
        identity: &FileIdentity,
        admission: Admission,
    ) -> Arc<SlotFile> {
        let slots = Arc::new(SlotFile::new(&self.open_files, identity, admission));
        let mut all = self.slots.write();
        all.retain(|_, slots| slots.strong_count() > 0);
        all.insert(number, Arc::downgrade(&slots));
        slots
    }

    fn slots_of(&self, file: u32) -> Option<Arc<SlotFile>> {
        self.slots.read().get(&file)?.upgrade()
    }

    /// Returns a page. `make` creates it from its size and a function that writes its bytes.
    pub(super) fn get(
        &self,
        key: PageKey,
        make: impl FnOnce(u32, &dyn Fn(&mut [u8]) -> io::Result<()>) -> io::Result<Page>,
    ) -> Option<Page> {
        if !self.serves_pages.load(Ordering::Relaxed) {
            return None;
        }
        let slots = self.slots_of(key.file)?;
        match slots.read(key.pgno, |fill| make(slots.page_size(), fill)) {
            SlotContent::Page(page) => Some(page),
            SlotContent::Absent => None,
            SlotContent::Refused => {
                slots.clear();
                None
            }
        }
    }

    pub(super) fn contains(&self, key: PageKey) -> bool {
        self.serves_pages.load(Ordering::Relaxed)
            && self.slots_of(key.file).is_some_and(|slots| slots.contains(key.pgno))
    }

    /// Writes a page. A page that is there may be damaged, so it is replaced. Returns whether it was written.
    pub(super) fn put(self: &Arc<Self>, key: PageKey, page: &[u8], form: StoredForm) -> bool {
        let Some(slots) = self.slots_of(key.file).filter(|_| self.may_write()) else { return false };
        let written = slots.write(key.pgno, page, form);
        let is_written = written.is_ok();
        self.after(written, page.len());
        is_written
    }

    /// Removes all pages of a file.
    pub(super) fn forget(&self, file: u32) {
        if let Some(slots) = self.slots_of(file) {
            slots.clear();
        }
    }

    /// Reads the record of the newest view.
    pub(in crate::replica) fn head(&self) -> Option<Vec<u8>> {
        self.folder.read(HEAD, MAX_HEAD).ok().flatten()
    }

    /// Writes the record of the newest view. Its first field are the [stems](stem) of the files of the view, one a
    /// line: they are kept longer than others. Is tried at once after a failure too, because other processes wait for it.
    pub(in crate::replica) fn set_head(self: &Arc<Self>, record: &SealedFields) {
        let (head, fields) = record.seal();
        let written = self.folder.write(HEAD, &[&head, fields]);
        // A failure does not lengthen the pause of the others.
        if written.is_ok() || self.may_write() {
            self.after(written, 0);
        }
    }
}

impl fmt::Debug for CacheDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheDirectory")
    }
}
