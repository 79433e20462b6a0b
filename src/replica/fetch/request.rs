//! One request for a run of pages: asked again if it is far slower than its peers, then taken apart.

use super::super::cache::Page;
use super::super::library::{LoadError, place};
use super::pace::Pace;
use super::run::{Frame, Run};
use super::{FetchError, decode_page};
use crate::error::Error;
use crate::ltx;
use crate::store::{self, Chunk, ErrorKind, Store};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use tokio::time::{Instant, sleep};

/// A page that a request brought, or why it could not be read: a damaged page takes none of its neighbours along.
pub(super) struct Landed {
    pub pgno: u32,
    pub page: Result<Page, ltx::Error>,
}

/// Fetches a run and decodes its pages.
pub(super) async fn fetch(store: &dyn Store, pace: &Pace, run: &Run) -> Result<Vec<Landed>, FetchError> {
    let chunk = read(store, pace, run).await.map_err(|error| match error.into() {
        LoadError::Moved => FetchError::Moved,
        LoadError::Other(error) => FetchError::Other(error),
    })?;
    Ok(run.frames.iter().map(|frame| decode(run, frame, &chunk.bytes)).collect())
}

fn decode(run: &Run, frame: &Frame, bytes: &[u8]) -> Landed {
    let range = (frame.offset - run.start()) as usize..(frame.end() - run.start()) as usize;
    let guess = if frame.asked { 0 } else { frame.size };
    let page = decode_page(bytes.get(range).unwrap_or_default(), frame.pgno, run.page_size, guess);
    Landed { pgno: frame.pgno, page }
}

/// What is said of a page that could not be read.
pub(super) fn damaged(store: &dyn Store, run: &Run, cause: ltx::Error) -> FetchError {
    FetchError::Other(Error::damaged(place(store, run.file.level, run.file.name), cause))
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
