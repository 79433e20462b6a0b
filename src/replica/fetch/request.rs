//! One request for a run of pages: asked again if it is far slower than its peers.

use crate::error::{Error, ErrorKind};
use crate::ltx;
use crate::replica::fetch::FetchError;
use crate::replica::fetch::pace::Pace;
use crate::replica::fetch::run::FetchRun;
use crate::replica::files::loader::{LoadError, display_name};
use crate::replica::files::ltx_file::LtxFile;
use crate::store::{self, Chunk, Store, StoreErrorKind};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use tokio::time::{Instant, sleep};

/// Fetches a run.
pub(super) async fn fetch(store: &dyn Store, pace: &Pace, run: &FetchRun) -> Result<Bytes, FetchError> {
    match read(store, pace, run).await {
        Ok(chunk) => Ok(chunk.bytes),
        Err(error) => match error.into() {
            LoadError::Moved => Err(FetchError::Moved),
            LoadError::Other(error) => Err(FetchError::Other(error)),
        },
    }
}

/// What is said of a page that could not be read.
pub(super) fn damaged(store: &dyn Store, run: &FetchRun, cause: ltx::LtxError) -> FetchError {
    FetchError::Damaged(Error::damaged(display_name(store, run.file.level, run.file.name), cause))
}

/// What is said of a file of which wrong bytes came.
pub(super) fn spoiled(store: &dyn Store, file: &LtxFile, cause: &ltx::LtxError) -> FetchError {
    let place = display_name(store, file.level, file.name);
    let message = format!("wrong bytes were read of the file {place}, and rows may be wrong: {cause}");
    let error = Error::new(ErrorKind::Damaged, message);
    FetchError::Spoiled(
        error.remedy("run the transaction again; if this stays, restore the file or force a new snapshot"),
    )
}

type RangeResponse = Result<Chunk, store::StoreError>;

async fn read(store: &dyn Store, pace: &Pace, run: &FetchRun) -> RangeResponse {
    let first = once(store, pace, run);
    let Some(patience) = pace.patience(run.len()) else { return first.await };
    match select(first, sleep(patience).boxed()).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, first)) => {
            pace.hedged();
            first_good(first, once(store, pace, run)).await
        }
    }
}

fn once<'a>(store: &'a dyn Store, pace: &'a Pace, run: &'a FetchRun) -> BoxFuture<'a, RangeResponse> {
    let asked = async move {
        let started = Instant::now();
        let file = &run.file;
        let answer = store.read(file.level, file.name, run.start()..run.end(), Some(&file.version)).await;
        if answer.is_ok() {
            pace.observe(run.len(), started.elapsed());
        }
        answer
    };
    asked.boxed()
}

/// The answer that comes first, unless it only says that the store could not be reached.
async fn first_good(one: BoxFuture<'_, RangeResponse>, other: BoxFuture<'_, RangeResponse>) -> RangeResponse {
    let (answer, late) = select(one, other).await.factor_first();
    match answer {
        Err(error) if error.kind() == StoreErrorKind::Unreachable => late.await,
        answer => answer,
    }
}
