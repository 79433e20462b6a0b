//! Builds views from listings, and reads around damaged files.
//!
//! | module | contents |
//! |---|---|
//! | `extend` | builds views from other views and the files after them |

mod extend;

pub(in crate::replica) use extend::JournalledCounter;

use crate::ltx::{Level, Txid};
use crate::replica::fetch::Fetcher;
use crate::replica::files::damage::{Damage, first_error, leave_out};
use crate::replica::files::load_error::LoadError;
use crate::replica::files::loader::FileLoader;
use crate::replica::files::ltx_file::LoadedFile;
use crate::replica::files::plan::FileChain;
use crate::replica::files::{Files, plan};
use crate::replica::follow::health::Health;
use crate::replica::view::build::{self, BuildError, IN_FLIGHT};
use crate::replica::view::{Epoch, View, ViewBuilder};
use crate::store::Listed;
use futures_util::future::join;
use std::borrow::Cow;
use std::sync::Arc;

/// How many of the bytes that were fetched with the indexes are searched for pages, at most. They are those of the
/// first files of a chain, which are the largest.
const MAX_FETCHED_BYTES: u64 = 16 << 20;

/// Reads the files that a plan names and builds views from them.
pub(in crate::replica) struct ViewLoader {
    files: Arc<Files>,
    fetcher: Arc<Fetcher>,
    health: Arc<Health>,
}

impl ViewLoader {
    pub(in crate::replica) fn new(files: Arc<Files>, fetcher: Arc<Fetcher>, health: Arc<Health>) -> ViewLoader {
        ViewLoader { files, fetcher, health }
    }

    /// Whether a known view may still be served.
    pub(in crate::replica) fn may_serve(&self, view: &View) -> bool {
        !view.is_spoiled() && (!self.files.loader.verifies_all() || view.is_verified())
    }

    /// Builds the view at the end of a chain, a state of `epoch`. `listed` is the listing that the chain was selected
    /// from, `known` a view that may be of the same state. Pages that were fetched with the indexes are added to the
    /// cache.
    async fn build(
        &self,
        chain: &FileChain,
        listed: &[Listed],
        epoch: Epoch,
        known: Option<&View>,
    ) -> Result<View, BuildError> {
        let times = build::commit_times(&self.files.loader, chain, listed);
        let (times, applied) = join(times, self.apply_all(chain)).await;
        let (mut builder, with_pages) = applied?;
        times.into_iter().for_each(|ms| builder.limit_time(ms));
        builder.set_witness_from(listed);
        let view = builder.finish(epoch, known).map_err(|_| BuildError::NoBase)?;
        self.fetcher.use_current_runtime();
        with_pages.iter().for_each(|loaded| self.admit(&view, loaded));
        Ok(view)
    }

