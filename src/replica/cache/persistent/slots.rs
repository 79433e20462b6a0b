//! The decoded pages of one file of the replica, in a sparse file of their own.
//!
//! A page has a slot, whose place follows from the page number. Groups of slots begin with a block of their trailers. A
//! trailer contains a checksum of the page, its number and the file's identity. Any process fills a slot by writing the
//! page and then the trailer, without a lock and without waiting for the disk: whatever is torn, lost, punched out or
//! damaged does not match the checksum, so that the page is absent. Two processes that fill one slot write the same
//! bytes, because the content of a file never changes.

use super::open_files::{OpenFile, OpenFiles};
use crate::ltx::{self, FileName, Level, PageSum};
use crate::pread::{read_exact_at, write_all_at};
use crate::time;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// What identifies the content of a file within its replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) struct FileIdentity {
    pub level: Level,
    pub name: FileName,
    pub size: u64,
    /// The checksum of the whole content.
    pub checksum: u64,
    pub page_size: u32,
}

impl FileIdentity {
    fn slot_file(&self) -> String {
        format!("{}.p-{:x}-{:x}-{:x}", stem(self.level, self.name), self.size, self.checksum, self.page_size)
    }
}

/// The beginning of the names of everything that is kept of a file.
pub(in crate::replica) fn stem(level: Level, name: FileName) -> String {
    format!("{level}-{:x}-{:x}", name.min.0, name.max.0)
}

/// Decides whether a page that was read from its slot may be used, given what it adds to the checksum of its file.
pub(in crate::replica) type Admission = Box<dyn Fn(u32, PageSum) -> bool + Send + Sync>;

/// Slots in a group.
pub(super) const GROUP: u64 = 256;

/// Bytes of a trailer.
pub(super) const TRAILER: usize = 16;

/// Bytes of the trailers of a group.
pub(super) const TRAILERS: usize = GROUP as usize * TRAILER;

/// How the file contains a page, as far as its checksum depends on that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) enum StoredForm {
    /// One LZ4 block of this size.
    Block(u32),
    /// An LZ4 frame.
    Frame,
    /// Unknown: the page was proven to be the same as that of another file, and was not read from this one.
    Carried,
}

/// What is stored with a page.
#[derive(Clone, Copy)]
pub(super) struct SlotTrailer {
    check: u64,
    form: u32,
    /// When the page was written, in seconds since 1970.
    pub written: u32,
}

impl SlotTrailer {
    const CARRIED: u32 = u32::MAX;

    pub(super) fn parse(bytes: &[u8; TRAILER]) -> SlotTrailer {
        let all = u128::from_le_bytes(*bytes);
        SlotTrailer { check: all as u64, form: (all >> 64) as u32, written: (all >> 96) as u32 }
    }

    fn bytes(self) -> [u8; TRAILER] {
        (u128::from(self.check) | u128::from(self.form) << 64 | u128::from(self.written) << 96).to_le_bytes()
    }

    pub(super) fn is_empty(self) -> bool {
        self.check == 0
    }

    fn form(self) -> StoredForm {
        match self.form {
            SlotTrailer::CARRIED => StoredForm::Carried,
            0 => StoredForm::Frame,
            size => StoredForm::Block(size),
        }
    }
}

impl StoredForm {
    fn number(self) -> u32 {
        match self {
            StoredForm::Block(size) => size,
            StoredForm::Frame => 0,
            StoredForm::Carried => SlotTrailer::CARRIED,
        }
    }

    /// Returns what the page adds to the checksum of the file; None if that is unknown.
    fn sum(self, pgno: u32, page: &[u8]) -> Option<PageSum> {
        match self {
            StoredForm::Block(size) => Some(ltx::page_sum(pgno, Some(size), page)),
            StoredForm::Frame => Some(ltx::page_sum(pgno, None, page)),
            StoredForm::Carried => None,
        }
    }
}

/// Returns the offset of the group that contains a page, and the position of its slot in it.
fn place(pgno: u32, page_size: u32) -> (u64, u64) {
    let slot = u64::from(pgno.saturating_sub(1));
    (slot / GROUP * group_size(page_size), slot % GROUP)
}

/// Returns the length of a group in bytes.
pub(super) fn group_size(page_size: u32) -> u64 {
    TRAILERS as u64 + GROUP * u64::from(page_size)
}

