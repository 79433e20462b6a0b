//! The states of a listing, including those that begin after a hole.
//!
//! After a hole, states begin again with a file that contains every page, for example if the primary was reset because
//! its replica was lost. File names do not show which files are complete, so the first file after each hole is read. A
//! healthy replica has no holes. Transactions that a longer file bridges are not a hole, even if the only state there
//! is at the end of that file: `litestream restore` refuses the others too.

use crate::ltx::Txid;
use crate::replica::files::loader::LoadError;
use crate::replica::follow::view_loader::apply;
use crate::replica::time_travel::TimeTravel;
use crate::replica::time_travel::reachable::{ReachableState, first_after_holes, reachable};
use crate::replica::view::ViewBuilder;
use crate::store::Listed;
use std::collections::BTreeSet;

impl TimeTravel {
    /// Returns the states after `base` and before `end` that files lead to, in ascending order, provided that the state
    /// at `base` is available. `files` should include those that begin before `end` and end after it: they show where
    /// there is no hole.
    pub(super) async fn states_in(
        &self,
        mut files: Vec<Listed>,
        base: Txid,
        end: Txid,
    ) -> Result<Vec<ReachableState>, LoadError> {
        files.retain(|file| file.name.min < end);
        let mut complete = BTreeSet::new();
        for file in first_after_holes(&files, base) {
            match self.files.loader.read(file).await {
                Ok(mut loaded) => {
                    let mut builder = ViewBuilder::default();
                    apply(&self.files.loader, &mut builder, &mut loaded).await?;
                    if builder.is_complete() {
                        complete.insert(file.name.min);
                    }
                }
                Err(LoadError::Moved) => return Err(LoadError::Moved),
                Err(LoadError::Other(error)) => {
                    tracing::debug!("the first file after a hole cannot be read, so no states begin there: {error}");
                }
            }
        }
        files.retain(|file| file.name.max < end);
        Ok(reachable(files, base, &complete))
    }
}
