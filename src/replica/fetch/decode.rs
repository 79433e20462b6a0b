//! Decodes the pages of a response into the cache, and adds them to the checksum of their file.

use crate::ltx::{self, LtxError, PageFault, PageSum};
use crate::replica::cache::persistent::StoredForm;
use crate::replica::cache::{Page, PageKey};
use crate::replica::dbformat;
use crate::replica::fetch::in_flight::FetchedPage;
use crate::replica::fetch::run::{FetchRun, FrameRange};
use crate::replica::fetch::{FetchError, Fetcher, key, request};
use crate::replica::files::integrity::IntegrityVerdict;
use crate::replica::files::ltx_file::{LoadedFile, LtxFile};
use crate::replica::files::whole;
use crate::replica::view::View;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How often the bytes of a page have been received. A page that is not plausible is an error at first, and accepted when it is received a
/// second time: SQLite decides then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Receipt {
    First,
    Second,
}

impl Fetcher {
    /// Adds pages to the checksum of their file. If that shows that these pages or earlier ones are wrong, all pages of the
    /// file leave the cache.
    pub(super) fn add_sums(self: &Arc<Self>, file: &Arc<LtxFile>, sums: &[(u32, PageSum)]) -> Result<(), FetchError> {
        self.handle_verdict(file, file.integrity.add(sums))
    }

    /// Handles the result of adding pages or parts of the index to the checksum of their file.
    pub(super) fn handle_verdict(
        self: &Arc<Self>,
        file: &Arc<LtxFile>,
        verdict: IntegrityVerdict,
    ) -> Result<(), FetchError> {
        if verdict == IntegrityVerdict::NearlyWhole {
            self.spawn(self.clone().fetch_rest(file.clone()));
        }
        let Some(cause) = file.integrity.spoiled() else { return Ok(()) };
        self.cache.forget(file.number);
        Err(request::spoiled(&*self.store, file, cause))
    }

    /// Fetches the few pages of a file that no reader needed or that were carried over to it, so that its checksum can be compared.
    async fn fetch_rest(self: Arc<Self>, file: Arc<LtxFile>) {
        let _permit = self.speculative_permits.acquire().await;
        let contradicts = |pgno: u32, page: &[u8]| {
            let cached = self.cache.peek(PageKey { file: file.number, pgno });
            cached.is_some_and(|cached| *cached != *page)
        };
        match whole::complete(&*self.store, &file, contradicts).await {
            Ok(IntegrityVerdict::Spoiled(_)) => self.cache.forget(file.number),
            Ok(IntegrityVerdict::Sound | IntegrityVerdict::NearlyWhole) => {}
            Err(error) if error.is_damage() => file.integrity.doubt(),
            Err(error) => tracing::debug!("file {} was not verified, its remaining pages failed: {error:?}", file.name),
        }
    }

    /// Decodes a frame of a response and inserts the page into the cache. Returns a page that a reader waits for, because
    /// the cache may drop it, and the error of a frame that cannot be decoded, which does not affect its neighbours.
    pub(super) fn cache_frame(
        &self,
        run: &FetchRun,
        frame: &FrameRange,
        bytes: &[u8],
        sums: &mut Vec<(u32, PageSum)>,
    ) -> Option<FetchedPage> {
        let speculative_size = if frame.on_demand { 0 } else { frame.size };
        let receipt = if frame.on_demand && run.is_retry { Receipt::Second } else { Receipt::First };
        let page = self.decode(&run.file, frame.pgno, run.bytes_of(frame, bytes), speculative_size, receipt);
        let page = page.map(|(page, sum)| {
            sums.push((frame.pgno, sum));
            self.cache.insert(run.key(frame), page.clone());
            self.cache.keep(run.key(frame), &page, stored_form(sum, run.page_size, frame.size));
            page
        });
        (frame.on_demand || page.is_err()).then_some(FetchedPage { pgno: frame.pgno, page })
    }

    /// Decodes a frame of a file. `speculative_size` is the frame's length if no reader waits for the page, else 0.
    pub(super) fn decode(
        &self,
        file: &LtxFile,
        pgno: u32,
        frame: &[u8],
        speculative_size: u32,
        receipt: Receipt,
    ) -> Result<(Page, PageSum), LtxError> {
        let mut sum = PageSum::default();
        let page = self.cache.page(file.header.page_size.get(), speculative_size, |buffer| {
            sum = ltx::decode_and_sum(frame, pgno, buffer)?;
            Ok(())
        })?;
        match receipt == Receipt::Second || dbformat::is_plausible(&page, pgno, file.header.commit) {
            true => Ok((page, sum)),
            false => Err(LtxError::Page { pgno, fault: PageFault::Implausible }),
        }
    }

    /// Inserts the pages of a view that were read together with a file's index into the cache.
    pub(in crate::replica) fn admit(self: &Arc<Self>, view: &View, loaded: &LoadedFile) {
        let (page_size, mut sums) = (view.page_size(), Vec::new());
        for (pgno, frame) in loaded.frames() {
            let Some(key) = key(view, pgno).filter(|key| key.file == loaded.file.number) else { continue };
            if self.speculative_room(page_size) > 0
                && !self.cache.contains(key)
                && let Ok((page, sum)) = self.decode(&loaded.file, pgno, frame, frame.len() as u32, Receipt::First)
            {
                self.speculative_bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
                self.cache.insert(key, page.clone());
                self.cache.keep(key, &page, stored_form(sum, page_size, frame.len() as u32));
                sums.push((pgno, sum));
            }
        }
        // The next read of a page of the file returns the error.
        let _ = self.add_sums(&loaded.file, &sums);
    }
}

/// Returns how a file contains a page, from its sum and the size of its frame.
pub(super) fn stored_form(sum: PageSum, page_size: u32, frame_size: u32) -> StoredForm {
    match sum.block_size(page_size, frame_size) {
        Some(size) => StoredForm::Block(size),
        None => StoredForm::Frame,
    }
}
