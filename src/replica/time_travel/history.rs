//! All moments, newest first, a few at a time: whoever wants the last ten does not have a year of level 0 listed.

use crate::error::Error;
use crate::ltx::{Level, Txid};
use crate::replica::files::loader::LoadError;
use crate::replica::files::{StaleListings, listing};
use crate::replica::time_travel::stamps::or_gone;
use crate::replica::time_travel::{ReachableMoment, TimeTravel};
use crate::store::{Listed, Store};
use futures_util::future::FutureExt;

/// A moment that one can go to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryRow {
    /// Its transaction.
    pub txid: Txid,
    /// When that was written, in milliseconds since 1970.
    pub time_ms: i64,
    /// The lowest level at which a file ends there.
    pub level: Level,
    /// Size of the database, in pages.
    pub pages: u32,
    /// Size of that file.
    pub bytes: u64,
}

/// How far the moments of a replica have been told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MomentList {
    /// The files of levels 1 to 9, once they are listed.
    compacted: Option<Vec<Listed>>,
    /// The moments that those lead to by themselves.
    coarse: Vec<Txid>,
    /// What has been listed and not told, ascending.
    pending: Vec<ReachableMoment>,
    /// Everything from here on has been listed.
    listed_from: Txid,
    /// How many transactions of level 0 are listed next, and how many moments told.
    window: u64,
    portion: usize,
}

const FIRST_WINDOW: u64 = 64;
const FIRST_PORTION: usize = 16;
const LARGEST_PORTION: usize = 256;

impl TimeTravel {
    /// The next moments towards the past. None are left where none come.
    pub(in crate::replica) async fn older(&self, history: &mut MomentList) -> Result<Vec<HistoryRow>, Error> {
        let mut listings = StaleListings::default();
        loop {
            if let Some(rows) = listings.settle(self.tell_older(history).await, || self.files.too_fast()) {
                return rows;
            }
        }
    }

    async fn tell_older(&self, history: &mut MomentList) -> Result<Vec<HistoryRow>, LoadError> {
        if history.compacted.is_none() {
            self.begin(history).await?;
        }
        loop {
            while history.pending.is_empty() {
                if history.listed_from <= Txid(1) {
                    return Ok(Vec::new());
                }
                self.list_older(history).await?;
            }
            let first = history.pending.len().saturating_sub(history.portion);
            let told = history.pending.split_off(first);
            history.portion = (history.portion * 2).min(LARGEST_PORTION);
            let rows = self.rows(&told).await?;
            // Files can go between the listing and now.
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
    }

    async fn begin(&self, history: &mut MomentList) -> Result<(), LoadError> {
        let compacted = listing::compacted(&*self.files.store).await?;
        let coarse = self.moments_of(compacted.clone(), Txid(0), Txid(u64::MAX)).await?;
        history.coarse = coarse.iter().map(|moment| moment.txid).collect();
        history.compacted = Some(compacted);
        history.listed_from = Txid(u64::MAX);
        (history.window, history.portion) = (FIRST_WINDOW, FIRST_PORTION);
        Ok(())
    }

    /// Lists the part of level 0 before what has been listed.
    async fn list_older(&self, history: &mut MomentList) -> Result<(), LoadError> {
        let files = history.compacted.as_deref().unwrap_or_default();
        let end = history.listed_from;
        let newest = files.iter().map(|file| file.name.max).max().max(self.head.view().map(|head| head.txid()));
        let below = Txid(newest.unwrap_or_default().0.min(end.0.saturating_sub(1)));
        let mut start = Txid(below.0.saturating_sub(history.window - 1).max(1));
        let mut fine = self.files.store.list_range(Level::ZERO, start..end).await?;
        let mut base = history.coarse.iter().copied().filter(|txid| *txid < start).max().unwrap_or_default();
        let is_cut = start > base.next() && fine.first().is_some_and(|first| first.name.min == start);
        if is_cut && self.is_at_level_0(base.next()).await? {
            // Level 0 has no holes, so that it leads from the moment to here.
            base = Txid(start.0 - 1);
        } else if is_cut {
            // Where it begins decides what can be had of it.
            start = Txid(1);
            fine = self.files.store.list_range(Level::ZERO, start..end).await?;
            base = Txid(0);
        }
        let compacted = files.iter().filter(|file| file.name.max >= start).cloned();
        history.pending = self.moments_of(compacted.chain(fine).collect(), base, end).await?;
        history.listed_from = start;
        history.window = history.window.saturating_mul(2);
        Ok(())
    }

    async fn is_at_level_0(&self, txid: Txid) -> Result<bool, LoadError> {
        Ok(!self.files.store.list_range(Level::ZERO, txid..txid.next()).await?.is_empty())
    }

    /// The rows of moments that come in their order, the other way round.
    async fn rows(&self, moments: &[ReachableMoment]) -> Result<Vec<HistoryRow>, LoadError> {
        let mut rows = Vec::with_capacity(moments.len());
        let stamps = or_gone(moments.iter().map(|moment| self.stamp_of(moment).boxed()).collect()).await;
        let stamps = stamps.map_err(LoadError::Other)?;
        for (moment, stamp) in moments.iter().zip(stamps).rev() {
            let finest = &moment.files[0];
            rows.extend(stamp.map(|stamp| HistoryRow {
                txid: moment.txid,
                time_ms: stamp.ms,
                level: finest.level,
                pages: stamp.commit,
                bytes: finest.size,
            }));
        }
        Ok(rows)
    }
}
