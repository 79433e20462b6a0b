//! Finds the state of a time or a TXID, and builds its view.

use crate::config::Target;
use crate::error::{Error, ErrorKind};
use crate::ltx::{Level, Txid};
use crate::replica::files::damage::{Damage, first_error};
use crate::replica::files::listing;
use crate::replica::files::load_error::LoadError;
use crate::replica::time_travel::TimeTravel;
use crate::replica::time_travel::reachable::ReachableState;
use crate::replica::view::{Epoch, View};
use crate::store::{self, Listed, Store};
use crate::time;
use std::ops::Range;
use std::sync::Arc;

/// The transaction of a target.
struct ResolvedTarget {
    txid: Txid,
    /// The part of a listing that is needed to build its view.
    files: Vec<Listed>,
    /// The state before, if only the newest file of level 0 leads to the transaction: it may not be complete yet.
    before: Option<Txid>,
    /// Whether the target cannot mean a later transaction, not even one that is still to be written.
    is_final: bool,
}

impl TimeTravel {
    /// Lists the replica, finds the state of `target`, and returns its view.
    ///
    /// A first listing that does not lead to the newest view is not believed: it may be out of date, or lack a file.
    pub(super) async fn resolve(&self, target: Target, is_first: bool) -> Result<Arc<View>, LoadError> {
        let compacted = listing::compacted(&*self.files.store).await?;
        let coarse = self.states_in(compacted.clone(), Txid(0), Txid(u64::MAX)).await?;
        let resolved = match target {
            Target::Time(ms) => self.resolve_time(ms, compacted, coarse).await?,
            Target::Txid(txid) => self.resolve_txid(txid, compacted, &coarse).await?,
            Target::Latest | Target::Now => {
                return Err(LoadError::Other(Error::internal("the newest state is not found by a search")));
            }
        };
        if is_first && !resolved.is_final && self.head.view().is_some_and(|head| resolved.txid < head.txid()) {
            return Err(LoadError::Moved);
        }
        let view = match (self.view_at(resolved.txid, &resolved.files).await, resolved.before) {
            (Err(error), Some(before)) if error.is_damage() => self.view_at(before, &resolved.files).await?,
            (view, _) => view?,
        };
        if let (Target::Time(ms), true) = (target, resolved.is_final) {
            self.recent.record_found(view.epoch(), ms, resolved.txid);
        }
        Ok(view)
    }

    /// Finds the last state at or before a time: first among the coarse states, then between two of them.
    ///
    /// A damaged file is like a missing one, but if the time may be that of its state, the result is the damage. The
    /// newest file of level 0 may be incomplete, so its damage is none: the state before it is the newest one.
    async fn resolve_time(
        &self,
        ms: i64,
        compacted: Vec<Listed>,
        mut coarse: Vec<ReachableState>,
    ) -> Result<ResolvedTarget, LoadError> {
        // Damaged coarse states are found again among those between two others.
        let (until, _) = self.count_until(&mut coarse, ms).await?;
        let floor = until.checked_sub(1).map_or(Txid(0), |last| coarse[last].txid);
        let ceiling = coarse.get(until).map_or(Txid(u64::MAX), |later| later.txid);
        // The range includes the file at the floor, because that has the exact time of its transaction.
        let fine = self.list_level_0(floor..ceiling).await?;
        let files: Vec<Listed> = compacted.iter().chain(&fine).cloned().collect();
        let newest = files.iter().map(|file| file.name.max).max();
        let is_newest_sync = |file: &Listed| file.level == Level::ZERO && Some(file.name.max) == newest;
        let mut states = self.states_in(files, floor, ceiling).await?;
        let (count, mut damaged) = self.count_until(&mut states, ms).await?;
        let last_of = |count: usize| count.checked_sub(1).map_or(floor, |last| states[last].txid);
        let (txid, later) = (last_of(count), states.get(count).map_or(ceiling, |later| later.txid));
        damaged.retain(|Damage { file, .. }| (txid..later).contains(&file.name.max) && !is_newest_sync(file));
        first_error(&damaged).map_or(Ok(()), Err)?;
        if txid == Txid(0) {
            let first = states.first().or(coarse.first());
            return Err(LoadError::Other(self.before_first_error(ms, first).await?));
        }
        let incomplete = count.checked_sub(1).filter(|last| states[*last].files.last().is_some_and(is_newest_sync));
        let before = incomplete.map(last_of).filter(|before| *before > Txid(0));
        let is_final = count < states.len() || until < coarse.len();
        Ok(ResolvedTarget { txid, files: self.with_head(compacted, fine).await?, before, is_final })
    }

