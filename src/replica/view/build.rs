//! Builds the view of a chain: loads its files concurrently and applies them.

use crate::ltx::{Level, Txid};
use crate::replica::Replica;
use crate::replica::files::damage::{Damage, first_error, leave_out};
use crate::replica::files::loader::{FileLoader, LoadError};
use crate::replica::files::ltx_file::LoadedFile;
use crate::replica::files::plan::{self, FileChain};
use crate::replica::view::{Epoch, View, ViewBuilder};
use crate::store::Listed;
use futures_util::future::{FutureExt, join_all};
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use std::borrow::Cow;

/// Requests for headers and indexes in flight at once. More than for pages, because no page can be read before there is
/// a view.
const IN_FLIGHT: usize = 48;

/// How many of the bytes that were fetched with the indexes are searched for pages, at most. They are those of the
/// first files of a chain, which are the largest.
const MAX_FETCHED_BYTES: u64 = 16 << 20;

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
async fn read_all_or_damage(loader: &FileLoader, files: &[Listed]) -> Result<Vec<LoadedFile>, BuildError> {
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

impl Replica {
    /// Builds the view at the end of a chain, a state of `epoch`. `listed` is the listing that the chain was selected
    /// from, `known` a view that may be of the same state. Pages that were fetched with the indexes are added to the
    /// cache.
    pub(in crate::replica) async fn build(
        &self,
        chain: &FileChain,
        listed: &[Listed],
        epoch: Epoch,
        known: Option<&View>,
    ) -> Result<View, BuildError> {
        let times = commit_times(&self.library, chain, listed).await;
        let mut builder = ViewBuilder::default();
        let (mut with_pages, mut bytes) = (Vec::new(), 0);
        // A few files at a time, so that the indexes of a long chain are not all in memory at once.
        for files in chain.files.chunks(IN_FLIGHT) {
            for (file, mut loaded) in files.iter().zip(read_all_or_damage(&self.library, files).await?) {
                let applied = self.apply(&mut builder, &mut loaded).await;
                applied.or_else(|error| Err(BuildError::Damaged(vec![Damage::of(file, error)?])))?;
                // The pages of a file that is kept in memory need no cache.
                if loaded.file.body.is_none() && bytes < MAX_FETCHED_BYTES {
                    bytes += loaded.retain_fetched_entries();
                    with_pages.push(loaded);
                }
            }
        }
        times.into_iter().for_each(|ms| builder.limit_time(ms));
        builder.set_witness_from(listed);
        let view = builder.finish(epoch, known).map_err(|_| BuildError::NoBase)?;
        with_pages.iter().for_each(|loaded| self.fetcher.admit(&view, loaded));
        Ok(view)
    }

    /// Applies a file to a view, and reads its index first if that was deferred.
    async fn apply(&self, builder: &mut ViewBuilder, loaded: &mut LoadedFile) -> Result<(), LoadError> {
        if loaded.deferred_index.is_none() {
            builder.apply(loaded);
            return Ok(());
        }
        let overlay = builder.begin_file(&loaded.file);
        self.library.read_deferred_index(loaded, |entries| builder.add_pages(&overlay, entries)).await?;
        builder.end_file(overlay);
        Ok(())
    }

    /// Builds the view at a transaction, and avoids damaged files if others give the same state. Returns None if no
    /// files lead to the transaction. Fails if only damaged files do.
    pub(in crate::replica) async fn build_around(
        &self,
        txid: Txid,
        listed: &[Listed],
        epoch: Epoch,
        known: Option<&View>,
    ) -> Result<Option<View>, LoadError> {
        let (mut usable, mut damaged) = (Cow::Borrowed(listed), Vec::new());
        while let Ok(chain) = plan::at(&usable, txid) {
            match self.build(&chain, listed, epoch, known).await {
                Ok(view) => {
                    self.note_read_around(&damaged);
                    return Ok(Some(view));
                }
                Err(BuildError::NoBase) => break,
                Err(BuildError::Load(error)) => return Err(error),
                Err(BuildError::Damaged(found)) => {
                    leave_out(&mut usable, &found);
                    damaged.extend(found);
                }
            }
        }
        first_error(&damaged).map_or(Ok(None), Err)
    }

    /// Records that a state was built without these damaged files. Logs a warning the first time.
    pub(in crate::replica) fn note_read_around(&self, damaged: &[Damage]) {
        for Damage { file, error } in damaged {
            let text = format!("{error}; the state is read from other files");
            if self.library.checked.is_first_report(file.level, file.name) {
                tracing::warn!("{text}");
            }
            self.note_error(text);
        }
    }
}

/// If a chain ends with a snapshot, returns the times of the other files with the same end. A snapshot contains the
/// time at which it was made, not the time of its last transaction. The other files are not needed for the view, so
/// those that cannot be read are skipped.
async fn commit_times(loader: &FileLoader, chain: &FileChain, listed: &[Listed]) -> Vec<i64> {
    let end: Txid = chain.end();
    if chain.files.last().is_none_or(|last| last.level != Level::SNAPSHOT) {
        return Vec::new();
    }
    let others = listed.iter().filter(|file| file.name.max == end && file.level != Level::SNAPSHOT);
    let headers: Vec<_> = others.map(|file| loader.header(file).boxed()).collect();
    join_all(headers).await.into_iter().flatten().map(|header| header.timestamp_ms).collect()
}
