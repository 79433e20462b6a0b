//! Reads the parts of an index that say where pages are.
//!
//! This concerns only large files that contain every page, see [`PartialIndex`]. A block that several readers need is
//! requested once.

use crate::error::Error;
use crate::ltx::LtxError;
use crate::progress;
use crate::replica::fetch::{FetchError, Fetcher, request};
use crate::replica::files::ltx_file::LtxFile;
use crate::replica::files::partial_index::PartialIndex;
use crate::replica::view::View;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, try_join_all};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// Requests for blocks of an index that have not finished, by file number and block. All blocks of one request share it.
pub(super) type IndexRequests = HashMap<(u32, u64), IndexRequest>;

type IndexRequest = Shared<BoxFuture<'static, Result<(), FetchError>>>;

/// The maximum number of blocks that one request reads.
const MAX_BLOCKS: u64 = 8;

/// The maximum number of steps to an entry. Usually one suffices; more are needed if the lengths of frames are spread very
/// unevenly.
const MAX_STEPS: u32 = 24;

/// This many times the bytes that all connections transfer during one round trip are known ahead of a scan.
const ROUND_TRIPS_AHEAD: u64 = 2 * super::MAX_REQUESTS as u64;

/// The part of the index that is read ahead of a scan covers this many times as many pages as the scan requested last.
const PAGES_AHEAD: usize = 8;

/// Removes the blocks of a request from the table when it finishes or is dropped.
struct IndexRequestGuard {
    fetcher: Arc<Fetcher>,
    file: u32,
    blocks: Range<u64>,
}

impl Drop for IndexRequestGuard {
    fn drop(&mut self) {
        let mut requests = self.fetcher.index_requests.lock();
        let removed: Vec<_> = self.blocks.clone().map(|block| requests.remove(&(self.file, block))).collect();
        drop(requests);
        drop(removed);
    }
}

impl Fetcher {
    /// Reads the parts of the index that say where some pages are, as far as that is not known. Takes one round trip, rarely
    /// more.
    pub(super) async fn read_index_of(self: &Arc<Self>, view: &View, pages: &[u32]) -> Result<(), FetchError> {
        let Some((file, index)) = view.base() else { return Ok(()) };
        for step in 0..MAX_STEPS {
            let Some(blocks) = wanted(view, index, pages, step) else {
                index.distrust();
                return Err(request::damaged(&*self.store, file, LtxError::IndexPart(0)));
            };
            if blocks.is_empty() {
                return Ok(());
            }
            try_join_all(self.request_blocks(file, &blocks)).await?;
        }
        Err(FetchError::Other(Error::internal("an entry of a page index was not found")))
    }

    /// Reads the part of the index ahead of pages that were requested speculatively, on both sides of them. Does not wait.
    pub(super) fn read_index_ahead(self: &Arc<Self>, view: &View, pages: &[u32]) {
        let Some((file, index)) = view.base() else { return };
        let (Some(first), Some(last)) = (pages.iter().min(), pages.iter().max()) else { return };
        let size = u64::from(view.frame_size(*last).unwrap_or(1)).max(1);
        let most = ROUND_TRIPS_AHEAD * self.pace.round_trip_bytes() / size;
        let ahead = u32::try_from(most.min((pages.len() * PAGES_AHEAD) as u64)).unwrap_or(u32::MAX);
        let mut blocks = index.unknown_between(*last, last.saturating_add(ahead).min(view.commit()));
        blocks.extend(index.unknown_between(*first, first.saturating_sub(ahead).max(1)));
        drop(self.request_blocks(file, &blocks.into_iter().collect()));
    }

    /// Returns the requests for some blocks: those in flight, and new ones for the others. They run to their ends even if
    /// nobody waits for them.
    fn request_blocks(self: &Arc<Self>, file: &Arc<LtxFile>, blocks: &BTreeSet<u64>) -> Vec<IndexRequest> {
        let mut requests = self.index_requests.lock();
        let (mut wanted, mut new): (Vec<IndexRequest>, Vec<Range<u64>>) = (Vec::new(), Vec::new());
        for block in blocks {
            match (requests.get(&(file.number, *block)), new.last_mut()) {
                (Some(request), _) if !wanted.iter().any(|other| other.ptr_eq(request)) => wanted.push(request.clone()),
                (Some(_), _) => {}
                (None, Some(run)) if run.end == *block && run.end - run.start < MAX_BLOCKS => run.end += 1,
                (None, _) => new.push(*block..*block + 1),
            }
        }
        for blocks in new {
            let guard = IndexRequestGuard { fetcher: self.clone(), file: file.number, blocks: blocks.clone() };
            let request = self.clone().read_blocks(file.clone(), blocks.clone(), guard);
            let request = progress::part_of_current(request).boxed().shared();
            requests.extend(blocks.map(|block| ((file.number, block), request.clone())));
            if let Some(runtime) = self.runtime.get() {
                runtime.spawn(request.clone().map(drop));
            }
            wanted.push(request);
        }
        wanted
    }

    /// Reads blocks of an index. If they do not prove themselves, also in a second response, the whole index must be read.
    async fn read_blocks(
        self: Arc<Self>,
        file: Arc<LtxFile>,
        blocks: Range<u64>,
        guard: IndexRequestGuard,
    ) -> Result<(), FetchError> {
        let _guard = guard;
        let _permit = self.permits.acquire().await;
        let Some(index) = &file.partial_index else { return Ok(()) };
        let range = index.bytes_of(blocks.clone());
        for is_retry in [false, true] {
            let bytes = self.request(&file, range.clone()).await?;
            match file.add_index_blocks(blocks.clone(), &bytes, range.start) {
                Ok(verdict) => return self.handle_verdict(&file, verdict),
                Err(_) if !is_retry => {}
                Err(cause) => {
                    index.distrust();
                    return Err(request::damaged(&*self.store, &file, cause));
                }
            }
        }
        Ok(())
    }
}

/// Returns the blocks in which the entries of some pages are looked for next. None if what is known is contradictory.
fn wanted(view: &View, index: &PartialIndex, pages: &[u32], step: u32) -> Option<BTreeSet<u64>> {
    let mut blocks = BTreeSet::new();
    for pgno in pages.iter().filter(|pgno| view.is_unlocated(**pgno)) {
        blocks.extend(index.wanted(*pgno, step)?);
    }
    Some(blocks)
}
