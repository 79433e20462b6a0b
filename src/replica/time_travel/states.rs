//! The states of a listing, including those that begin after a hole.
//!
//! After a hole, states begin again with a file that contains every page, for example if the primary was reset because
//! its replica was lost. File names do not show which files are complete, so the first file after each hole is read. A
//! healthy replica has no holes. Transactions that a longer file bridges are not a hole, even if the only state there
//! is at the end of that file: `litestream restore` refuses the others too.

use crate::config::Target;
use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::replica::files::load_error::LoadError;
use crate::replica::files::{StaleListings, listing};
use crate::replica::follow::view_loader::apply;
use crate::replica::time_travel::TimeTravel;
use crate::replica::time_travel::reachable::{ReachableState, first_after_holes, reachable};
use crate::replica::view::{View, ViewBuilder};
use crate::store::Listed;
use std::collections::BTreeSet;
use std::sync::Arc;

impl TimeTravel {
    /// Returns all available states up to a transaction, in ascending order.
    pub(in crate::replica) async fn states_until(&self, last: Txid) -> Result<Vec<ReachableState>, Error> {
        let mut listings = StaleListings::default();
        loop {
            let found = async {
                let listed = listing::all(&*self.files.store).await?;
                self.states_in(listed, Txid(0), last.next()).await
            };
            if let Some(states) = listings.settle(found.await, || self.files.too_fast()) {
                return states;
            }
        }
    }

    /// Returns the view of an available state.
    pub(in crate::replica) async fn view_at_state(&self, txid: Txid) -> Result<Arc<View>, Error> {
        let view = self.view_of(Target::Txid(txid)).await?;
        view.ok_or_else(|| Error::internal("a transaction has no view"))
    }

    /// Returns the view of the last available state before a transaction.
    pub(in crate::replica) async fn view_before(&self, txid: Txid) -> Result<Arc<View>, Error> {
        match self.states_until(Txid(txid.0.saturating_sub(1))).await?.last() {
            Some(state) => self.view_at_state(state.txid).await,
            None => {
                let message = format!("{} has no state before TXID {txid}", self.files.store);
                Err(Error::new(ErrorKind::Empty, message).remedy("name a later state"))
            }
        }
    }

    /// Returns when the transaction of a state was written, in milliseconds since 1970. Fails with
    /// [`ErrorKind::TooOld`] if its files were deleted.
    pub(in crate::replica) async fn state_time(&self, state: &ReachableState) -> Result<i64, Error> {
        match self.state_header(state).await {
            Ok(header) => Ok(header.time_ms),
            Err(LoadError::Moved) => Err(self.deleted()),
            Err(LoadError::Other(error)) => Err(error),
        }
    }

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
            if self.has_every_page(file).await? {
                complete.insert(file.name.min);
            }
        }
        files.retain(|file| file.name.max < end);
        Ok(reachable(files, base, &complete))
    }

    /// Whether a file contains every page of its state. No state begins with one that is damaged.
    async fn has_every_page(&self, file: &Listed) -> Result<bool, LoadError> {
        let read = async {
            let mut builder = ViewBuilder::default();
            apply(&self.files.loader, &mut builder, &mut self.files.loader.read(file).await?).await?;
            Ok::<_, LoadError>(builder.is_complete())
        };
        match read.await {
            Err(error) if error.is_damage() => {
                tracing::debug!("no states begin with {}, which is damaged", file.name);
                Ok(false)
            }
            result => result,
        }
    }
}
