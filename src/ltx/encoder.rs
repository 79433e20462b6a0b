//! Writing a file.

use super::checksum::{Checksum, FLAG, with_page};
use super::frame::{END_OF_PAGES, encode_page};
use super::index::encode_index;
use super::{Header, IndexEntry, Trailer};

/// How pages are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Form {
    /// One LZ4 block behind its size, as it is written today.
    #[default]
    Block,
    /// One LZ4 frame, as ltx before 0.5.2 wrote it. For tests of reading old replicas.
    Frame,
}

/// Builds a file in memory.
///
/// ```
/// use litestream_vfs::ltx::{Encoder, Form, Header, PageSize, Txid, verify};
///
/// let header = Header {
///     flags: Header::NO_CHECKSUMS,
///     page_size: PageSize::new(512).unwrap(),
///     commit: 1,
///     min_txid: Txid(1),
///     max_txid: Txid(1),
///     timestamp_ms: 0,
///     pre_apply_checksum: 0,
///     wal_offset: 0,
///     wal_size: 0,
///     wal_salt: [0, 0],
///     node_id: 0,
/// };
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
    /// Of the pages so far.
    database: u64,
    post_apply: Option<u64>,
}

impl Encoder {
    /// Begins a file. Its flags say whether it keeps checksums of the database.
    ///
    /// # Panics
    ///
    /// If the header is not valid, see [`Header::validate`].
    pub fn new(header: Header, form: Form) -> Encoder {
        if let Err(error) = header.validate() {
            panic!("no file can be written: {error}");
        }
        let file = header.encode().to_vec();
        let mut checksum = Checksum::new();
        checksum.update(&file);
        Encoder { header, form, file, entries: Vec::new(), checksum, database: FLAG, post_apply: None }
    }

    /// Adds a page: in ascending order, in a file from transaction 1 on all of them but the lock page.
    ///
    /// # Panics
    ///
    /// If it is the lock page, not above the page before, above commit, or of another length than the page size.
    pub fn page(&mut self, pgno: u32, page: &[u8]) {
        let previous = self.entries.last().map_or(0, |entry| entry.pgno);
        assert!(pgno > previous, "page {pgno} comes after page {previous}");
        assert!(pgno <= self.header.commit, "page {pgno} is above the commit of {}", self.header.commit);
        assert_ne!(pgno, self.header.page_size.lock_page(), "the lock page is in no file");
        assert_eq!(page.len(), self.header.page_size.get() as usize, "page {pgno} has another length");
        let offset = self.file.len();
        let head = encode_page(pgno, page, self.form, &mut self.file);
        self.checksum.update(&self.file[offset..offset + head]);
        self.checksum.update(page);
        if self.header.has_checksums() {
            self.database = with_page(self.database, pgno, page);
        }
        let size = (self.file.len() - offset) as u32;
        self.entries.push(IndexEntry { pgno, offset: offset as u64, size });
    }

    /// Gives the checksum of the database after the file, with bit 63 set. A file that keeps checksums needs it,
    /// unless it begins at transaction 1: then it is that of its pages.
    pub fn post_apply_checksum(&mut self, checksum: u64) {
        self.post_apply = Some(checksum);
    }

    /// Ends the file and gives its bytes.
    ///
    /// # Panics
    ///
    /// If the file keeps checksums and was not given the one after it, or begins at transaction 1 and lacks pages.
    pub fn finish(mut self) -> Vec<u8> {
        let post_apply_checksum = self.post_apply_of_pages();
        let from = self.file.len();
        self.file.extend_from_slice(&END_OF_PAGES);
        let index = self.file.len();
        encode_index(&self.entries, &mut self.file);
        let length = (self.file.len() - index) as u64;
        self.file.extend_from_slice(&length.to_be_bytes());
        self.file.extend_from_slice(&post_apply_checksum.to_be_bytes());
        self.checksum.update(&self.file[from..]);
        let trailer = Trailer { post_apply_checksum, file_checksum: self.checksum.finish() };
        self.file.truncate(self.file.len() - size_of_val(&post_apply_checksum));
        self.file.extend_from_slice(&trailer.encode());
        self.file
    }

    fn post_apply_of_pages(&self) -> u64 {
        if self.header.is_snapshot() {
            let lock_page = u32::from(self.header.commit >= self.header.page_size.lock_page());
            let (pages, commit) = (self.entries.len() as u32, self.header.commit);
            assert_eq!(pages + lock_page, commit, "a file from transaction 1 on has every page");
        }
        match (self.header.has_checksums(), self.header.is_snapshot()) {
            (false, _) => 0,
            (true, true) => self.database,
            (true, false) => self.post_apply.expect("the checksum of the database after the file was given"),
        }
    }
}