/// The slots of one file of the replica.
pub(in crate::replica) struct SlotFile {
    file: OpenFile,
    page_size: u32,
    /// Distinguishes the checksums and the parts of this file from those of other files.
    mask: u64,
    admission: Admission,
}

impl SlotFile {
    pub(super) fn new(files: &Arc<OpenFiles>, identity: &FileIdentity, admission: Admission) -> SlotFile {
        let name = identity.slot_file();
        let mask = ltx::page_checksum(1, name.as_bytes());
        SlotFile { file: files.file(name), page_size: identity.page_size, mask, admission }
    }

    pub(super) fn page_size(&self) -> u32 {
        self.page_size
    }

    pub(super) fn mask(&self) -> u64 {
        self.mask
    }

    fn trailer(&self, file: &File, pgno: u32) -> io::Result<SlotTrailer> {
        let ((group, slot), mut bytes) = (place(pgno, self.page_size), [0; TRAILER]);
        read_exact_at(file, &mut bytes, group + slot * TRAILER as u64)?;
        Ok(SlotTrailer::parse(&bytes))
    }

    fn page_range(&self, pgno: u32) -> Range<u64> {
        let (group, slot) = place(pgno, self.page_size);
        let start = group + TRAILERS as u64 + slot * u64::from(self.page_size);
        start..start + u64::from(self.page_size)
    }

    /// Returns whether a slot has a page. The page may still be damaged.
    pub(super) fn contains(&self, pgno: u32) -> bool {
        let trailer = self.file.get().and_then(|file| self.trailer(&file, pgno));
        trailer.is_ok_and(|trailer| !trailer.is_empty())
    }

    /// Returns whether a slot was filled with another page than this one. Does not read the page there, which may be damaged.
    pub(in crate::replica) fn has_other(&self, pgno: u32, page: &[u8]) -> bool {
        let trailer = self.file.get().and_then(|file| self.trailer(&file, pgno));
        trailer.is_ok_and(|trailer| {
            !trailer.is_empty() && self.check(trailer.form().sum(pgno, page), pgno, page) != trailer.check
        })
    }

    /// Reads a page. `make` creates it from a function that writes its bytes. Returns None if the slot has no page.
    pub(super) fn read<P: std::ops::Deref<Target = [u8]>>(
        &self,
        pgno: u32,
        make: impl FnOnce(&dyn Fn(&mut [u8]) -> io::Result<()>) -> io::Result<P>,
    ) -> SlotContent<P> {
        let found = self.file.get().and_then(|file| {
            let trailer = self.trailer(&file, pgno)?;
            if trailer.is_empty() {
                return Ok(None);
            }
            let page = make(&|bytes| read_exact_at(&file, bytes, self.page_range(pgno).start))?;
            Ok(Some((trailer, page)))
        });
        // Any error means that the page is fetched from the store.
        let Ok(Some((trailer, page))) = found else { return SlotContent::Absent };
        let sum = trailer.form().sum(pgno, &page);
        if self.check(sum, pgno, &page) != trailer.check {
            return SlotContent::Absent;
        }
        match sum {
            Some(sum) if !(self.admission)(pgno, sum) => SlotContent::Refused,
            _ => SlotContent::Page(page),
        }
    }

    fn check(&self, sum: Option<PageSum>, pgno: u32, page: &[u8]) -> u64 {
        // A check of 0 means that the slot is empty.
        (sum.map_or_else(|| ltx::page_checksum(pgno, page), PageSum::crc) ^ self.mask).max(1)
    }

    /// Writes a page.
    pub(super) fn write(&self, pgno: u32, page: &[u8], form: StoredForm) -> io::Result<()> {
        let file = self.file.current()?;
        let check = self.check(form.sum(pgno, page), pgno, page);
        let written = u32::try_from(time::now_ms() / 1000).unwrap_or(0);
        let trailer = SlotTrailer { check, form: form.number(), written };
        let (group, slot) = place(pgno, self.page_size);
        write_all_at(&file, page, self.page_range(pgno).start)?;
        write_all_at(&file, &trailer.bytes(), group + slot * TRAILER as u64)
    }

    /// Removes all pages.
    pub(in crate::replica) fn clear(&self) {
        self.file.remove();
    }
}

impl fmt::Debug for SlotFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotFile({})", self.file.name())
    }
}

/// What a slot contains.
pub(super) enum SlotContent<P> {
    Page(P),
    /// No page, or a damaged one.
    Absent,
    /// The pages of the file do not match its checksum.
    Refused,
}
