//! Builds a view by applying files to another view or to nothing.

use crate::ltx::{Header, IndexEntry, Level};
use crate::replica::files::integrity::Soundness;
use crate::replica::files::ltx_file::{LoadedFile, LtxFile};
use crate::replica::view::file_table::FileTable;
use crate::replica::view::number::ViewNumber;
use crate::replica::view::page_map::{PageLocation, PageMap};
use crate::replica::view::shown_cookie::ShownCookie;
use crate::replica::view::{Epoch, View};
use crate::store::{Listed, Version};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A view that is being built.
#[derive(Clone, Default)]
pub(in crate::replica) struct ViewBuilder {
    tip: Option<Arc<LtxFile>>,
    witness: Option<Version>,
    time_ms: i64,
    pages: PageMap,
    table: FileTable,
    /// The number of the view that the builder started from, and its [`View::origins`].
    before: Option<(ViewNumber, Vec<Arc<Soundness>>)>,
    /// The number of the view, if it is known.
    number: Option<ViewNumber>,
    /// The schema cookie that page 1 of the view shows, if it is known.
    schema_cookie: Option<u32>,
    /// The files that SQLite may have read the state from under that number.
    origins: Vec<Arc<Soundness>>,
}

/// A file that is being applied to a view.
pub(in crate::replica) struct FileOverlay {
    file: Arc<LtxFile>,
    /// Index in the table of files.
    index: u32,
}

impl ViewBuilder {
    /// Creates a builder that starts from a view.
    pub(in crate::replica) fn from(view: &View) -> ViewBuilder {
        let (pages, table) = (view.pages.clone(), view.table.clone());
        let (tip, witness, time_ms) = (Some(view.tip.clone()), view.witness.clone(), view.time_ms);
        let before = view.origins().map(|origins| (view.number.clone(), origins));
        ViewBuilder { tip, witness, time_ms, pages, table, before, ..ViewBuilder::default() }
    }

    /// Applies a file. Files must be applied in the order of their ends, without a hole between them.
    ///
    /// Removes the pages above the file's commit, also those of files that were applied before: such a page that is in
    /// use again later has been written again.
    pub(in crate::replica) fn apply(&mut self, loaded: &LoadedFile) {
        if loaded.is_partial {
            return self.apply_every_page(&loaded.file);
        }
        let overlay = self.begin_file(&loaded.file);
        self.add_pages(&overlay, &loaded.entries);
        self.end_file(overlay);
    }

    /// Applies a file that contains every page, and whose index has the positions. Nothing of earlier files remains.
    fn apply_every_page(&mut self, file: &Arc<LtxFile>) {
        *self = ViewBuilder::default();
        let overlay = self.begin_file(file);
        let header = &file.header;
        self.pages = PageMap::of_base(overlay.index, header.commit, header.page_size.lock_page());
        self.table.add_pages(overlay.index, self.pages.len());
        self.end_file(overlay);
    }

    /// Begins to apply a file whose index is read in pieces.
    pub(in crate::replica) fn begin_file(&mut self, file: &Arc<LtxFile>) -> FileOverlay {
        let header = &file.header;
        if self.tip.as_ref().is_some_and(|tip| tip.header.page_size != header.page_size) {
            // VACUUM with another page size rewrites every page, so no earlier page remains.
            *self = ViewBuilder::default();
        }
        FileOverlay { index: self.table.add(file.clone()), file: file.clone() }
    }

    /// Adds some of the pages of a file.
    pub(in crate::replica) fn add_pages(&mut self, overlay: &FileOverlay, entries: &[IndexEntry]) {
        let commit = overlay.file.header.commit;
        for entry in entries.iter().filter(|entry| entry.pgno <= commit) {
            let location = PageLocation { file: overlay.index, offset: entry.offset, size: entry.size };
            // If the location is out of range, the page is missing, which `finish` reports.
            if let Ok(before) = self.pages.set(entry.pgno, location) {
                self.table.add_pages(overlay.index, 1);
                before.into_iter().for_each(|file| self.table.remove_pages(file, 1));
            }
        }
    }

    /// Ends a file, after all of its pages have been added.
    pub(in crate::replica) fn end_file(&mut self, FileOverlay { index, file }: FileOverlay) {
        let table = &mut self.table;
        self.pages.truncate(file.header.commit, |file, pages| table.remove_pages(file, pages));
        self.table.free_if_empty(index);
        self.time_ms = file.header.timestamp_ms;
        self.witness = Some(file.version.clone()).filter(|_| file.level == Level::ZERO);
        self.tip = Some(file);
    }

    /// Takes the witness from a listing, unless the last file that was applied is of level 0. See [`View::witness`].
    pub(in crate::replica) fn set_witness_from(&mut self, listed: &[Listed]) {
        let last = self.tip.as_ref().map(|tip| tip.name.max);
        let own = listed.iter().find(|file| file.level == Level::ZERO && Some(file.name.max) == last);
        self.witness = self.witness.take().or_else(|| own.and_then(|own| own.version.clone()));
    }

    /// Sets an upper bound for the time of the state. A snapshot contains the time at which it was made, which can be
    /// long after its last transaction was written.
    pub(in crate::replica) fn limit_time(&mut self, ms: i64) {
        self.time_ms = self.time_ms.min(ms);
    }

    /// Gives the view the change counter that SQLite has written in the only transaction after the view that the builder started from, if
    /// possible: SQLite keeps what it has cached under that counter.
    pub(in crate::replica) fn written(&mut self, counter: u32) {
        if let Some((before, origins)) = self.before.take() {
            (self.number, self.origins) = (Some(before.after(counter)), origins);
        }
    }

    /// Gives the view the counter and the schema cookie of a view whose pages are the same, unless wrong bytes were read of it.
    pub(in crate::replica) fn same_as(&mut self, view: &View) {
        if let Some(origins) = view.origins() {
            (self.number, self.schema_cookie) = (Some(view.number.clone()), view.schema_cookie());
            self.origins = origins;
        }
    }

    /// Returns whether every page is present.
    pub(in crate::replica) fn is_complete(&self) -> bool {
        self.tip.as_ref().is_some_and(|tip| self.pages.len() >= stored_pages(&tip.header))
    }

    /// Returns the view, a state of `epoch`. Fails if a page is missing.
    ///
    /// The view keeps the counter and the schema cookie of `known` if that is the same state and no wrong bytes were
    /// read of it.
    pub(in crate::replica) fn finish(mut self, epoch: Epoch, known: Option<&View>) -> Result<View, Incomplete> {
        if !self.is_complete() {
            return Err(Incomplete);
        }
        let tip = self.tip.clone().ok_or(Incomplete)?;
        if let Some(same) = known.filter(|known| (known.epoch, known.txid()) == (epoch, tip.name.max)) {
            self.same_as(same);
        }
        Ok(View {
            tip,
            witness: self.witness,
            time_ms: self.time_ms,
            number: self.number.unwrap_or_else(ViewNumber::new),
            spoiled_number: AtomicU64::new(0),
            origins: self.origins,
            epoch,
            schema_cookie: self.schema_cookie.map_or_else(ShownCookie::default, ShownCookie::of),
            pages: self.pages,
            table: self.table,
        })
    }
}

/// The error of [`ViewBuilder::finish`]: the files do not contain every page.
#[derive(Debug)]
pub(in crate::replica) struct Incomplete;

/// Returns how many pages the files of a database of this size contain: all except the lock page.
fn stored_pages(header: &Header) -> u32 {
    header.commit - u32::from(header.page_size.lock_page() <= header.commit)
}
