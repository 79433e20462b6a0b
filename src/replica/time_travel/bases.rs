//! Files that hold every page: behind a hole, moments begin anew with them, as after a reset of the primary whose replica
//! was lost. Names do not tell, so the first file behind each hole is read. A healthy replica has none. Transactions that a
//! longer file bridges are no hole, even if the moments end inside that file: `litestream restore` refuses them too.

use crate::ltx::Txid;
use crate::replica::files::loader::LoadError;
use crate::replica::time_travel::reachable::{first_behind_holes, reachable};
use crate::replica::time_travel::{ReachableMoment, TimeTravel};
use crate::replica::view::ViewBuilder;
use crate::store::Listed;
use std::collections::BTreeSet;

impl TimeTravel {
    /// The moments before `end` that files lead to, in their order, if the one at `base` can be had. Files that begin before
    /// `end` and reach beyond it show where there is no hole.
    pub(super) async fn moments_of(
        &self,
        mut files: Vec<Listed>,
        base: Txid,
        end: Txid,
    ) -> Result<Vec<ReachableMoment>, LoadError> {
        files.retain(|file| file.name.min < end);
        let mut whole = BTreeSet::new();
        for first in first_behind_holes(&files, base) {
            match self.files.loader.read(first).await {
                Ok(reading) => {
                    let mut draft = ViewBuilder::default();
                    draft.apply(&reading);
                    if draft.is_complete() {
                        whole.insert(first.name.min);
                    }
                }
                Err(LoadError::Moved) => return Err(LoadError::Moved),
                Err(LoadError::Other(error)) => tracing::debug!("no base: {error}"),
            }
        }
        files.retain(|file| file.name.max < end);
        Ok(reachable(files, base, &whole))
    }
}
