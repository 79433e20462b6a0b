//! Views: immutable states of the database.
//!
//! A view says for each page which bytes of which file hold its version. It is derived from the last one by applying
//! files, shares with it all that did not change, and stays as it is while anyone holds it.

pub(in crate::replica) mod build;
pub(in crate::replica) mod epoch;
pub(in crate::replica) mod page_map;
mod shown_cookie;

use crate::ltx::{Header, IndexEntry, Level, Txid};
use crate::replica::files::ltx_file::{LoadedFile, LtxFile};
use crate::replica::view::page_map::{PageLocation, PageMap};
use crate::replica::view::shown_cookie::ShownCookie;
use crate::store::{Listed, Version};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// One immutable state of the database.
pub struct View {
    tip: Arc<LtxFile>,
    witness: Option<Version>,
    time_ms: i64,
    counter: u32,
    epoch: Epoch,
    /// The schema cookie that page 1 shows, once that is known.
    schema_cookie: ShownCookie,
    pages: PageMap,
    table: FileTable,
}

/// A history of the database, as far as this process can tell one from another at the same place: numbered in the
/// order in which it met them. Views of one epoch are states of one history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Epoch(pub u32);

impl View {
    /// The last transaction this state includes.
    pub fn txid(&self) -> Txid {
        self.tip.name.max
    }

    /// When that transaction was written, in milliseconds since 1970, by the primary's clock.
    pub fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// Page size in bytes, a power of two from 512 to 65536.
    pub fn page_size(&self) -> u32 {
        self.tip.header.page_size.get()
    }

    /// Size of the database in pages.
    pub fn commit(&self) -> u32 {
        self.tip.header.commit
    }

    /// The number that stands for this state in page 1: of two views with the same number all pages are equal.
    /// Never given twice in a process, nor to a child of a fork for a state the parent did not have.
    pub fn counter(&self) -> u32 {
        self.counter
    }

    /// The schema cookie that page 1 shows; None before it was found out.
    pub(super) fn schema_cookie(&self) -> Option<u32> {
        self.schema_cookie.get()
    }

    /// Remembers the schema cookie that page 1 shows. Returns the one that it shows from now on: the first.
    pub(super) fn keep_schema_cookie(&self, cookie: u32) -> u32 {
        self.schema_cookie.keep(cookie)
    }

    /// Bytes of its files that are kept in memory.
    pub(super) fn held(&self) -> u64 {
        self.files().map(|file| file.held()).sum()
    }

    /// Which bytes hold a page. None for the lock page and for pages above the commit.
    pub(super) fn locate(&self, pgno: u32) -> Option<Extent<'_>> {
        let slot = self.pages.get(pgno)?;
        let file = self.table.seats.get(slot.file as usize)?.file.as_ref()?;
        Some(Extent { file, offset: slot.offset, size: slot.size })
    }

    /// The page that SQLite never uses: it lies where file locks are taken.
    pub(super) fn lock_page(&self) -> u32 {
        self.tip.header.page_size.lock_page()
    }

    /// Whether every file that holds a page of it was read whole and was right.
    pub(super) fn is_verified(&self) -> bool {
        self.files().all(|file| file.integrity.is_verified())
    }

    /// Whether pages that were read of it were wrong, so that it must not be read any more.
    pub(super) fn is_spoiled(&self) -> bool {
        self.files().any(|file| file.integrity.spoiled().is_some())
    }

    /// The files that hold at least one of its pages.
    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<LtxFile>> {
        self.table.seats.iter().filter_map(|seat| seat.file.as_ref())
    }

    /// What stood at level 0 under the name of its last transaction when the view was made, as far as that was seen. While
    /// it stands there, the replica's history is still that of the view.
    pub(super) fn witness(&self) -> Option<&Version> {
        self.witness.as_ref()
    }

    /// The history it is a state of.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The newest file in it. It may hold none of its pages.
    pub(super) fn tip(&self) -> &Arc<LtxFile> {
        &self.tip
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({}, {} pages)", self.txid(), self.commit())
    }
}

/// The bytes of a file that hold one page.
#[derive(Clone, Copy)]
pub(super) struct Extent<'a> {
    pub file: &'a Arc<LtxFile>,
    pub offset: u64,
    pub size: u32,
}

/// A file that is being laid over a view in the making.
pub(super) struct FileOverlay {
    file: Arc<LtxFile>,
    seat: u32,
}

/// A view in the making.
#[derive(Clone, Default)]
pub(super) struct ViewBuilder {
    tip: Option<Arc<LtxFile>>,
    witness: Option<Version>,
    time_ms: i64,
    pages: PageMap,
    table: FileTable,
}

impl ViewBuilder {
    /// Goes on from a view.
    pub(super) fn from(view: &View) -> ViewBuilder {
        let (pages, table) = (view.pages.clone(), view.table.clone());
        ViewBuilder { tip: Some(view.tip.clone()), witness: view.witness.clone(), time_ms: view.time_ms, pages, table }
    }

