//! Lists all states in batches, newest first, so that a query for the last ten does not list a year of level 0.

use crate::error::Error;
use crate::ltx::{Level, Txid};
use crate::replica::files::load_error::LoadError;
use crate::replica::files::{StaleListings, listing};
use crate::replica::time_travel::TimeTravel;
use crate::replica::time_travel::headers::existing;
use crate::replica::time_travel::reachable::ReachableState;
use crate::store::{Listed, Store};
use futures_util::future::FutureExt;

/// An available state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryRow {
    /// Its transaction.
    pub txid: Txid,
    /// When the transaction was written, in milliseconds since 1970.
    pub time_ms: i64,
    /// The lowest level with a file that ends at the transaction.
    pub level: Level,
    /// Size of the database, in pages.
    pub pages: u32,
    /// Size of that file.
    pub bytes: u64,
}

/// How far the states of a replica have been listed.
#[derive(Debug, Default)]
pub struct MomentList {
    /// The files of levels 1 to 9. None before they are listed.
    compacted: Option<Vec<Listed>>,
    /// The states that those files lead to without level 0.
    coarse: Vec<Txid>,
    /// The states that have been listed but not returned, in ascending order.
    pending: Vec<ReachableState>,
    /// Level 0 has been listed from this transaction on.
    listed_from: Txid,
    /// How many transactions of level 0 are listed next.
    window: u64,
    /// How many states are returned next.
    batch: usize,
}

const FIRST_WINDOW: u64 = 64;
const FIRST_BATCH: usize = 16;
const MAX_BATCH: usize = 256;

impl TimeTravel {
    /// Returns the next older states, newest first. Returns no rows at the end of the history.
    pub(in crate::replica) async fn older_states(&self, history: &mut MomentList) -> Result<Vec<HistoryRow>, Error> {
        let mut listings = StaleListings::default();
        loop {
            if let Some(rows) = listings.settle(self.next_batch(history).await, || self.files.too_fast()) {
                return rows;
            }
        }
    }

    async fn next_batch(&self, history: &mut MomentList) -> Result<Vec<HistoryRow>, LoadError> {
        if history.compacted.is_none() {
            self.list_compacted(history).await?;
        }
        loop {
            while history.pending.is_empty() {
                if history.listed_from <= Txid(1) {
                    return Ok(Vec::new());
                }
                self.list_older(history).await?;
            }
            let rest = history.pending.len().saturating_sub(history.batch);
            let batch = history.pending.split_off(rest);
            history.batch = (history.batch * 2).min(MAX_BATCH);
            let rows = self.rows(&batch).await?;
            // All files of the batch may be damaged, or have been deleted since they were listed.
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
    }

    async fn list_compacted(&self, history: &mut MomentList) -> Result<(), LoadError> {
        let compacted = listing::compacted(&*self.files.store).await?;
        let coarse = self.states_in(compacted.clone(), Txid(0), Txid(u64::MAX)).await?;
        history.coarse = coarse.iter().map(|state| state.txid).collect();
        history.compacted = Some(compacted);
        history.listed_from = Txid(u64::MAX);
        (history.window, history.batch) = (FIRST_WINDOW, FIRST_BATCH);
        Ok(())
    }

    /// Lists the next older part of level 0, and finds the states in it.
    async fn list_older(&self, history: &mut MomentList) -> Result<(), LoadError> {
        let files = history.compacted.as_deref().unwrap_or_default();
        let end = history.listed_from;
        let newest = files.iter().map(|file| file.name.max).max().max(self.head.view().map(|head| head.txid()));
        let below = Txid(newest.unwrap_or_default().0.min(end.0.saturating_sub(1)));
        let mut start = Txid(below.0.saturating_sub(history.window - 1).max(1));
        let mut fine = self.files.store.list_range(Level::ZERO, start..end).await?;
        let mut base = history.coarse.iter().copied().filter(|txid| *txid < start).max().unwrap_or_default();
        let may_continue_below = start > base.next() && fine.first().is_some_and(|first| first.name.min == start);
        if may_continue_below && self.is_at_level_0(base.next()).await? {
            // Level 0 has no holes, so its files lead from the coarse state to `start`.
            base = Txid(start.0 - 1);
        } else if may_continue_below {
            // Level 0 begins between the coarse state and `start`. Which states are available depends on where.
            start = Txid(1);
            fine = self.files.store.list_range(Level::ZERO, start..end).await?;
            base = Txid(0);
        }
        let compacted = files.iter().filter(|file| file.name.max >= start).cloned();
        history.pending = self.states_in(compacted.chain(fine).collect(), base, end).await?;
        history.listed_from = start;
        history.window = history.window.saturating_mul(2);
        Ok(())
    }

    async fn is_at_level_0(&self, txid: Txid) -> Result<bool, LoadError> {
        Ok(!self.files.store.list_range(Level::ZERO, txid..txid.next()).await?.is_empty())
    }

    /// Reads the headers of states in ascending order, and returns their rows in descending order. A state whose file is
    /// damaged has none.
    async fn rows(&self, states: &[ReachableState]) -> Result<Vec<HistoryRow>, LoadError> {
        let mut rows = Vec::with_capacity(states.len());
        let headers = existing(states.iter().map(|state| self.state_header(state).boxed()).collect()).await;
        let headers = headers.map_err(LoadError::Other)?;
        for (state, header) in states.iter().zip(headers).rev() {
            let finest = &state.files[0];
            rows.extend(header.map(|header| HistoryRow {
                txid: state.txid,
                time_ms: header.time_ms,
                level: finest.level,
                pages: header.commit,
                bytes: finest.size,
            }));
        }
        Ok(rows)
    }
}
