//! Reads of an open replica file.

use super::DbFile;
use super::page1::Page1Header;
use super::snapshot::Snapshot;
use crate::error::Error;
use crate::ltx::PageSize;
use crate::replica::{Page, View};
use std::ops::Range;
use std::sync::Arc;

/// The extent of a read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filled {
    /// The whole buffer was filled from the file.
    Whole,
    /// The file ends before the end of the buffer, whose rest was filled with zeros.
    Short,
}

impl DbFile {
    /// Returns the size in bytes.
    pub fn size(&self) -> Result<u64, Error> {
        match &*self.writing.borrow() {
            Some(transaction) => Ok(transaction.overlay.size()),
            None => Ok(self.snapshot()?.size()),
        }
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> Result<Filled, Error> {
        let available = self.size()?.saturating_sub(offset);
        let length = usize::try_from(available).unwrap_or(usize::MAX).min(buffer.len());
        let (inside, beyond) = buffer.split_at_mut(length);
        self.read_inside(inside, offset)?;
        beyond.fill(0);
        Ok(if beyond.is_empty() { Filled::Whole } else { Filled::Short })
    }

    /// Fills `buffer` from pages that exist.
    fn read_inside(&self, mut buffer: &mut [u8], mut offset: u64) -> Result<(), Error> {
        let snapshot = self.snapshot()?;
        let page_size = match snapshot.view() {
            Some(view) => u64::from(view.page_size()),
            None => u64::from(self.new_page_size().map_or(u32::MAX, PageSize::get)),
        };
        while !buffer.is_empty() {
            // Neither cast truncates: the offset is inside the file, whose page numbers are u32, and pages have at most 65536 bytes.
            let (pgno, start) = ((offset / page_size + 1) as u32, (offset % page_size) as usize);
            let (part, rest) = buffer.split_at_mut(buffer.len().min(page_size as usize - start));
            if !self.read_written(pgno, start, part)? {
                self.read_base(&snapshot, pgno, start, part)?;
                if pgno == 1 {
                    self.shown.has_read(part, start);
                }
            }
            offset += part.len() as u64;
            buffer = rest;
        }
        Ok(())
    }

    /// Returns the page size of a new database, once the transaction has written a page.
    fn new_page_size(&self) -> Option<PageSize> {
        self.writing.borrow().as_ref()?.overlay.page_size()
    }

    /// Fills `part` with the bytes of a page from `start` on, if the transaction has written it. Returns whether it has.
    fn read_written(&self, pgno: u32, start: usize, part: &mut [u8]) -> Result<bool, Error> {
        self.writing.borrow().as_ref().map_or(Ok(false), |transaction| transaction.overlay.read(pgno, start, part))
    }

    /// Fills `part` with the bytes of a page from `start` on, without what the transaction has written. A page that the state does not have
    /// reads as zeros.
    pub(super) fn read_base(&self, snapshot: &Snapshot, pgno: u32, start: usize, part: &mut [u8]) -> Result<(), Error> {
        let Some(view) = snapshot.view().filter(|view| pgno <= view.commit()) else {
            part.fill(0);
            return Ok(());
        };
        let check = self.interrupt_check();
        let page = self.connection.page(view, pgno, &|| check.interrupted())?;
        match page.as_ref().map(|page| page.get(start..start + part.len())) {
            Some(Some(bytes)) => part.copy_from_slice(bytes),
            Some(None) => return Err(Error::internal(&format!("page {pgno} is too short"))),
            // The lock page.
            None => part.fill(0),
        }
        if let (1, Some(page)) = (pgno, &page) {
            self.header(view, page, start..start + part.len())?.patch(part, start);
        }
        Ok(())
    }

    /// Returns the header fields for a part of page 1.
    fn header(&self, view: &Arc<View>, page_1: &Page, part: Range<usize>) -> Result<Page1Header, Error> {
        let (counter, commit) = (self.shown.counter_of(view), view.commit());
        let schema_cookie = match Page1Header::includes_schema_cookie(part) {
            true => {
                let check = self.interrupt_check();
                let assigned = self.connection.schema_cookie(view, page_1, &|| check.interrupted())?;
                Some(self.shown.cookie_of(assigned))
            }
            // SQLite reads the change counter at the start of each transaction, which must not wait for pages of the schema.
            false => None,
        };
        Ok(Page1Header { counter, commit, schema_cookie })
    }
}
