//! From a listing to a view: reading the files that a plan names, all at once.

use super::library::{Library, LoadError, Reading};
use super::plan::Chain;
use super::view::{Draft, Epoch, View};
use crate::ltx::{Level, Txid};
use crate::store::Listed;
use futures_util::future::{FutureExt, join_all};
use futures_util::stream::{self, StreamExt, TryStreamExt};

/// Requests for headers and indexes in flight at once.
const IN_FLIGHT: usize = 16;

/// Why there is no view.
#[derive(Debug)]
pub(super) enum BuildError {
    /// A file could not be read.
    Load(LoadError),
    /// The files do not hold every page: they start above TXID 1, and none of them is whole.
    NoBase,
}

impl From<LoadError> for BuildError {
    fn from(error: LoadError) -> BuildError {
        BuildError::Load(error)
    }
}

/// Reads files in parallel, in their order.
pub(super) async fn read_all(library: &Library, files: &[Listed]) -> Result<Vec<Reading>, LoadError> {
    let reading: Vec<_> = files.iter().map(|file| library.read(file).boxed()).collect();
    stream::iter(reading).buffered(IN_FLIGHT).try_collect().await
}

/// The view at the end of a chain, a state of `epoch`. `listed` is the listing that the chain was planned from, `known` a
/// view that may be of the same state.
pub(super) async fn from_chain(
    library: &Library,
    chain: &Chain,
    listed: &[Listed],
    epoch: Epoch,
    known: Option<&View>,
) -> Result<View, BuildError> {
    let witnesses = witnesses(library, chain, listed).await;
    let mut draft = Draft::default();
    // A few files at a time: the indexes of a large chain need not all be in memory at once.
    for files in chain.files.chunks(IN_FLIGHT) {
        read_all(library, files).await?.iter().for_each(|reading| draft.apply(reading));
    }
    witnesses.into_iter().for_each(|ms| draft.written_by(ms));
    draft.witnessed_by(listed);
    draft.finish(epoch, known).map_err(|_| BuildError::NoBase)
}

/// What other files that end where the chain does say about the time, if it ends with a snapshot: a snapshot is stamped
/// with the time it was made. Those files are not needed, so one that cannot be read is passed over.
async fn witnesses(library: &Library, chain: &Chain, listed: &[Listed]) -> Vec<i64> {
    let end: Txid = chain.end();
    if chain.files.last().is_none_or(|last| last.level != Level::SNAPSHOT) {
        return Vec::new();
    }
    let others = listed.iter().filter(|file| file.name.max == end && file.level != Level::SNAPSHOT);
    let headers: Vec<_> = others.map(|file| library.header(file).boxed()).collect();
    join_all(headers).await.into_iter().flatten().map(|header| header.timestamp_ms).collect()
}
