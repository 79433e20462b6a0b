//! The pages that a transaction has written.

use crate::error::{Error, ErrorKind};
use crate::ltx::PageSize;
use crate::scratch::Scratch;
use std::collections::BTreeMap;

/// How many bytes of pages are kept in memory.
const IN_MEMORY: usize = 16 << 20;

/// How many bytes of pages a transaction may write. They become one file, which is put in one request.
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// The pages that a transaction has written, over those of the state that it began with. They are in memory and, if they are many, in a
/// temporary file.
#[derive(Debug)]
pub struct Overlay {
    /// None before the first write to a new database.
    page_size: Option<PageSize>,
    /// The place of each page in `content`, counted in pages.
    places: BTreeMap<u32, u64>,
    free: Vec<u64>,
    content: Scratch,
    /// Size of the database in bytes.
    size: u64,
    /// The schema cookie from which SQLite has counted on.
    base_cookie: Option<u32>,
}

/// A function that fills a buffer with a page of the state that the transaction began with, or with zeros if it does not have the page.
pub type BasePage<'a> = &'a dyn Fn(u32, &mut [u8]) -> Result<(), Error>;

impl Overlay {
    /// Creates an overlay without pages, over a state with pages of `page_size` and `size` bytes in all. A new database has neither.
    pub fn new(page_size: Option<u32>, size: u64) -> Overlay {
        Overlay {
            page_size: page_size.and_then(PageSize::new),
            places: BTreeMap::new(),
            free: Vec::new(),
            content: Scratch::new(IN_MEMORY),
            size,
            base_cookie: None,
        }
    }

    /// Sets the schema cookie from which SQLite has counted on, if it is not the one that the state shows.
    pub fn began_with_cookie(&mut self, cookie: u32) {
        self.base_cookie = Some(cookie);
    }

    pub(super) fn base_cookie(&self) -> Option<u32> {
        self.base_cookie
    }

    /// Returns the size of the database in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether the transaction has written nothing, and has not changed the size from `size` bytes.
    pub fn is_empty(&self, size: u64) -> bool {
        self.places.is_empty() && self.size == size
    }

    /// Returns the page size; None before the first write to a new database.
    pub fn page_size(&self) -> Option<PageSize> {
        self.page_size
    }

    /// Returns the numbers of the pages that were written, in ascending order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.places.keys().copied()
    }

    /// Fills `bytes` with those of a page from `start` on. Returns false if the transaction has not written the page.
    pub fn read(&self, pgno: u32, start: usize, bytes: &mut [u8]) -> Result<bool, Error> {
        let (Some(place), Some(page_size)) = (self.places.get(&pgno), self.page_size) else { return Ok(false) };
        let offset = place * u64::from(page_size.get()) + start as u64;
        self.content.read(bytes, offset).map_err(|cause| broken("read", cause))?;
        Ok(true)
    }

    /// Writes bytes at an offset of the database. `base` supplies a page of which only a part is written.
    pub fn write(&mut self, mut bytes: &[u8], mut offset: u64, base: BasePage<'_>) -> Result<(), Error> {
        // SQLite writes whole pages, so the first write to a new database has the page size.
        let written = || u32::try_from(bytes.len()).ok().and_then(PageSize::new);
        let page_size =
            self.page_size.or_else(written).ok_or_else(|| Error::internal("the first write is not a page"))?;
        self.page_size = Some(page_size);
        let length = u64::from(page_size.get());
        while !bytes.is_empty() {
            let pgno = u32::try_from(offset / length + 1).map_err(|_| Error::internal("a write beyond any page"))?;
            let start = (offset % length) as usize;
            let (part, rest) = bytes.split_at(bytes.len().min(length as usize - start));
            self.write_page(pgno, start, part, base)?;
            offset += part.len() as u64;
            bytes = rest;
        }
        self.size = self.size.max(offset);
        Ok(())
    }

    fn write_page(&mut self, pgno: u32, start: usize, part: &[u8], base: BasePage<'_>) -> Result<(), Error> {
        let Some(page_size) = self.page_size else { return Ok(()) };
        let length = page_size.get() as usize;
        let known = self.places.get(&pgno).copied();
        let place = match known {
            Some(place) => place,
            None => self.new_place(length as u64)?,
        };
        let offset = place * length as u64;
        if known.is_none() && part.len() < length {
            let mut page = vec![0; length];
            base(pgno, &mut page)?;
            self.content.write(&page, offset).map_err(|cause| broken("written", cause))?;
        }
        self.content.write(part, offset + start as u64).map_err(|cause| broken("written", cause))?;
        self.places.insert(pgno, place);
        Ok(())
    }

    fn new_place(&mut self, length: u64) -> Result<u64, Error> {
        if let Some(place) = self.free.pop() {
            return Ok(place);
        }
        let end = self.content.length();
        if end + length > MAX_BYTES {
            let message = format!("the transaction changes more than {} MiB of pages", MAX_BYTES >> 20);
            return Err(Error::new(ErrorKind::TooLarge, message)
                .remedy("divide it: a transaction becomes one file in the replica"));
        }
        Ok(end / length)
    }

    /// Changes the size of the database, in bytes. Drops the pages beyond.
    pub fn truncate(&mut self, size: u64) {
        self.size = size;
        let Some(page_size) = self.page_size else { return };
        let first = u32::try_from(size.div_ceil(u64::from(page_size.get())) + 1).unwrap_or(u32::MAX);
        self.free.extend(self.places.split_off(&first).into_values());
    }
}

