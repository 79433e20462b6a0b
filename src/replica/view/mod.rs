//! Views: immutable states of the database.
//!
//! A view maps each page to the bytes of the file that contain its version. A view is derived from another one by
//! applying files, and shares with it everything that did not change. For the pages of a large file that has every page,
//! it only knows the file: their positions are in the index of that file, which is read in parts when they are needed.
//!
//! | module | contents |
//! |---|---|
//! | `page_map` | the persistent map from page numbers to positions in files |
//! | `file_table` | the files that a view refers to |
//! | `builder` | applies files one by one and checks that every page is present |
//! | `build` | loads the files of a chain and builds their view; avoids damaged files |
//! | `epoch` | the histories that a replica has had, and how far they agree |
//! | `number` | the numbers of views, which SQLite sees as change counters |
//! | `shown_cookie` | the schema cookie that page 1 of a view shows |

pub(in crate::replica) mod build;
mod builder;
pub(in crate::replica) mod epoch;
mod file_table;
mod number;
mod page_map;
mod shown_cookie;

pub(in crate::replica) use builder::ViewBuilder;
pub(in crate::replica) use epoch::Epoch;
pub use number::unused_number;

use crate::ltx::Txid;
use crate::replica::files::integrity::Soundness;
use crate::replica::files::ltx_file::LtxFile;
use crate::replica::files::partial_index::PartialIndex;
use crate::store::Version;
use file_table::FileTable;
use number::ViewNumber;
use page_map::PageMap;
use shown_cookie::ShownCookie;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many files that are not verified a state may have been read from under one number.
const MAX_ORIGINS: usize = 256;

/// An immutable state of the database.
pub struct View {
    tip: Arc<LtxFile>,
    witness: Option<Version>,
    time_ms: i64,
    number: ViewNumber,
    /// The number once wrong bytes were read, and above it from how many files; 0 if it has not been needed. No lock, because a child of a fork
    /// inherits views.
    spoiled_number: AtomicU64,
    /// Other files that SQLite may have read this state from, under the same number.
    origins: Vec<Arc<Soundness>>,
    epoch: Epoch,
    /// The schema cookie that page 1 shows, once it is known.
    schema_cookie: ShownCookie,
    pages: PageMap,
    table: FileTable,
}

impl View {
    /// Returns the last transaction that this state includes.
    pub fn txid(&self) -> Txid {
        self.tip.name.max
    }

    /// Returns when that transaction was written, in milliseconds since 1970, by the primary's clock.
    pub fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// Returns the page size in bytes, a power of two from 512 to 65536.
    pub fn page_size(&self) -> u32 {
        self.tip.header.page_size.get()
    }

    /// Returns the size of the database in pages.
    pub fn commit(&self) -> u32 {
        self.tip.header.commit
    }

