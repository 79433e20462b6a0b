//! Builds views from listings, and reads around damaged files.

use crate::ltx::{Level, Txid};
use crate::replica::fetch::Fetcher;
use crate::replica::files::damage::{Damage, first_error, leave_out};
use crate::replica::files::loader::LoadError;
use crate::replica::files::ltx_file::LoadedFile;
use crate::replica::files::plan::FileChain;
use crate::replica::files::{Files, plan};
use crate::replica::follow::health::Health;
use crate::replica::view::build::{self, BuildError, IN_FLIGHT};
use crate::replica::view::{Epoch, View, ViewBuilder};
use crate::store::Listed;
use std::borrow::Cow;
use std::sync::Arc;

/// The most bytes, read together with indexes, that are searched for pages: those of the first files of a chain, which are
/// the largest.
const CAME_ALONG: u64 = 16 << 20;

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

    /// Builds the view at the end of a chain, a state of `epoch`. `listed` is the listing that the chain was planned from, `known` a view
    /// that may be of the same state. Pages that were read together with the indexes go into the cache.
    async fn build(
        &self,
        chain: &FileChain,
        listed: &[Listed],
        epoch: Epoch,
        known: Option<&View>,
    ) -> Result<View, BuildError> {
        let witnesses = build::witnesses(&self.files.loader, chain, listed).await;
        let mut draft = ViewBuilder::default();
        let (mut came, mut bytes) = (Vec::new(), 0);
        // A few files at a time: the indexes of a large chain need not all be in memory at once.
        for files in chain.files.chunks(IN_FLIGHT) {
            for (file, mut reading) in files.iter().zip(build::read_sound(&self.files.loader, files).await?) {
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
        self.files.loader.read_left_out(reading, |entries| draft.lay(&laying, entries)).await?;
        draft.end(laying);
        Ok(())
    }

    /// Builds the view at a transaction. Avoids damaged files if others give the same state. Returns None if no files give the state,
    /// and an error if only damaged files do.
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

    /// Records that a state was read without these files.
    fn record_read_around(&self, damaged: &[Damage]) {
        for Damage { file, error } in damaged {
            let text = format!("{error}; the state is read from other files");
            if self.files.loader.checked.is_news(file.level, file.name) {
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

    /// Applies the files that follow a view to a copy of it. Returns None if a page would be missing, or if a file is so large that the
    /// view is better planned again.
    pub(super) fn extend(&self, view: &View, readings: &[LoadedFile]) -> Option<View> {
        if readings.iter().any(|reading| reading.left_out.is_some()) {
            return None;
        }
        let mut draft = ViewBuilder::from(view);
        readings.iter().for_each(|reading| draft.apply(reading));
        let next = draft.finish(view.epoch(), None).ok()?;
        // What was just written is read next.
        readings.iter().for_each(|reading| self.fetcher.admit(&next, reading));
        Some(next)
    }
}

/// Whether a file is the newest of level 0, and nothing came after it.
fn is_newest_sync(file: &Listed, listed: &[Listed]) -> bool {
    file.level == Level::ZERO && listed.iter().all(|other| other.name.max <= file.name.max)
}
