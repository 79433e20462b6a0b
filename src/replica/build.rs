//! From a listing to a view: reading the files that a plan names, all at once.

use super::Replica;
use super::library::{Library, LoadError};
use super::plan::Chain;
use super::reading::Reading;
use super::view::{Draft, Epoch, View};
use crate::ltx::{Level, Txid};
use crate::store::Listed;
use futures_util::future::{FutureExt, join_all};
use futures_util::stream::{self, StreamExt, TryStreamExt};

/// Requests for headers and indexes in flight at once. Nobody reads pages before a view is there, so these may be more.
const IN_FLIGHT: usize = 48;

/// Bytes of files that came along with their indexes and are looked at for pages, at the most: those of the first files
/// of a chain, which are the largest.
const CAME_ALONG: u64 = 16 << 20;

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

impl Replica {
    /// The view at the end of a chain, a state of `epoch`. `listed` is the listing that the chain was planned from, `known` a
    /// view that may be of the same state. Pages that came along with the indexes go into the cache.
    pub(super) async fn build(
        &self,
        chain: &Chain,
        listed: &[Listed],
        epoch: Epoch,
        known: Option<&View>,
    ) -> Result<View, BuildError> {
        let witnesses = witnesses(&self.library, chain, listed).await;
        let mut draft = Draft::default();
        let (mut came, mut bytes) = (Vec::new(), 0);
        // A few files at a time: the indexes of a large chain need not all be in memory at once.
        for files in chain.files.chunks(IN_FLIGHT) {
            for mut reading in read_all(&self.library, files).await? {
                draft.apply(&reading);
                // Pages of a file that is kept come from there.
                if reading.file.body.is_none() && bytes < CAME_ALONG {
                    bytes += reading.shorten();
                    came.push(reading);
                }
            }
        }
        witnesses.into_iter().for_each(|ms| draft.written_by(ms));
        draft.witnessed_by(listed);
        let view = draft.finish(epoch, known).map_err(|_| BuildError::NoBase)?;
        came.iter().for_each(|reading| self.fetcher.admit(&view, reading));
        Ok(view)
    }
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
