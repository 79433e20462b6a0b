//! Writing LTX files.

use super::checksum::{Checksum, FLAG, with_page};
use super::frame::{Form, copy_frame, encode_page};
use super::index::encode_index;
use super::page_header::END_OF_PAGES;
use super::{Header, IndexEntry, Trailer};

/// Writes a file into memory.
///
/// ```
/// use litestream_vfs::ltx::{Encoder, FileName, Form, Header, PageSize, Txid, verify};
///
/// let header = Header::plain(PageSize::new(512).unwrap(), 1, FileName::of(Txid(1)));
/// let mut encoder = Encoder::new(header, Form::Block);
/// encoder.page(1, &[7; 512]);
/// let file = encoder.finish();
/// assert_eq!(verify(&file).unwrap().entries[0].pgno, 1);
/// ```
#[derive(Debug)]
pub struct Encoder {
    header: Header,
    form: Form,
    file: Vec<u8>,
    entries: Vec<IndexEntry>,
    checksum: Checksum,
    /// The checksum of the database so far.
    database: u64,
    post_apply: Option<u64>,
}

impl Encoder {
    /// Starts a file. The flags of the header decide whether it contains checksums of the database.
    ///
    /// # Panics
    ///
    /// If the header is invalid, see [`Header::validate`].
    pub fn new(header: Header, form: Form) -> Encoder {
        if let Err(error) = header.validate() {
            panic!("no file can be written: {error}");
        }
        let file = header.encode().to_vec();
        let mut checksum = Checksum::new();
        checksum.update(&file);
        Encoder { header, form, file, entries: Vec::new(), checksum, database: FLAG, post_apply: None }
    }

    /// Adds a page. Pages must be in ascending order. A file that starts at transaction 1 must contain all pages except the lock page.
    ///
    /// # Panics
    ///
    /// If the page is the lock page, is not above the previous page, is above `commit`, or does not have the page size.
    pub fn page(&mut self, pgno: u32, page: &[u8]) {
        let form = self.form;
        self.add(pgno, page, |file| encode_page(pgno, page, form, file));
    }

    /// Adds a page as [`Encoder::page`] does, with the LZ4 block of its frame in another file. The page is compressed again if it is in an
    /// LZ4 frame there. `page` is what [`decode_page`](super::decode_page) returned for `frame`.
    ///
    /// # Panics
    ///
    /// As [`Encoder::page`], and if the form of this file is not [`Form::Block`].
    pub fn copy(&mut self, pgno: u32, frame: &[u8], page: &[u8]) {
        assert_eq!(self.form, Form::Block, "only LZ4 blocks are copied");
        self.add(pgno, page, |file| copy_frame(pgno, frame, page, file));
    }

    /// Reserves memory for at least so many more bytes of the file.
    pub fn reserve(&mut self, bytes: usize) {
        self.file.reserve_exact(bytes);
    }

    fn add(&mut self, pgno: u32, page: &[u8], write_frame: impl FnOnce(&mut Vec<u8>) -> usize) {
        let previous = self.entries.last().map_or(0, |entry| entry.pgno);
        assert!(pgno > previous, "page {pgno} comes after page {previous}");
        assert!(pgno <= self.header.commit, "page {pgno} is above the commit of {}", self.header.commit);
        assert_ne!(pgno, self.header.page_size.lock_page(), "no file contains the lock page");
        assert_eq!(page.len(), self.header.page_size.get() as usize, "page {pgno} does not have the page size");
        let offset = self.file.len();
        let head = write_frame(&mut self.file);
        self.checksum.update(&self.file[offset..offset + head]);
        self.checksum.update(page);
        if self.header.has_checksums() {
            self.database = with_page(self.database, pgno, page);
        }
        let size = (self.file.len() - offset) as u32;
        self.entries.push(IndexEntry { pgno, offset: offset as u64, size });
    }

    /// Sets the checksum of the database after the file, with bit 63 set. A file with checksums needs it, unless it starts at
    /// transaction 1: then the checksum is computed from its pages.
    pub fn post_apply_checksum(&mut self, checksum: u64) {
        self.post_apply = Some(checksum);
    }

    /// Ends the file and returns its bytes.
    ///
    /// # Panics
    ///
    /// If the file has checksums but [`post_apply_checksum`](Encoder::post_apply_checksum) was not called, or if it starts at
    /// transaction 1 and lacks pages.
    pub fn finish(mut self) -> Vec<u8> {
        let post_apply_checksum = self.final_checksum();
        let start = self.file.len();
        self.file.extend_from_slice(&END_OF_PAGES);
        let index_start = self.file.len();
        encode_index(&self.entries, &mut self.file);
        let length = (self.file.len() - index_start) as u64;
        self.file.extend_from_slice(&length.to_be_bytes());
        self.file.extend_from_slice(&post_apply_checksum.to_be_bytes());
        self.checksum.update(&self.file[start..]);
        let trailer = Trailer { post_apply_checksum, file_checksum: self.checksum.finish() };
        self.file.truncate(self.file.len() - size_of_val(&post_apply_checksum));
        self.file.extend_from_slice(&trailer.encode());
        self.file
    }

    /// Returns the checksum of the database after the file.
    fn final_checksum(&self) -> u64 {
        if self.header.is_snapshot() {
            let lock_page = u32::from(self.header.commit >= self.header.page_size.lock_page());
            let (pages, commit) = (self.entries.len() as u32, self.header.commit);
            assert_eq!(pages + lock_page, commit, "a file that starts at transaction 1 has every page");
        }
        match (self.header.has_checksums(), self.header.is_snapshot()) {
            (false, _) => 0,
            (true, true) => self.database,
            (true, false) => self.post_apply.expect("post_apply_checksum was called"),
        }
    }
}
