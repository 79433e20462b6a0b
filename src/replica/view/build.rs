//! Builds the view of a chain: loads its files concurrently and applies them.

use crate::ltx::{Level, Txid};
use crate::replica::files::damage::Damage;
use crate::replica::files::load_error::LoadError;
use crate::replica::files::loader::FileLoader;
use crate::replica::files::ltx_file::LoadedFile;
use crate::replica::files::plan::FileChain;
use crate::store::Listed;
use futures_util::future::{FutureExt, join_all};
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};

/// Requests for headers and indexes in flight at once. More than for pages, because no page can be read before there is
/// a view.
pub(in crate::replica) const IN_FLIGHT: usize = 48;

/// Why a view could not be built.
#[derive(Debug)]
pub(in crate::replica) enum BuildError {
    /// A file could not be read.
    Load(LoadError),
    /// These files exist, but their content violates the file format.
    Damaged(Vec<Damage>),
    /// The files do not contain every page: they start above TXID 1, and none of them is a full copy of the database.
    NoBase,
}

impl From<LoadError> for BuildError {
    fn from(error: LoadError) -> BuildError {
        BuildError::Load(error)
    }
}

/// Reads files concurrently and returns them in their order. Fails with the first error.
pub(in crate::replica) async fn read_all(loader: &FileLoader, files: &[Listed]) -> Result<Vec<LoadedFile>, LoadError> {
    read_concurrently(loader, files).try_collect().await
}

/// Like [`read_all`], but fails with all damaged files.
pub(in crate::replica) async fn read_all_or_damage(
    loader: &FileLoader,
    files: &[Listed],
) -> Result<Vec<LoadedFile>, BuildError> {
    let (mut loaded, mut damaged) = (Vec::with_capacity(files.len()), Vec::new());
    let results: Vec<_> = read_concurrently(loader, files).collect().await;
    for (file, result) in files.iter().zip(results) {
        match result {
            Ok(file) => loaded.push(file),
            Err(error) => damaged.push(Damage::of(file, error)?),
        }
    }
    if damaged.is_empty() { Ok(loaded) } else { Err(BuildError::Damaged(damaged)) }
}

fn read_concurrently<'a>(
    loader: &'a FileLoader,
    files: &'a [Listed],
) -> impl Stream<Item = Result<LoadedFile, LoadError>> + Send + use<'a> {
    let reads: Vec<_> = files.iter().map(|file| loader.read(file).boxed()).collect();
    stream::iter(reads).buffered(IN_FLIGHT)
}

/// If a chain ends with a snapshot, returns the times of the other files with the same end. A snapshot contains the
/// time at which it was made, not the time of its last transaction. The other files are not needed for the view, so
/// those that cannot be read are skipped.
pub(in crate::replica) async fn commit_times(loader: &FileLoader, chain: &FileChain, listed: &[Listed]) -> Vec<i64> {
    let end: Txid = chain.end();
    if chain.files.last().is_none_or(|last| last.level != Level::SNAPSHOT) {
        return Vec::new();
    }
    let others = listed.iter().filter(|file| file.name.max == end && file.level != Level::SNAPSHOT);
    let headers: Vec<_> = others.map(|file| loader.header(file).boxed()).collect();
    join_all(headers).await.into_iter().flatten().map(|header| header.timestamp_ms).collect()
}
