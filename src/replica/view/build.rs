//! From a listing to a view: reading the files that a plan names, all at once.

use crate::ltx::{Level, Txid};
use crate::replica::files::damage::Damage;
use crate::replica::files::loader::{FileLoader, LoadError};
use crate::replica::files::ltx_file::LoadedFile;
use crate::replica::files::plan::FileChain;
use crate::store::Listed;
use futures_util::future::{FutureExt, join_all};
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};

/// Requests for headers and indexes in flight at once. Nobody reads pages before a view is there, so these may be more.
pub(in crate::replica) const IN_FLIGHT: usize = 48;

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
pub(in crate::replica) async fn read_sound(
    library: &FileLoader,
    files: &[Listed],
) -> Result<Vec<LoadedFile>, BuildError> {
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

/// What other files that end where the chain does say about the time, if it ends with a snapshot: a snapshot is stamped
/// with the time it was made. Those files are not needed, so one that cannot be read is passed over.
pub(in crate::replica) async fn witnesses(library: &FileLoader, chain: &FileChain, listed: &[Listed]) -> Vec<i64> {
    let end: Txid = chain.end();
    if chain.files.last().is_none_or(|last| last.level != Level::SNAPSHOT) {
        return Vec::new();
    }
    let others = listed.iter().filter(|file| file.name.max == end && file.level != Level::SNAPSHOT);
    let headers: Vec<_> = others.map(|file| library.header(file).boxed()).collect();
    join_all(headers).await.into_iter().flatten().map(|header| header.timestamp_ms).collect()
}
