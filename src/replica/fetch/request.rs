//! One request for a range of a file, sent a second time if the first takes much longer than usual.

use crate::error::{Error, ErrorKind};
use crate::ltx;
use crate::replica::fetch::pace::Pace;
use crate::replica::fetch::{FetchError, Fetcher};
use crate::replica::files::load_error::{LoadError, display_name};
use crate::replica::files::ltx_file::LtxFile;
use crate::store::{self, Chunk, Store, StoreErrorKind};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use std::ops::Range;
use tokio::time::{Instant, sleep};

impl Fetcher {
    /// Reads a range of a file.
    pub(super) async fn request(&self, file: &LtxFile, range: Range<u64>) -> Result<Bytes, FetchError> {
        let read = self.outage.guard(read_hedged(&*self.store, &self.pace, file, range)).await;
        read.map(|chunk| chunk.bytes).map_err(|error| LoadError::from(error).into())
    }
}

/// Returns the error for a page that cannot be decoded, or not be found in the index.
pub(super) fn damaged(store: &dyn Store, file: &LtxFile, cause: ltx::LtxError) -> FetchError {
    FetchError::Damaged(Error::damaged(display_name(store, file.level, file.name), cause))
}

/// Returns the error for a file whose checksum does not match the pages that were read.
pub(super) fn spoiled(store: &dyn Store, file: &LtxFile, cause: &ltx::LtxError) -> FetchError {
    let place = display_name(store, file.level, file.name);
    let message = format!("wrong bytes were read from the file {place}, so rows may be wrong: {cause}");
    let error = Error::new(ErrorKind::Damaged, message);
    FetchError::Spoiled(
        error.remedy("run the transaction again; if the error persists, restore the file or force a new snapshot"),
    )
}

type RangeResponse = Result<Chunk, store::StoreError>;

/// Reads a range, and sends a second request if the first is much slower than expected.
async fn read_hedged(store: &dyn Store, pace: &Pace, file: &LtxFile, range: Range<u64>) -> RangeResponse {
    let first = read(store, pace, file, range.clone());
    let Some(delay) = pace.hedge_delay(range.end - range.start) else { return first.await };
    match select(first, sleep(delay).boxed()).await {
        Either::Left((response, _)) => response,
        Either::Right((_, first)) => {
            pace.count_hedge();
            first_response(first, read(store, pace, file, range)).await
        }
    }
}

fn read<'a>(
    store: &'a dyn Store,
    pace: &'a Pace,
    file: &'a LtxFile,
    range: Range<u64>,
) -> BoxFuture<'a, RangeResponse> {
    let request = async move {
        let (started, length) = (Instant::now(), range.end - range.start);
        let response = store.read(file.level, file.name, range, Some(&file.version)).await;
        if response.is_ok() {
            pace.observe(length, started.elapsed());
        }
        response
    };
    request.boxed()
}

/// Returns the first response, or the other one if the first is that the store could not be reached.
async fn first_response(one: BoxFuture<'_, RangeResponse>, other: BoxFuture<'_, RangeResponse>) -> RangeResponse {
    let (response, late) = select(one, other).await.factor_first();
    match response {
        Err(error) if error.kind() == StoreErrorKind::Unreachable => late.await,
        response => response,
    }
}
