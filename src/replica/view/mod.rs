//! Views: immutable states of the database.
//!
//! A view maps each page to the bytes of the file that contain its version. A view is derived from another one by
//! applying files, and shares with it everything that did not change.
//!
//! | module | contents |
//! |---|---|
//! | `page_map` | the persistent map from page numbers to positions in files |
//! | `file_table` | the files that a view refers to |
//! | `builder` | applies files one by one and checks that every page is present |
//! | `build` | loads the files of a chain and builds their view; avoids damaged files |
//! | `epoch` | the histories that a replica has had, and how far they agree |

pub(in crate::replica) mod build;
mod builder;
pub(in crate::replica) mod epoch;
mod file_table;
mod page_map;

pub(in crate::replica) use builder::ViewBuilder;
pub(in crate::replica) use epoch::Epoch;

use crate::ltx::Txid;
use crate::replica::files::ltx_file::LtxFile;
use crate::replica::schema::ShownCookie;
use crate::store::Version;
use file_table::FileTable;
use page_map::PageMap;
use std::fmt;
use std::sync::Arc;

/// An immutable state of the database.
pub struct View {
    tip: Arc<LtxFile>,
    witness: Option<Version>,
    time_ms: i64,
    counter: u32,
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
    pub fn counter(&self) -> u32 {
        self.counter
    }

    /// Returns the schema cookie that page 1 shows, or None if it is not known yet.
    pub(super) fn schema_cookie(&self) -> Option<u32> {
        self.schema_cookie.get()
    }

    /// Sets the schema cookie that page 1 shows, unless it is set already. Returns the cookie that is set.
    pub(super) fn keep_schema_cookie(&self, cookie: u32) -> u32 {
        self.schema_cookie.keep(cookie)
    }

    /// Returns how many bytes of its files are kept in memory.
    pub(super) fn held(&self) -> u64 {
        self.files().map(|file| file.held()).sum()
    }

    /// Returns which bytes contain a page. None for the lock page and for pages above the commit.
    pub(super) fn locate(&self, pgno: u32) -> Option<Extent<'_>> {
        let location = self.pages.get(pgno)?;
        let file = self.table.get(location.file)?;
        Some(Extent { file, offset: location.offset, size: location.size })
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
