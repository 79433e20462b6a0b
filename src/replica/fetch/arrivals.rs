//! What requests brought: pages go into the cache, and are added to the sum of their file.

use crate::ltx::{self, PageFault, PageSum};
use crate::replica::cache::Page;
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
use tokio::runtime::Handle;

impl Fetcher {
    /// Adds pages that came to the sum of their file. If they, or pages before, were wrong, none of the file stays in the
    /// cache.
    pub(super) fn judge(self: &Arc<Self>, file: &Arc<LtxFile>, sums: &[(u32, PageSum)]) -> Result<(), FetchError> {
        match file.integrity.add(sums) {
            IntegrityVerdict::Spoiled(_) => {}
            IntegrityVerdict::NearlyWhole => self.spawn(self.clone().complete(file.clone())),
            IntegrityVerdict::Sound => {}
        }
        let Some(cause) = file.integrity.spoiled() else { return Ok(()) };
        self.cache.forget(file.number);
        Err(request::spoiled(&*self.store, file, cause))
    }

    /// Fetches the few pages of a file that nobody asked for, so that its checksum can be compared.
    async fn complete(self: Arc<Self>, file: Arc<LtxFile>) {
        let _permit = self.guesses.acquire().await;
        match whole::complete(&*self.store, &file).await {
            Ok(IntegrityVerdict::Spoiled(_)) => self.cache.forget(file.number),
            Ok(IntegrityVerdict::Sound | IntegrityVerdict::NearlyWhole) => {}
            Err(error) if error.is_damage() => file.integrity.doubt(),
            Err(error) => tracing::debug!("the rest of {} cannot be read: {error:?}", file.name),
        }
    }

    /// Puts a page that came into the cache. Answers what somebody has to be told: the page itself if it was asked for, since
    /// a cache may not keep it, or what is wrong with it, which takes none of its neighbours along.
    pub(super) fn take_in(
        &self,
        run: &FetchRun,
        frame: &FrameRange,
        bytes: &[u8],
        sums: &mut Vec<(u32, PageSum)>,
    ) -> Option<FetchedPage> {
        let range = (frame.offset - run.start()) as usize..(frame.end() - run.start()) as usize;
        let guess = if frame.asked { 0 } else { frame.size };
        let page = self.decode(bytes.get(range).unwrap_or_default(), frame.pgno, run.page_size, guess);
        let page = page.and_then(|(page, sum)| {
            let is_last_word = frame.asked && run.is_again;
            if !is_last_word && !dbformat::is_plausible(&page, frame.pgno, run.file.header.commit) {
                return Err(ltx::LtxError::Page { pgno: frame.pgno, fault: PageFault::Implausible });
            }
            sums.push((frame.pgno, sum));
            self.cache.insert(run.key(frame), page.clone());
            Ok(page)
        });
        (frame.asked || page.is_err()).then_some(FetchedPage { pgno: frame.pgno, page })
    }

    pub(super) fn decode(
        &self,
        frame: &[u8],
        pgno: u32,
        page_size: u32,
        guess: u32,
    ) -> Result<(Page, PageSum), ltx::LtxError> {
        let mut sum = PageSum::default();
        let page = self.cache.page(page_size, guess, |buffer| {
            sum = ltx::decode_and_sum(frame, pgno, buffer)?;
            Ok(())
        })?;
        Ok((page, sum))
    }

    /// Takes the pages of a view that came along with a file's index into the cache.
    pub(in crate::replica) fn admit(self: &Arc<Self>, view: &View, reading: &LoadedFile) {
        if let Ok(runtime) = Handle::try_current() {
            self.runtime.get_or_init(|| runtime);
        }
        let (page_size, mut sums) = (view.page_size(), Vec::new());
        for (pgno, frame) in reading.frames() {
            let Some(key) = key(view, pgno).filter(|key| key.file == reading.file.number) else { continue };
            if self.room(page_size) > 0
                && !self.cache.contains(key)
                && let Ok((page, sum)) = self.decode(frame, pgno, page_size, frame.len() as u32)
            {
                self.guessed.fetch_add(frame.len() as u64, Ordering::Relaxed);
                self.cache.insert(key, page);
                sums.push((pgno, sum));
            }
        }
        // Whoever reads the file is told.
        let _ = self.judge(&reading.file, &sums);
    }
}
