//! Finds newer files: by name, and by a listing of level 0.

use crate::ltx::{FileName, Level, Txid};
use crate::replica::files::load_error::LoadError;
use crate::replica::files::plan;
use crate::replica::follow::Follower;
use crate::replica::follow::history::WitnessState;
use crate::replica::follow::schedule::PollProgress;
use crate::replica::view::View;
use crate::store::Store;
use std::sync::Arc;

/// How many files a poll requests by name, one after the other. Further ones are listed and read together, which is faster than any writer.
const MOST_BY_NAME: usize = 16;

/// What a poll of level 0 found.
pub(super) enum Newer {
    /// The view with the newer files applied; the same view if there are none.
    Followed(Arc<View>),
    /// The view's history is still that of the replica. `reappeared` if its newest file was missing at the last check.
    SameHistory { reappeared: bool },
    /// Files that level 0 alone does not explain.
    Unexplained,
}

impl Follower {
    /// Checks whether the view's history is still that of the replica.
    pub(super) async fn check_history(&self, view: &View, progress: &mut PollProgress) -> Result<Newer, LoadError> {
        let is_same = self.histories.witness_of(view).await? == WitnessState::Unchanged;
        let reappeared = progress.checked(is_same);
        Ok(if is_same { Newer::SameHistory { reappeared } } else { Newer::Unexplained })
    }

    /// Requests the files after the view by name, one after the other, and publishes a view for each, until there is no
    /// further file. After [`MOST_BY_NAME`] files, it lists the others. With `check`, also checks the history if there is no newer file.
    pub(super) async fn request_next(
        &self,
        mut view: Arc<View>,
        check: bool,
        progress: &mut PollProgress,
    ) -> Result<Newer, LoadError> {
        let mut confirmed = false;
        for _ in 0..MOST_BY_NAME {
            let next = view.txid().next();
            let loaded = match self.files.loader.load_by_name(Level::ZERO, FileName::of(next)).await {
                Err(error) if error.is_damage() && self.is_newest(next).await? => {
                    error.cause().into_iter().for_each(|cause| self.health.record_incomplete(cause));
                    return Ok(Newer::Followed(view));
                }
                loaded => loaded?,
            };
            let Some(loaded) = loaded else {
                return match check && !confirmed {
                    true => Ok(match self.check_history(&view, progress).await? {
                        Newer::SameHistory { reappeared: false } => Newer::Followed(view),
                        newer => newer,
                    }),
                    false => Ok(Newer::Followed(view)),
                };
            };
            if loaded.file.follows(view.tip()) == Some(true) {
                // This also proves that the history is the same.
                confirmed = true;
            } else if !loaded.file.header.continues(&view.tip().header) {
                // The primary restarted its WAL, or the database was replaced: the header of a file that contains every
                // page does not say which.
                return self.list_level_0(view, progress).await;
            }
            // Two primaries that were cloned from one machine image write WALs that begin with the same bytes.
            if !std::mem::replace(&mut confirmed, true)
                && !matches!(self.check_history(&view, progress).await?, Newer::SameHistory { .. })
            {
                return self.list_level_0(view, progress).await;
            }
            match self.views.extend(&view, &[loaded]) {
                Some(next) => view = self.head.publish(Some(&view), next),
                None => return Ok(Newer::Unexplained),
            }
        }
        self.list_level_0(view, progress).await
    }

    /// Lists level 0 from the view on and applies the files there, if the view's own newest file is unchanged.
    pub(super) async fn list_level_0(&self, view: Arc<View>, progress: &mut PollProgress) -> Result<Newer, LoadError> {
        progress.listed_level_0();
        let listed = self.files.store.list(Level::ZERO, view.txid()).await?;
        let own = listed.first().filter(|first| first.name.max == view.txid());
        let later = &listed[usize::from(own.is_some())..];
        let unchanged = own.and_then(|own| Some(own.version.as_ref()? == view.witness()?));
        let steps = plan::onwards(later, view.txid());
        if steps.len() < later.len() {
            progress.saw_beyond();
            return Ok(Newer::Unexplained);
        }
        if unchanged == Some(false) {
            return Ok(Newer::Unexplained);
        }
        // Not every server lists versions. If there are no newer files, the regular check of the history suffices.
        let is_proven = unchanged.is_some() || own.is_some() && steps.is_empty();
        if !is_proven && !matches!(self.check_history(&view, progress).await?, Newer::SameHistory { .. }) {
            return Ok(Newer::Unexplained);
        }
        let Some(last) = steps.last() else { return Ok(Newer::Followed(view)) };
        let loaded = self.views.read_newer(&steps, last.name.max).await?;
        if loaded.is_empty() {
            return Ok(Newer::Followed(view));
        }
        Ok(self
            .views
            .extend(&view, &loaded)
            .map_or(Newer::Unexplained, |next| Newer::Followed(self.head.publish(Some(&view), next))))
    }

    /// Returns whether level 0 has no file after a transaction.
    async fn is_newest(&self, txid: Txid) -> Result<bool, LoadError> {
        Ok(self.files.store.list(Level::ZERO, txid.next()).await?.is_empty())
    }
}