    /// Returns the number that identifies this state in page 1: all pages of two views with the same number are equal.
    /// A process never uses a number twice, and a forked child never uses a number of its parent for another state.
    ///
    /// Whenever wrong bytes of another file are found, the view gets another number: SQLite may have cached them.
    pub fn counter(&self) -> u32 {
        let spoiled = self.spoiled_files();
        if spoiled == 0 {
            return self.number.get();
        }
        let known = self.spoiled_number.load(Ordering::Relaxed);
        if known >> 32 >= spoiled {
            return known as u32;
        }
        let new = spoiled << 32 | u64::from(unused_number());
        let is_older = |known| (known >> 32 < spoiled).then_some(new);
        match self.spoiled_number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_older) {
            Ok(_) => new as u32,
            Err(known) => known as u32,
        }
    }

    /// Returns the schema cookie that page 1 shows, or None if it is not known yet. It is not known either if it may come from wrong bytes.
    pub(super) fn schema_cookie(&self) -> Option<u32> {
        self.schema_cookie.get().filter(|_| self.spoiled_files() == 0)
    }

    /// Sets the schema cookie that page 1 shows, unless it is set already. Returns the cookie that is set.
    pub(super) fn keep_schema_cookie(&self, cookie: u32) -> u32 {
        if self.spoiled_files() > 0 { cookie } else { self.schema_cookie.keep(cookie) }
    }

    /// Returns how many bytes of its files are kept in memory.
    pub(super) fn held(&self) -> u64 {
        self.files().map(|file| file.held()).sum()
    }

    /// Returns how many bytes of memory its page map takes, shared parts included.
    pub(super) fn map_bytes(&self) -> u64 {
        self.pages.bytes()
    }

    /// Returns the file that contains a page. None for the lock page and for pages above the commit.
    #[inline]
    pub(super) fn file_of(&self, pgno: u32) -> Option<&Arc<LtxFile>> {
        self.table.get(self.pages.get(pgno)?.file)
    }

    /// Returns which bytes contain a page. None if the view does not have the page, and if the part of its file's index
    /// has not been read, see [`View::is_unlocated`].
    pub(super) fn locate(&self, pgno: u32) -> Option<Extent<'_>> {
        let place = self.pages.get(pgno)?;
        let file = self.table.get(place.file)?;
        let (offset, size) = place.frame.or_else(|| file.partial_index.as_ref()?.frame(pgno))?;
        Some(Extent { file, offset, size })
    }

    /// Returns true if the view has a page, but the part of its file's index has not been read.
    pub(super) fn is_unlocated(&self, pgno: u32) -> bool {
        self.file_of(pgno).is_some() && self.locate(pgno).is_none()
    }

    /// Returns the length of a page's frame, estimated if the part of its file's index has not been read.
    pub(super) fn frame_size(&self, pgno: u32) -> Option<u32> {
        let place = self.pages.get(pgno)?;
        match place.frame {
            Some((_, size)) => Some(size),
            None => self.table.get(place.file)?.partial_index.as_ref()?.frame_size(pgno),
        }
    }

    /// Returns the file whose index is read in parts.
    pub(super) fn base(&self) -> Option<(&Arc<LtxFile>, &PartialIndex)> {
        let file = self.table.get(self.pages.base_file()?)?;
        Some((file, file.partial_index.as_deref()?))
    }

    /// Returns the page that SQLite never uses, because it contains the bytes that file locks are taken on.
    pub(super) fn lock_page(&self) -> u32 {
        self.tip.header.page_size.lock_page()
    }

    /// Returns whether every file that contains one of its pages has been read whole and matches its checksum.
    pub(super) fn is_verified(&self) -> bool {
        self.files().all(|file| file.integrity.is_verified())
    }

    /// Returns whether wrong bytes were read of one of its files, so that the view must not be read any more.
    pub(super) fn is_spoiled(&self) -> bool {
        self.files().any(|file| file.integrity.spoiled().is_some())
    }

    /// Returns from how many files wrong bytes of this state were read, as far as that is known. It never becomes less.
    pub fn spoiled_files(&self) -> u64 {
        match Soundness::any_is_spoiled() {
            true => self.read_from().filter(|file| file.is_spoiled()).count() as u64,
            false => 0,
        }
    }

    /// Returns those of these files that are not verified. None if wrong bytes of one were read, or if they are too many, so that no other view
    /// may get the number.
    fn origins(&self) -> Option<Vec<Arc<Soundness>>> {
        let origins = Soundness::unverified(self.read_from());
        (self.spoiled_files() == 0 && origins.len() <= MAX_ORIGINS).then_some(origins)
    }

    /// Returns the files that SQLite may have read this state from under its number.
    fn read_from(&self) -> impl Iterator<Item = &Arc<Soundness>> {
        self.files().map(|file| file.integrity.soundness()).chain(&self.origins)
    }

    /// Returns the files that contain at least one of its pages.
    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<LtxFile>> {
        self.table.files()
    }

    /// Returns the version of the level 0 file that ends at the last transaction, as seen when the view was made. None
    /// if that file was not seen. While the replica has that file in this version, its history is still that of the
    /// view.
    pub(super) fn witness(&self) -> Option<&Version> {
        self.witness.as_ref()
    }

    /// Returns the history that this state belongs to.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns whether the last transaction is only in the journal of this process.
    pub(super) fn is_journalled(&self) -> bool {
        self.tip.is_journalled()
    }

    /// Returns whether another view is of the same state: all their pages are equal.
    pub(super) fn is_same_state(&self, other: &View) -> bool {
        self.counter() == other.counter() || (self.epoch, self.txid()) == (other.epoch, other.txid())
    }

    /// Returns the newest file that was applied. It may contain none of the view's pages.
    pub(super) fn tip(&self) -> &Arc<LtxFile> {
        &self.tip
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({}, {} pages)", self.txid(), self.commit())
    }
}

/// The bytes of a file that contain one page.
#[derive(Clone, Copy)]
pub(super) struct Extent<'a> {
    pub file: &'a Arc<LtxFile>,
    pub offset: u64,
    pub size: u32,
}
