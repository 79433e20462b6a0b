//! Whether the bytes of a file match its checksum.
//!
//! A frame has no checksum of its own, so a page can be decoded and still be wrong. Therefore every page that is
//! fetched is added to the sum of its file ([`FileSums`]), in any order and whichever reader fetched it. Once all pages
//! have been added, the sum is compared with the checksum of the file. A page that is fetched again is compared with
//! the first fetch.

use crate::lock::Mutex;
use crate::ltx::{self, FileSums, Outline, PageSum};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// What is known about the bytes of one file. All readers of the file share it.
#[derive(Default, Debug)]
pub(in crate::replica) struct Integrity {
    state: AtomicU8,
    /// Set if pages were read that do not match the checksum: nothing of the file may be served any more.
    spoiled: OnceLock<ltx::LtxError>,
    sums: Mutex<Option<FileSums>>,
    /// Whether fetching the pages that no reader requested has begun.
    completing: AtomicBool,
}

/// Not all pages have been fetched.
const UNKNOWN: u8 = 0;
/// All bytes have been read and match the checksum.
const VERIFIED: u8 = 1;
/// Some bytes were wrong: the file must be read whole before more of it is used.
const DOUBTED: u8 = 2;

/// Once no more than one of this many pages of a file is missing, the missing ones are fetched too, so that the file
/// can be verified.
const NEARLY_ALL: u32 = 8;

/// The result of adding pages to the sum of their file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::replica) enum IntegrityVerdict {
    /// No page is known to be wrong.
    Sound,
    /// No page is known to be wrong, and few pages are missing. Returned once per file.
    NearlyWhole,
    /// These pages, or pages that were added before, do not match the checksum of the file.
    Spoiled(ltx::LtxError),
}

impl Integrity {
    /// Starts the sum of the file's pages, unless it was started before.
    pub(in crate::replica) fn track(&self, outline: Outline) {
        self.sums.lock().get_or_insert_with(|| FileSums::new(outline));
    }

    /// Adds fetched pages to the sum.
    pub(in crate::replica) fn add(&self, pages: &[(u32, PageSum)]) -> IntegrityVerdict {
        match self.add_to_sum(pages) {
            Err(cause) => IntegrityVerdict::Spoiled(cause),
            Ok(true) if !self.completing.swap(true, Ordering::Relaxed) => IntegrityVerdict::NearlyWhole,
            Ok(_) => IntegrityVerdict::Sound,
        }
    }

    /// Adds a page from the cache directory to the sum. Returns whether pages of the file may be used.
    pub(in crate::replica) fn admits(&self, pgno: u32, sum: PageSum) -> bool {
        self.spoiled().is_none() && self.add_to_sum(&[(pgno, sum)]).is_ok()
    }

    /// Adds pages to the sum. Returns whether only few pages are missing.
    fn add_to_sum(&self, pages: &[(u32, PageSum)]) -> Result<bool, ltx::LtxError> {
        let mut sums = self.sums.lock();
        let Some(sums) = sums.as_mut() else { return Ok(false) };
        let before = sums.missing();
        if let Err(cause) = sums.add(pages) {
            return Err(self.spoil(cause).clone());
        }
        let missing = sums.missing();
        if missing == Some(0) && before != Some(0) {
            // A doubted file stays doubted until it is read whole.
            let _ = self.state.compare_exchange(UNKNOWN, VERIFIED, Ordering::Relaxed, Ordering::Relaxed);
        }
        Ok(!self.is_verified() && missing.is_some_and(|missing| missing > 0 && missing <= sums.pages() / NEARLY_ALL))
    }

    /// Returns whether a page has been added to the sum.
    pub(in crate::replica) fn has(&self, pgno: u32) -> bool {
        self.sums.lock().as_ref().is_some_and(|sums| sums.has(pgno))
    }

    /// Returns whether the whole file has been read and matches its checksum.
    pub(in crate::replica) fn is_verified(&self) -> bool {
        self.state.load(Ordering::Relaxed) == VERIFIED && self.spoiled.get().is_none()
    }

    /// Returns why nothing of the file may be served any more, or None if it may.
    pub(in crate::replica) fn spoiled(&self) -> Option<&ltx::LtxError> {
        self.spoiled.get()
    }

    /// Returns whether the file must be read whole before it is used again.
    pub(in crate::replica) fn is_doubted(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DOUBTED || self.spoiled.get().is_some()
    }

    /// Records that the whole file has been read and matches its checksum.
    pub(in crate::replica) fn mark_verified(&self) {
        self.state.store(VERIFIED, Ordering::Relaxed);
    }

    /// Records that some bytes were wrong.
    pub(in crate::replica) fn doubt(&self) {
        self.state.store(DOUBTED, Ordering::Relaxed);
    }

    /// Records that the content does not match the checksum. This is final: reading the file again creates a new
    /// [`LtxFile`](super::ltx_file::LtxFile).
    pub(in crate::replica) fn spoil(&self, cause: ltx::LtxError) -> &ltx::LtxError {
        self.spoiled.get_or_init(|| cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::Level;
    use crate::replica::testing::one_page::{file, name};
    use crate::replica::{CacheLimits, Replica};
    use crate::store::Memory;
    use std::sync::Arc;
    use std::time::Duration;

    #[tokio::test]
    async fn a_file_read_whole_is_verified_and_a_doubted_one_stays_doubted_until_then() {
        let store = Arc::new(Memory::new());
        store.insert(Level::ZERO, name(1), file(1));
        let replica = Arc::new(Replica::new(store, CacheLimits { memory: 0, disk: 0 }, Duration::from_secs(1)));
        replica.poll(Duration::ZERO).await.expect("a view");
        let view = replica.head().expect("a view");
        let integrity = &view.tip().integrity;
        assert!(integrity.is_verified() && !integrity.is_doubted());
        integrity.doubt();
        assert!(integrity.is_doubted() && !integrity.is_verified() && !view.is_spoiled());
        integrity.mark_verified();
        assert!(integrity.is_verified() && !integrity.is_doubted());
        integrity.spoil(ltx::LtxError::PageDiffers(1));
        assert!(integrity.is_doubted() && view.is_spoiled());
        integrity.mark_verified();
        assert!(integrity.is_doubted() && view.is_spoiled());
    }
}
