//! From a listing to a view: reading the files that a plan names, all at once.

use crate::ltx::{Level, Txid};
use crate::replica::Replica;
use crate::replica::files::damage::Damage;
use crate::replica::files::loader::{FileLoader, LoadError};
use crate::replica::files::ltx_file::LoadedFile;
use crate::replica::files::plan::FileChain;
use crate::replica::view::{Epoch, View, ViewBuilder};
use crate::store::Listed;
use futures_util::future::{FutureExt, join_all};
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};

/// Requests for headers and indexes in flight at once. Nobody reads pages before a view is there, so these may be more.
const IN_FLIGHT: usize = 48;

/// Bytes of files that came along with their indexes and are looked at for pages, at the most: those of the first files
/// of a chain, which are the largest.
const CAME_ALONG: u64 = 16 << 20;

/// Why there is no view.
#[derive(Debug)]
pub(in crate::replica) enum BuildError {
    /// A file could not be read.
    Load(LoadError),
    /// Files are there, and their content is not what the format says.
    Damaged(Vec<Damage>),
    /// The files do not hold every page: they start above TXID 1, and none of them is whole.
    NoBase,
}

impl From<LoadError> for BuildError {
    fn from(error: LoadError) -> BuildError {
        BuildError::Load(error)
    }
}

/// Reads files in parallel, in their order.
pub(in crate::replica) async fn read_all(library: &FileLoader, files: &[Listed]) -> Result<Vec<LoadedFile>, LoadError> {
    in_parallel(library, files).try_collect().await
}

/// As [`read_all`], but each damaged file is named.
async fn read_sound(library: &FileLoader, files: &[Listed]) -> Result<Vec<LoadedFile>, BuildError> {
    let (mut readings, mut damaged) = (Vec::with_capacity(files.len()), Vec::new());
    let read: Vec<_> = in_parallel(library, files).collect().await;
    for (file, read) in files.iter().zip(read) {
        match read {
            Ok(reading) => readings.push(reading),
            Err(error) => damaged.push(Damage::of(file, error)?),
        }
    }
    if damaged.is_empty() { Ok(readings) } else { Err(BuildError::Damaged(damaged)) }
}

fn in_parallel<'a>(
    library: &'a FileLoader,
    files: &'a [Listed],
) -> impl Stream<Item = Result<LoadedFile, LoadError>> + Send + use<'a> {
    let reading: Vec<_> = files.iter().map(|file| library.read(file).boxed()).collect();
    stream::iter(reading).buffered(IN_FLIGHT)
}

impl Replica {
    /// The view at the end of a chain, a state of `epoch`. `listed` is the listing that the chain was planned from, `known` a
    /// view that may be of the same state. Pages that came along with the indexes go into the cache.
    pub(in crate::replica) async fn build(
        &self,
        chain: &FileChain,
        listed: &[Listed],
        epoch: Epoch,
        known: Option<&View>,
    ) -> Result<View, BuildError> {
        let witnesses = witnesses(&self.library, chain, listed).await;
        let mut draft = ViewBuilder::default();
        let (mut came, mut bytes) = (Vec::new(), 0);
        // A few files at a time: the indexes of a large chain need not all be in memory at once.
        for files in chain.files.chunks(IN_FLIGHT) {
            for (file, mut reading) in files.iter().zip(read_sound(&self.library, files).await?) {
                let laid = self.lay(&mut draft, &mut reading).await;
                laid.or_else(|error| Err(BuildError::Damaged(vec![Damage::of(file, error)?])))?;
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

    async fn lay(&self, draft: &mut ViewBuilder, reading: &mut LoadedFile) -> Result<(), LoadError> {
        if reading.left_out.is_none() {
            draft.apply(reading);
            return Ok(());
        }
        let laying = draft.begin(&reading.file);
        self.library.read_left_out(reading, |entries| draft.lay(&laying, entries)).await?;
        draft.end(laying);
        Ok(())
    }
}

/// What other files that end where the chain does say about the time, if it ends with a snapshot: a snapshot is stamped
/// with the time it was made. Those files are not needed, so one that cannot be read is passed over.
async fn witnesses(library: &FileLoader, chain: &FileChain, listed: &[Listed]) -> Vec<i64> {
    let end: Txid = chain.end();
    if chain.files.last().is_none_or(|last| last.level != Level::SNAPSHOT) {
        return Vec::new();
    }
    let others = listed.iter().filter(|file| file.name.max == end && file.level != Level::SNAPSHOT);
    let headers: Vec<_> = others.map(|file| library.header(file).boxed()).collect();
    join_all(headers).await.into_iter().flatten().map(|header| header.timestamp_ms).collect()
}
