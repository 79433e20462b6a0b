//! Whether the bytes of a file match its checksum.
//!
//! A frame has no checksum of its own, so a page can be decoded and still be wrong. Therefore every page that is
//! fetched is added to the sum of its file ([`FileSums`]), in any order and whichever reader fetched it. Once all pages
//! have been added, the sum is compared with the checksum of the file. A page that is fetched again is compared with
//! the first fetch.

use crate::lock::Mutex;
use crate::ltx::{self, FileSums, IndexSum, Outline, PageSum};
use crate::process::PerProcess;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

/// What is known about the bytes of one file. All readers of the file share it.
#[derive(Default, Debug)]
pub(in crate::replica) struct Integrity {
    soundness: Arc<Soundness>,
    /// The child of a fork begins with none, because another thread of its parent may hold the lock.
    sums: PerProcess<Mutex<Option<FileSums>>>,
    /// Whether fetching the pages that no reader requested has begun.
    completing: AtomicBool,
}

/// Whether the bytes of a file match its checksum, as far as that is known. Outlives what was read of the file.
#[derive(Default, Debug)]
pub(in crate::replica) struct Soundness {
    state: AtomicU8,
    /// Set if pages were read that do not match the checksum: nothing of the file may be served any more.
    spoiled: OnceLock<ltx::LtxError>,
}

/// Whether any file of this process is spoiled.
static ANY_SPOILED: AtomicBool = AtomicBool::new(false);

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
    /// Starts the sum of the file's pages, unless it was started before. Then only the sum of the index is taken.
    pub(in crate::replica) fn track(&self, outline: Outline) {
        let mut sums = self.sums().lock();
        match &mut *sums {
            Some(sums) => drop(self.note(sums, |sums| sums.set_index(outline.index()))),
            None => *sums = Some(FileSums::new(outline)),
        }
    }

    /// Adds fetched pages to the sum.
    pub(in crate::replica) fn add(&self, pages: &[(u32, PageSum)]) -> IntegrityVerdict {
        self.verdict(self.note_tracked(|sums| sums.add(pages)))
    }

    /// Adds a page from the cache directory to the sum. Returns whether pages of the file may be used.
    pub(in crate::replica) fn admits(&self, pgno: u32, sum: PageSum) -> bool {
        self.spoiled().is_none() && self.note_tracked(|sums| sums.add(&[(pgno, sum)])).is_ok()
    }

    /// Adds bytes of the index that were not added before. `at` is their position in the index.
    pub(in crate::replica) fn add_index(&self, at: u64, bytes: &[u8]) -> IntegrityVerdict {
        self.verdict(self.note_tracked(|sums| sums.add_index(at, bytes)))
    }

    /// Takes the sum of the whole index.
    pub(in crate::replica) fn set_index(&self, index: IndexSum) -> IntegrityVerdict {
        self.verdict(self.note_tracked(|sums| sums.set_index(index)))
    }

    fn sums(&self) -> &Mutex<Option<FileSums>> {
        self.sums.get_or_init(Mutex::default)
    }

    fn verdict(&self, noted: Result<bool, ltx::LtxError>) -> IntegrityVerdict {
        match noted {
            Err(cause) => IntegrityVerdict::Spoiled(cause),
            Ok(true) if !self.completing.swap(true, Ordering::Relaxed) => IntegrityVerdict::NearlyWhole,
            Ok(_) => IntegrityVerdict::Sound,
        }
    }

    fn note_tracked(
        &self,
        add: impl FnOnce(&mut FileSums) -> Result<(), ltx::LtxError>,
    ) -> Result<bool, ltx::LtxError> {
        self.sums().lock().as_mut().map_or(Ok(false), |sums| self.note(sums, add))
    }

    /// Adds something to the sum, and compares it once it is complete. Returns whether only few pages are missing.
    fn note(
        &self,
        sums: &mut FileSums,
        add: impl FnOnce(&mut FileSums) -> Result<(), ltx::LtxError>,
    ) -> Result<bool, ltx::LtxError> {
        let was_complete = sums.is_complete();
        if let Err(cause) = add(sums) {
            return Err(self.spoil(cause).clone());
        }
        if sums.is_complete() && !was_complete {
            // A doubted file stays doubted until it is read whole.
            let _ = self.soundness.state.compare_exchange(UNKNOWN, VERIFIED, Ordering::Relaxed, Ordering::Relaxed);
        }
        let is_nearly_whole = sums.missing().is_some_and(|missing| missing <= sums.pages() / NEARLY_ALL);
        Ok(is_nearly_whole && !sums.is_complete() && !self.is_verified())
    }

    /// Returns whether a page has been added to the sum.
    pub(in crate::replica) fn has(&self, pgno: u32) -> bool {
        self.sums().lock().as_ref().is_some_and(|sums| sums.has(pgno))
    }

    /// Returns whether the whole file has been read and matches its checksum.
    pub(in crate::replica) fn is_verified(&self) -> bool {
        self.soundness.is_verified()
    }

    /// Returns why nothing of the file may be served any more, or None if it may.
    pub(in crate::replica) fn spoiled(&self) -> Option<&ltx::LtxError> {
        self.soundness.spoiled.get()
    }

    /// Returns what is known about the bytes, without the bytes.
    pub(in crate::replica) fn soundness(&self) -> &Arc<Soundness> {
        &self.soundness
    }

    /// Returns whether the file must be read whole before it is used again.
    pub(in crate::replica) fn is_doubted(&self) -> bool {
        self.soundness.state.load(Ordering::Relaxed) == DOUBTED || self.spoiled().is_some()
    }

    /// Records that the whole file has been read and matches its checksum.
    pub(in crate::replica) fn mark_verified(&self) {
        self.soundness.state.store(VERIFIED, Ordering::Relaxed);
    }

    /// Records that some bytes were wrong.
    pub(in crate::replica) fn doubt(&self) {
        self.soundness.state.store(DOUBTED, Ordering::Relaxed);
    }

    /// Records that the content does not match the checksum. This is final: reading the file again creates a new
    /// [`LtxFile`](super::ltx_file::LtxFile).
    pub(in crate::replica) fn spoil(&self, cause: ltx::LtxError) -> &ltx::LtxError {
        ANY_SPOILED.store(true, Ordering::Release);
        self.soundness.spoiled.get_or_init(|| cause)
    }
}

impl Soundness {
    /// Returns whether the whole file has been read and matches its checksum.
    pub(in crate::replica) fn is_verified(&self) -> bool {
        self.state.load(Ordering::Relaxed) == VERIFIED && self.spoiled.get().is_none()
    }

    /// Returns whether nothing of the file may be served any more.
    pub(in crate::replica) fn is_spoiled(&self) -> bool {
        self.spoiled.get().is_some()
    }

    /// Returns those of some files that are not verified, each once.
    pub(in crate::replica) fn unverified<'a>(files: impl Iterator<Item = &'a Arc<Soundness>>) -> Vec<Arc<Soundness>> {
        let mut found: Vec<_> = files.filter(|file| !file.is_verified()).cloned().collect();
        found.sort_by_key(Arc::as_ptr);
        found.dedup_by(|one, other| Arc::ptr_eq(one, other));
        found
    }

    /// Returns whether this may be so of any file of the process. Takes no lock and looks at no file.
    pub(in crate::replica) fn any_is_spoiled() -> bool {
        ANY_SPOILED.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::Level;
    use crate::replica::testing::one_page::{file, name};
    use crate::replica::{CacheLimits, Replica};
    use crate::store::Memory;
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
