//! One request for a run of pages: asked again if it is far slower than its peers.

use crate::error::{Error, Kind};
use crate::ltx;
use crate::replica::fetch::FetchError;
use crate::replica::fetch::pace::Pace;
use crate::replica::fetch::run::Run;
use crate::replica::files::loader::{LoadError, place};
use crate::replica::files::ltx_file::LtxFile;
use crate::store::{self, Chunk, ErrorKind, Store};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use tokio::time::{Instant, sleep};

/// Fetches a run.
pub(super) async fn fetch(store: &dyn Store, pace: &Pace, run: &Run) -> Result<Bytes, FetchError> {
    match read(store, pace, run).await {
        Ok(chunk) => Ok(chunk.bytes),
        Err(error) => match error.into() {
            LoadError::Moved => Err(FetchError::Moved),
            LoadError::Other(error) => Err(FetchError::Other(error)),
        },
    }
}

/// What is said of a page that could not be read.
pub(super) fn damaged(store: &dyn Store, run: &Run, cause: ltx::Error) -> FetchError {
    FetchError::Damaged(Error::damaged(place(store, run.file.level, run.file.name), cause))
}

/// What is said of a file of which wrong bytes came.
pub(super) fn spoiled(store: &dyn Store, file: &LtxFile, cause: &ltx::Error) -> FetchError {
    let place = place(store, file.level, file.name);
    let message = format!("wrong bytes were read of the file {place}, and rows may be wrong: {cause}");
    let error = Error::new(Kind::Damaged, message);
    FetchError::Spoiled(
        error.remedy("run the transaction again; if this stays, restore the file or force a new snapshot"),
    )
}

type Answer = Result<Chunk, store::Error>;

async fn read(store: &dyn Store, pace: &Pace, run: &Run) -> Answer {
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

fn once<'a>(store: &'a dyn Store, pace: &'a Pace, run: &'a Run) -> BoxFuture<'a, Answer> {
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
async fn first_good(one: BoxFuture<'_, Answer>, other: BoxFuture<'_, Answer>) -> Answer {
    let (answer, late) = select(one, other).await.factor_first();
    match answer {
        Err(error) if error.kind() == ErrorKind::Unreachable => late.await,
        answer => answer,
    }
}
