//! Decides when to stop fetching single pages and fetch all of a table or an index: the ski rental problem.
//!
//! Each wait for a page of a table or an index costs one round trip. Fetching the rest of it costs the time that its bytes
//! take, and bytes are compared with what the store transfers during one round trip. Once the waits have cost as much as the
//! rest would, the rest is fetched. So it takes at most twice as long as if the reads had been known from the start. A small
//! table is fetched soon after random reads begin; a table far larger than what the reads wait for is never fetched.

use crate::replica::dbformat::btree::PageKind;
use std::collections::HashMap;

/// The key of the whole database, where page numbers are the keys of tables, indexes and parts of them.
pub(super) const DATABASE: u32 = 0;

/// The maximum number of keys that are remembered.
const MAX_KEYS: usize = 4096;

/// Waits for pages, by the page above them in the tree, and how much may be fetched in bulk.
#[derive(Default)]
pub(in crate::replica) struct WaitCosts {
    waits: HashMap<u32, Waits>,
    /// Bytes that were fetched in bulk, minus an allowance for each later wait.
    recent_bulk_bytes: u64,
}

/// The waits for pages below one page.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Waits {
    /// All of them.
    pub total: u32,
    /// Those for leaves. Each lookup waits for at most one.
    pub leaves: u32,
}

impl Waits {
    /// Returns true if the waits have cost as much as reading `bytes`, where one wait costs `round_trip_bytes`.
    pub(super) fn cost_as_much_as(self, bytes: u64, round_trip_bytes: u64) -> bool {
        bytes > 0 && bytes <= round_trip_bytes.saturating_mul(self.total.into())
    }
}

impl WaitCosts {
    /// Counts a wait for a page of some kind below another, and returns all waits below that one.
    pub(super) fn add(&mut self, below: u32, kind: PageKind) -> Waits {
        if self.waits.len() >= MAX_KEYS {
            self.waits.clear();
        }
        let waits = self.waits.entry(below).or_default();
        waits.total = waits.total.saturating_add(1);
        waits.leaves = waits.leaves.saturating_add(u32::from(kind == PageKind::Leaf));
        *waits
    }

    /// As [`WaitCosts::add`], but only if no wait was counted yet. Returns None otherwise.
    pub(super) fn add_first(&mut self, below: u32) -> Option<Waits> {
        (!self.waits.contains_key(&below)).then(|| self.add(below, PageKind::Interior))
    }

    /// Allows `bytes` more to be fetched in bulk.
    pub(super) fn allow(&mut self, bytes: u64) {
        self.recent_bulk_bytes = self.recent_bulk_bytes.saturating_sub(bytes);
    }

    /// Counts a bulk fetch of `bytes` below some pages and resets the waits there. Returns false, and does nothing, if
    /// recent bulk fetches would then exceed `max` bytes: pages that are fetched in bulk again and again do not stay in the
    /// cache, and waiting for single ones is cheaper.
    pub(super) fn start_bulk_fetch(&mut self, below: impl Iterator<Item = u32>, bytes: u64, max: u64) -> bool {
        let is_allowed = self.recent_bulk_bytes.saturating_add(bytes) <= max;
        if is_allowed {
            self.recent_bulk_bytes += bytes;
            below.for_each(|pgno| {
                self.waits.remove(&pgno);
            });
        }
        is_allowed
    }
}