    /// Reads the files of a chain and applies them. Returns the first of them, whose frames that were fetched with the
    /// indexes are to be added to the cache.
    async fn apply_all(&self, chain: &FileChain) -> Result<(ViewBuilder, Vec<LoadedFile>), BuildError> {
        let mut builder = ViewBuilder::default();
        let (mut with_pages, mut bytes) = (Vec::new(), 0);
        // A few files at a time, so that the indexes of a long chain are not all in memory at once.
        for files in chain.files.chunks(IN_FLIGHT) {
            for (file, mut loaded) in files.iter().zip(build::read_all_or_damage(&self.files.loader, files).await?) {
                let applied = apply(&self.files.loader, &mut builder, &mut loaded).await;
                applied.or_else(|error| Err(BuildError::Damaged(vec![Damage::of(file, error)?])))?;
                // The pages of a file that is kept in memory need no cache.
                if loaded.file.body.is_none() && bytes < MAX_FETCHED_BYTES {
                    bytes += loaded.retain_fetched_entries();
                    with_pages.push(loaded);
                }
            }
        }
        Ok((builder, with_pages))
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
                    self.record_read_around(&damaged);
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
    fn record_read_around(&self, damaged: &[Damage]) {
        for Damage { file, error } in damaged {
            let text = format!("{error}; the state is read from other files");
            if self.files.loader.checked.is_first_report(file.level, file.name) {
                tracing::warn!("{text}");
            }
            self.health.record_error(text);
        }
    }

    /// Builds the newest view whose pages the listed files hold completely. Returns None if that would be older than
    /// `not_before`: readers must not go back in time because of a hole.
    pub(in crate::replica) async fn newest_complete(
        &self,
        listed: &[Listed],
        not_before: Option<&View>,
        epoch: Epoch,
    ) -> Result<Option<View>, LoadError> {
        let mut usable = Cow::Borrowed(listed);
        let (mut damaged, mut is_early) = (Vec::new(), false);
        // A state that only damaged files lead to is an error, and no reason to go back to an older one.
        let mut least = not_before.map(View::txid);
        'planned: loop {
            for chain in plan::newest(&usable) {
                if least.is_some_and(|least| chain.end() < least) {
                    break 'planned;
                }
                match self.build(&chain, listed, epoch, not_before).await {
                    Ok(view) => {
                        self.record_read_around(&damaged);
                        return Ok(Some(view));
                    }
                    Err(BuildError::NoBase) => continue,
                    Err(BuildError::Load(error)) => return Err(error),
                    Err(BuildError::Damaged(found)) => {
                        let early = found.iter().find(|damage| !is_early && is_newest_sync(&damage.file, &usable));
                        if let Some(early) = early {
                            // It may be there by half: what the others give is the newest for now.
                            self.health.record_incomplete(&early.error);
                            leave_out(&mut usable, std::slice::from_ref(early));
                            is_early = true;
                        } else {
                            leave_out(&mut usable, &found);
                            least = least.max(Some(chain.end()));
                            damaged.extend(found);
                        }
                        continue 'planned;
                    }
                }
            }
            break;
        }
        first_error(&damaged).map_or(Ok(None), Err)
    }

    /// Reads the files after a view in a listing whose newest file ends at `end`. Leaves out the newest file of level 0 if it is
    /// incomplete: not every store writes a file in one step, and an incomplete file cannot be told from a damaged one before
    /// another file follows it.
    pub(super) async fn read_newer(&self, files: &[Listed], end: Txid) -> Result<Vec<LoadedFile>, LoadError> {
        let is_newest = |file: &Listed| file.level == Level::ZERO && file.name.max == end;
        match (build::read_all(&self.files.loader, files).await, files) {
            (Err(error), [before @ .., last]) if error.is_damage() && is_newest(last) => {
                let readings = build::read_all(&self.files.loader, before).await?;
                error.cause().into_iter().for_each(|cause| self.health.record_incomplete(cause));
                Ok(readings)
            }
            (readings, _) => readings,
        }
    }

    /// Caches the pages that were read together with the index of a file. If every file is to be verified before it is used, only those of
    /// files that were read whole: the others were verified by other responses.
    fn admit(&self, view: &View, loaded: &LoadedFile) {
        if loaded.is_whole() || !self.files.loader.verifies_all() {
            self.fetcher.admit(view, loaded);
        }
    }
}

/// Applies a file to a view, and reads its index first if that was deferred.
pub(in crate::replica) async fn apply(
    loader: &FileLoader,
    builder: &mut ViewBuilder,
    loaded: &mut LoadedFile,
) -> Result<(), LoadError> {
    if loaded.deferred_index.is_none() {
        builder.apply(loaded);
        return Ok(());
    }
    let overlay = builder.begin_file(&loaded.file);
    loader.read_deferred_index(loaded, |entries| builder.add_pages(&overlay, entries)).await?;
    builder.end_file(overlay);
    Ok(())
}

/// Whether a file is the newest of level 0, and nothing came after it.
fn is_newest_sync(file: &Listed, listed: &[Listed]) -> bool {
    file.level == Level::ZERO && listed.iter().all(|other| other.name.max <= file.name.max)
}