fn broken(what: &str, cause: std::io::Error) -> Error {
    let message = format!("the temporary file with the pages of the transaction cannot be {what}: {cause}");
    let remedy = match cause.kind() {
        std::io::ErrorKind::ResourceBusy => "roll the transaction back, and run it again in this process",
        _ => "free space in the directory for temporary files, or set SQLITE_TMPDIR",
    };
    Error::new(ErrorKind::Exhausted, message).remedy(remedy).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn it_equals_a_file_below_and_above_its_memory() {
        const SIZE: usize = 4096;
        let base = |pgno: u32, page: &mut [u8]| {
            page.fill(if pgno <= 3 { pgno as u8 } else { 0 });
            Ok(())
        };
        let mut overlay = Overlay::new(Some(SIZE as u32), 3 * SIZE as u64);
        assert!(overlay.is_empty(3 * SIZE as u64));
        let mut pages: HashMap<u32, Vec<u8>> = HashMap::new();
        // 5000 pages are more than the overlay keeps in memory.
        for (round, pgno) in (0..2u32).flat_map(|round| (2..=5001u32).map(move |pgno| (round, pgno))) {
            let page = vec![(pgno as u8).wrapping_mul(7).wrapping_add(round as u8); SIZE];
            overlay.write(&page, u64::from(pgno - 1) * SIZE as u64, &base).expect("it is written");
            pages.insert(pgno, page);
        }
        assert_eq!(overlay.size(), 5001 * SIZE as u64);
        overlay.truncate(4000 * SIZE as u64);
        pages.retain(|pgno, _| *pgno <= 4000);
        // A part of a page, across a boundary: the rest comes from below.
        overlay.write(&[9; 20], SIZE as u64 - 10, &base).expect("it is written");
        let mut first = vec![1; SIZE];
        first[SIZE - 10..].fill(9);
        pages.insert(1, first);
        pages.get_mut(&2).expect("page 2")[..10].fill(9);
        assert_eq!(overlay.numbers().collect::<Vec<_>>(), (1..=4000).collect::<Vec<_>>());
        for (pgno, expected) in pages {
            let mut page = vec![0; SIZE];
            assert!(overlay.read(pgno, 0, &mut page).expect("it is read"));
            assert_eq!(page, expected, "page {pgno}");
        }
        assert!(!overlay.read(4001, 0, &mut [0; SIZE]).expect("no page"));
    }

    #[test]
    fn the_first_write_decides_the_page_size_of_a_new_database() {
        let base = |_: u32, page: &mut [u8]| {
            page.fill(0);
            Ok(())
        };
        let mut overlay = Overlay::new(None, 0);
        overlay.write(&[1; 1024], 0, &base).expect("it is written");
        overlay.write(&[2; 1024], 1024, &base).expect("it is written");
        assert_eq!((overlay.page_size().map(PageSize::get), overlay.size()), (Some(1024), 2048));
        overlay.truncate(0);
        assert!(overlay.is_empty(0));
    }
}
