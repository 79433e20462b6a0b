//! What is known of a file's bytes: whether they have the checksum that the file ends with.
//!
//! A frame has no checksum of its own, so a page can be wrong and still decode. Every page that is fetched is therefore
//! added to the sum of its file ([`FileSums`]), which is compared with the file's checksum once all pages came, in whatever order
//! and for whomever. A page that comes again is compared with what came before.

use crate::lock::Mutex;
use crate::ltx::{self, FileSums, Outline, PageSum};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// What is known of one file, shared by all who read it.
#[derive(Debug)]
pub(in crate::replica) struct Integrity {
    state: AtomicU8,
    /// Why nothing of it may be served any more: pages that came do not have its checksum.
    spoiled: OnceLock<ltx::LtxError>,
    sums: Mutex<Option<FileSums>>,
    /// The pages that nobody asked for are being fetched, or were.
    completing: AtomicBool,
}

/// Not all of it came yet.
const UNKNOWN: u8 = 0;
/// All of it came once and was right.
const VERIFIED: u8 = 1;
/// Something of it was wrong: it is to be read whole before more of it is believed.
const DOUBTED: u8 = 2;

/// Once this share of a file's pages came the others are fetched too, so that it can be checked: as few as one in eight.
const NEARLY_ALL: u32 = 8;

/// What pages that came say about their file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::replica) enum IntegrityVerdict {
    /// Nothing is wrong so far.
    Sound,
    /// So, and few pages are missing. Said once.
    NearlyWhole,
    /// They, or pages that came before, are not those of the file.
    Spoiled(ltx::LtxError),
}

impl Integrity {
    /// Of a file of which nothing came, or of one that came whole and was right.
    pub(in crate::replica) fn new(verified: bool) -> Integrity {
        let state = AtomicU8::new(if verified { VERIFIED } else { UNKNOWN });
        Integrity { state, spoiled: OnceLock::new(), sums: Mutex::default(), completing: AtomicBool::new(false) }
    }

    /// Begins to sum up pages, if that was not begun.
    pub(in crate::replica) fn track(&self, outline: Outline) {
        self.sums.lock().get_or_insert_with(|| FileSums::new(outline));
    }

    /// Takes pages that came.
    pub(in crate::replica) fn add(&self, pages: &[(u32, PageSum)]) -> IntegrityVerdict {
        let mut sums = self.sums.lock();
        let Some(sums) = sums.as_mut() else { return IntegrityVerdict::Sound };
        let before = sums.missing();
        if let Err(cause) = sums.add(pages) {
            return IntegrityVerdict::Spoiled(self.spoil(cause).clone());
        }
        match sums.missing() {
            Some(0) if before != Some(0) => {
                // A doubt stays.
                let _ = self.state.compare_exchange(UNKNOWN, VERIFIED, Ordering::Relaxed, Ordering::Relaxed);
                IntegrityVerdict::Sound
            }
            Some(missing) if !self.is_verified() && missing <= sums.pages() / NEARLY_ALL => {
                let began = self.completing.swap(true, Ordering::Relaxed);
                if began { IntegrityVerdict::Sound } else { IntegrityVerdict::NearlyWhole }
            }
            _ => IntegrityVerdict::Sound,
        }
    }

    /// Whether a page came.
    pub(in crate::replica) fn has(&self, pgno: u32) -> bool {
        self.sums.lock().as_ref().is_some_and(|sums| sums.has(pgno))
    }

    /// Whether all of the file came once and was right.
    pub(in crate::replica) fn is_verified(&self) -> bool {
        self.state.load(Ordering::Relaxed) == VERIFIED && self.spoiled.get().is_none()
    }

    /// Why nothing of it may be served any more; None if it may.
    pub(in crate::replica) fn spoiled(&self) -> Option<&ltx::LtxError> {
        self.spoiled.get()
    }

    /// Whether it has to be read whole before it is used again.
    pub(in crate::replica) fn is_doubted(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DOUBTED || self.spoiled.get().is_some()
    }

    /// It was read whole and is right.
    pub(in crate::replica) fn verified(&self) {
        self.state.store(VERIFIED, Ordering::Relaxed);
    }

    /// Something of it is wrong.
    pub(in crate::replica) fn doubt(&self) {
        self.state.store(DOUBTED, Ordering::Relaxed);
    }

    /// Its content does not have its checksum. That is final: who reads the file again begins anew.
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
    async fn a_file_that_came_whole_is_verified_and_a_doubt_stays_until_it_is_read_whole_again() {
        let store = Arc::new(Memory::new());
        store.insert(Level::ZERO, name(1), file(1));
        let replica = Arc::new(Replica::new(store, CacheLimits { memory: 0, disk: 0 }, Duration::from_secs(1)));
        replica.poll(Duration::ZERO).await.expect("a view");
        let view = replica.head().expect("a view");
        let integrity = &view.tip().integrity;
        assert!(integrity.is_verified() && !integrity.is_doubted());
        integrity.doubt();
        assert!(integrity.is_doubted() && !integrity.is_verified() && !view.is_spoiled());
        integrity.verified();
        assert!(integrity.is_verified() && !integrity.is_doubted());
        integrity.spoil(ltx::LtxError::PageDiffers(1));
        assert!(integrity.is_doubted() && view.is_spoiled());
        integrity.verified();
        assert!(integrity.is_doubted() && view.is_spoiled());
    }
}
