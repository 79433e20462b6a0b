//! Fetches pages into the cache directory, past the memory, for readers that do not wait for them.

use crate::ltx::{LtxError, PageFault};
use crate::replica::cache::PageKey;
use crate::replica::fetch::decode::{Receipt, stored_form};
use crate::replica::fetch::run::{self, FetchRun};
use crate::replica::fetch::{FetchError, Fetcher, MAX_REQUESTS};
use crate::replica::files::ltx_file::LtxFile;
use crate::replica::view::View;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a request waits, at most, for the requests of readers.
const YIELD: Duration = Duration::from_millis(500);

/// How often it looks whether they have finished.
const LOOK: Duration = Duration::from_millis(5);

/// Bounds of the length of a request in bytes: what the store transfers in a round trip, so that a reader is delayed by no more than one.
const REQUEST: (u64, u64) = (64 << 10, 1 << 20);

impl Fetcher {
    /// Returns whether a page can be read without the store after a restart: it is in the cache directory, or in a file that is kept there
    /// as a whole. In the directory, it may still be damaged.
    pub(in crate::replica) fn is_kept(&self, file: &LtxFile, pgno: u32) -> bool {
        file.body.is_some() || self.cache.is_kept(PageKey { file: file.number, pgno })
    }

    /// As [`Fetcher::is_kept`], but reads the page: it is not damaged.
    pub(in crate::replica) fn is_intact(&self, file: &LtxFile, pgno: u32) -> bool {
        file.body.is_some() || self.cache.is_intact(PageKey { file: file.number, pgno })
    }

    /// Fetches pages of a view into the cache directory, one request after the other, between those of readers. Returns how many are
    /// there now: pages that cannot be decoded are left to the readers.
    pub(in crate::replica) async fn hydrate(self: &Arc<Self>, view: &View, pages: &[u32]) -> Result<u32, FetchError> {
        let mut kept = 0;
        self.use_current_runtime();
        self.read_index_of(view, pages).await?;
        let (least, most) = REQUEST;
        for run in run::join(view, pages, self.pace.max_gap(), self.round_trip_bytes().clamp(least, most)) {
            self.yield_to_readers().await;
            kept += self.hydrate_run(&run).await?;
        }
        Ok(kept)
    }

    async fn yield_to_readers(&self) {
        let started = Instant::now();
        while self.permits.available_permits() < MAX_REQUESTS && started.elapsed() < YIELD {
            sleep(LOOK).await;
        }
    }

    async fn hydrate_run(self: &Arc<Self>, run: &FetchRun) -> Result<u32, FetchError> {
        let bytes = self.request(&run.file, run.range()).await?;
        let (mut sums, mut kept, mut implausible) = (Vec::with_capacity(run.frames.len()), 0, Vec::new());
        let receipt = if run.is_retry { Receipt::Second } else { Receipt::First };
        for frame in &run.frames {
            match self.decode(&run.file, frame.pgno, run.bytes_of(frame, &bytes), 0, receipt) {
                Ok((page, sum)) => {
                    let form = stored_form(sum, run.page_size, frame.size);
                    kept += u32::from(self.cache.keep(run.key(frame), &page, form));
                    sums.push((frame.pgno, sum));
                }
                Err(LtxError::Page { fault: PageFault::Implausible, .. }) => implausible.push(*frame),
                Err(_) => {}
            }
        }
        self.add_sums(&run.file, &sums)?;
        if !implausible.is_empty() {
            let again =
                FetchRun { file: run.file.clone(), page_size: run.page_size, frames: implausible, is_retry: true };
            kept += Box::pin(self.hydrate_run(&again)).await?;
        }
        Ok(kept)
    }
}