    /// Lists the part of level 0 that is needed for the state at a transaction.
    async fn resolve_txid(
        &self,
        txid: Txid,
        compacted: Vec<Listed>,
        coarse: &[ReachableState],
    ) -> Result<ResolvedTarget, LoadError> {
        let until = coarse.partition_point(|state| state.txid <= txid);
        let floor = until.checked_sub(1).map_or(Txid(0), |last| coarse[last].txid);
        let fine = self.list_level_0(floor..txid.next()).await?;
        Ok(ResolvedTarget { txid, files: self.with_head(compacted, fine).await?, before: None, is_final: true })
    }

    async fn list_level_0(&self, range: Range<Txid>) -> Result<Vec<Listed>, store::StoreError> {
        if range.is_empty() { Ok(Vec::new()) } else { self.files.store.list_range(Level::ZERO, range).await }
    }

    /// Joins the parts of a listing, and adds the files of level 0 from the newest view's transaction on: they show
    /// whether the replica still has the history of that view.
    async fn with_head(&self, mut compacted: Vec<Listed>, fine: Vec<Listed>) -> Result<Vec<Listed>, store::StoreError> {
        if let Some(head) = self.head.view() {
            let newest = self.list_level_0(head.txid()..Txid(u64::MAX)).await?;
            compacted.extend(newest.into_iter().filter(|file| !fine.iter().any(|listed| listed.name == file.name)));
        }
        compacted.extend(fine);
        Ok(compacted)
    }

    /// Returns the view at a transaction, and builds it from the listed files if it is not known.
    async fn view_at(&self, txid: Txid, listed: &[Listed]) -> Result<Arc<View>, LoadError> {
        let epoch = self.histories.epoch_of(self.head.view(), listed).await?;
        let view = match self.known_view(epoch, txid) {
            Some(view) => view,
            None => Arc::new(self.build_at(txid, listed, epoch).await?),
        };
        self.keep(&view);
        Ok(view)
    }

    async fn build_at(&self, txid: Txid, listed: &[Listed], epoch: Epoch) -> Result<View, LoadError> {
        match self.views.build_around(txid, listed, epoch, None).await? {
            Some(view) => Ok(view),
            None => Err(LoadError::Other(self.no_state_error(txid).await?)),
        }
    }

    /// The error for a time before the first state.
    async fn before_first_error(&self, ms: i64, first: Option<&ReachableState>) -> Result<Error, LoadError> {
        let Some(first) = first else { return Ok(self.files.empty()) };
        let earliest = time::format(self.state_header(first).await?.time_ms);
        let message = format!("{} has no state at or before {}", self.files.store, time::format(ms));
        Ok(Error::new(ErrorKind::Empty, message).remedy(format!("the earliest state is of {earliest}")))
    }

    /// The error for a transaction at which there is no state. Names the nearest transactions that have one.
    async fn no_state_error(&self, txid: Txid) -> Result<Error, LoadError> {
        let states = self.states_in(listing::all(&*self.files.store).await?, Txid(0), Txid(u64::MAX)).await?;
        let next = states.partition_point(|state| state.txid <= txid);
        let above = states.get(next).map(|state| state.txid);
        let below = states[..next].iter().rev().map(|state| state.txid).find(|below| *below < txid);
        let message = format!("{} has no state at TXID {txid}", self.files.store);
        let remedy = match (below, above) {
            (Some(below), Some(above)) => format!("the nearest TXIDs with a state are {below} and {above}"),
            (Some(below), None) => format!("the newest state is at TXID {below}"),
            (None, Some(above)) => format!("the earliest state is at TXID {above}"),
            (None, None) => return Ok(self.files.empty()),
        };
        Ok(Error::new(ErrorKind::Empty, message).remedy(remedy))
    }
}
