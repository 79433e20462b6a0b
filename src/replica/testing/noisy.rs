//! A store with wrong bytes, and the files of a database whose content is known.

use crate::lock::Mutex;
use crate::ltx::{Encoder, FileName, Form, Level, Txid, verify};
use crate::replica::testing::{header, random_page};
use crate::store::{Chunk, Listed, Memory, Store, StoreError, Version};
use async_trait::async_trait;
use std::fmt;
use std::ops::Range;

const PAGE_SIZE: usize = 512;

/// The size of the database in pages.
pub(super) const PAGES: u32 = 1500;

/// A store in memory whose files or responses have flipped bits.
#[derive(Debug, Default)]
pub(super) struct Noisy {
    pub files: Memory,
    /// The offset of a bit that is flipped in responses, and in how many of them.
    flip: Mutex<Option<(FileName, u64, u32)>>,
}

impl Noisy {
    /// Stores the undamaged file of some transactions.
    pub(super) fn insert(&self, level: Level, name: FileName) {
        self.files.insert(level, name, file(name));
    }

    /// Stores a file with one bit flipped.
    pub(super) fn damage(&self, level: Level, name: FileName, at: usize) {
        let mut file = file(name);
        file[at] ^= 1;
        self.files.insert(level, name, file);
    }

    /// Flips a bit of the next `times` responses that contain it.
    pub(super) fn flip(&self, name: FileName, at: usize, times: u32) {
        *self.flip.lock() = Some((name, at as u64, times));
    }

    /// Returns whether all those responses were sent.
    pub(super) fn has_flipped(&self) -> bool {
        self.flip.lock().is_some_and(|(.., times)| times == 0)
    }
}

impl fmt::Display for Noisy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://noisy")
    }
}

#[async_trait]
impl Store for Noisy {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        self.files.list(level, from).await
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let chunk = self.files.read(level, name, range.clone(), expected).await?;
        let mut flip = self.flip.lock();
        match &mut *flip {
            Some((file, at, times)) if *file == name && range.contains(at) && *times > 0 => {
                *times -= 1;
                let mut bytes = chunk.bytes.to_vec();
                bytes[(*at - range.start) as usize] ^= 1;
                Ok(Chunk { bytes: bytes.into(), ..chunk })
            }
            _ => Ok(chunk),
        }
    }
}

/// Returns the content of a page in the state after transaction `txid`. Transaction *n* writes each page whose number is a
/// multiple of *n*, so the first writes all of them.
pub(super) fn content_at(pgno: u32, txid: u64) -> Vec<u8> {
    let last = (1..=txid).rev().find(|txid| u64::from(pgno).is_multiple_of(*txid));
    random_page(pgno, PAGE_SIZE, last.expect("the first writes every page"))
}

/// Returns the file of some transactions.
pub(super) fn file(name: FileName) -> Vec<u8> {
    let mut encoder = Encoder::new(header(PAGE_SIZE, PAGES, name.min, name.max), Form::Block);
    let is_written = |pgno: &u32| (name.min.0..=name.max.0).any(|txid| u64::from(*pgno).is_multiple_of(txid));
    (1..=PAGES).filter(is_written).for_each(|pgno| encoder.page(pgno, &content_at(pgno, name.max.0)));
    encoder.finish()
}

/// Returns the range of a page's frame in a file.
pub(super) fn frame(name: FileName, pgno: u32) -> Range<usize> {
    let entries = verify(&file(name)).expect("an undamaged file").entries;
    let range = entries.iter().find(|entry| entry.pgno == pgno).expect("a page of the file").range();
    range.start as usize..range.end as usize
}

/// Returns the offset of a byte that decodes to a byte of the page: one of the literals at the end of its frame.
pub(super) fn literal(name: FileName, pgno: u32) -> usize {
    frame(name, pgno).end - 20
}