    /// Lays a file over what is there. Files come in the order of their ends, without a hole between them.
    ///
    /// The pages above the file's commit go, also from below: a page that comes back later is written anew.
    pub(super) fn apply(&mut self, reading: &LoadedFile) {
        let laying = self.begin(&reading.file);
        self.lay(&laying, &reading.entries);
        self.end(laying);
    }

    /// Begins to lay a file over what is there, whose index comes in parts.
    pub(super) fn begin(&mut self, file: &Arc<LtxFile>) -> FileOverlay {
        let header = &file.header;
        if self.tip.as_ref().is_some_and(|tip| tip.header.page_size != header.page_size) {
            // VACUUM into another page size rewrites every page, so nothing from below is left.
            *self = ViewBuilder::default();
        }
        FileOverlay { seat: self.table.add(file.clone()), file: file.clone() }
    }

    /// Lays some of a file's pages.
    pub(super) fn lay(&mut self, laying: &FileOverlay, entries: &[IndexEntry]) {
        let commit = laying.file.header.commit;
        for entry in entries.iter().filter(|entry| entry.pgno <= commit) {
            let slot = PageLocation { file: laying.seat, offset: entry.offset, size: entry.size };
            // A slot that does not fit leaves the page missing, which `finish` reports.
            if let Ok(before) = self.pages.set(entry.pgno, slot) {
                self.table.used(laying.seat);
                before.into_iter().for_each(|slot| self.table.unused(slot.file));
            }
        }
    }

    /// All of the file's pages are laid.
    pub(super) fn end(&mut self, FileOverlay { seat, file }: FileOverlay) {
        let table = &mut self.table;
        self.pages.truncate(file.header.commit, |slot| table.unused(slot.file));
        self.table.free_if_empty(seat);
        self.time_ms = file.header.timestamp_ms;
        self.witness = Some(file.version.clone()).filter(|_| file.level == Level::ZERO);
        self.tip = Some(file);
    }

    /// Notes what a listing shows at level 0 for the last transaction.
    pub(super) fn witnessed_by(&mut self, listed: &[Listed]) {
        let last = self.tip.as_ref().map(|tip| tip.name.max);
        let own = listed.iter().find(|file| file.level == Level::ZERO && Some(file.name.max) == last);
        self.witness = self.witness.take().or_else(|| own.and_then(|own| own.version.clone()));
    }

    /// Corrects the time of the state: a snapshot's own is when it was made, which can be long after.
    pub(super) fn written_by(&mut self, ms: i64) {
        self.time_ms = self.time_ms.min(ms);
    }

    /// Whether every page is there.
    pub(super) fn is_complete(&self) -> bool {
        self.tip.as_ref().is_some_and(|tip| self.pages.len() >= stored_pages(&tip.header))
    }

    /// The view, a state of `epoch`, if every page is there. It keeps the counter of `known` if that is the same state and was
    /// read right.
    pub(super) fn finish(self, epoch: Epoch, known: Option<&View>) -> Result<View, Incomplete> {
        if !self.is_complete() {
            return Err(Incomplete);
        }
        let tip = self.tip.ok_or(Incomplete)?;
        let is_same = |known: &&View| (known.epoch, known.txid()) == (epoch, tip.name.max) && !known.is_spoiled();
        let same = known.filter(is_same);
        Ok(View {
            tip,
            witness: self.witness,
            time_ms: self.time_ms,
            counter: same.map_or_else(next_counter, View::counter),
            epoch,
            schema_cookie: same.and_then(View::schema_cookie).map_or_else(ShownCookie::default, ShownCookie::of),
            pages: self.pages,
            table: self.table,
        })
    }
}

/// The files do not hold every page.
#[derive(Debug)]
pub(super) struct Incomplete;

/// How many pages a database of this size keeps in files: all but the lock page.
fn stored_pages(header: &Header) -> u32 {
    header.commit - u32::from(header.page_size.lock_page() <= header.commit)
}

/// Inherited by a forked child with its value, so that what SQLite cached before the fork is not mistaken there.
fn next_counter() -> u32 {
    static COUNTER: AtomicU32 = AtomicU32::new(1);
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

/// The files a view refers to, by position. A file that holds none of its pages any more leaves its seat to the next.
#[derive(Clone, Default)]
struct FileTable {
    seats: Vec<Seat>,
    free: Vec<u32>,
}

#[derive(Clone)]
struct Seat {
    file: Option<Arc<LtxFile>>,
    pages: u32,
}

impl FileTable {
    fn add(&mut self, file: Arc<LtxFile>) -> u32 {
        let seat = Seat { file: Some(file), pages: 0 };
        match self.free.pop() {
            Some(position) => {
                self.seats[position as usize] = seat;
                position
            }
            None => {
                self.seats.push(seat);
                (self.seats.len() - 1) as u32
            }
        }
    }

    fn used(&mut self, position: u32) {
        self.seats[position as usize].pages += 1;
    }

    fn unused(&mut self, position: u32) {
        self.seats[position as usize].pages -= 1;
        self.free_if_empty(position);
    }

    /// Frees the seat of a file that holds no page of the view.
    fn free_if_empty(&mut self, position: u32) {
        let seat = &mut self.seats[position as usize];
        if seat.pages == 0 && seat.file.take().is_some() {
            self.free.push(position);
        }
    }
}
