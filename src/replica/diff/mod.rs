//! What differs between two states: pages, by table and index, and rows.
//!
//! Pages that both states have in the same file are equal. Of the others, the indexes of the files
//! between the two states show which were written. The contents of those are compared, because a write can leave a page
//! as it was. Each page that differs is counted for the b-tree to which it belongs, in both states: a page that moved
//! from one table to another counts for both.
//!
//! | module | contents |
//! |---|---|
//! | `trees` | reads the b-trees, the schema and the overflow chains of a state |
//! | `owners` | which table or index each page of a state belongs to |
//! | `table` | finds a table in two states |
//! | `written` | what the pages that were written between the states contain |
//! | `sources` | the pages of a table whose rows can differ |
//! | `marks` | the interior pages below which pages were written |
//! | `layout` | how records are read as rows |
//! | `rows` | compares the rows of a table in the order of their keys |
//! | `lookup` | finds one row in a state |
//! | `history` | the search for the versions of one row: what it is of, and how far it is |
//! | `visits` | visits states for these versions |
//! | `unvisited` | the states that are still to be visited |
//! | `schema_cookies` | whether states have the same schema |
//! | `search` | starts the comparison of a table: finds the pages with rows that can differ |

mod history;
mod layout;
mod lookup;
mod marks;
mod owners;
mod rows;
mod schema_cookies;
mod search;
mod sources;
mod table;
#[cfg(test)]
mod tests;
mod trees;
mod unvisited;
mod visits;
mod written;

pub use history::{HistoryStep, RowHistory, RowVersion};
pub use layout::{Affinity, Collation, KeyColumn, TableColumn, TableLayout};
pub use rows::{RowChange, RowDiff};
pub use table::{TablePair, TableState};

use crate::error::Error;
use crate::ltx::{Level, Txid};
use crate::replica::cache::Page;
use crate::replica::files::load_error::LoadError;
use crate::replica::files::{Files, listing, plan};
use crate::replica::pages::PageReader;
use crate::replica::time_travel::TimeTravel;
use crate::replica::view::{View, build};
use crate::store::{Listed, Store};
use owners::{PageOwner, PageOwners};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// A part of the database that differs between two states.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The name of the table or index. None for pages that belong to neither.
    pub name: Option<String>,
    /// `table`, `index`, `free` for pages that are free in both states, or `pointer map`.
    pub kind: &'static str,
    /// How many pages differ.
    pub pages: u64,
}

/// How many bytes of pages are fetched together.
const BATCH: usize = 4 << 20;

/// Returns how many pages of a view are fetched together.
fn batch(view: &View) -> usize {
    BATCH / view.page_size() as usize
}

/// Compares two views of a replica.
pub(super) struct Diff {
    pub files: Arc<Files>,
    pub pages: Arc<PageReader>,
    pub time_travel: Arc<TimeTravel>,
}

impl Diff {
    /// Returns what differs between two views. The part with the most pages comes first.
    pub(super) async fn changes(&self, one: Arc<View>, other: Arc<View>) -> Result<Vec<Change>, Error> {
        let differing = self.differing_pages(&one, &other).await?;
        let owners = [
            PageOwners::find(&self.pages, &one, &differing).await?,
            PageOwners::find(&self.pages, &other, &differing).await?,
        ];
        let mut counts: BTreeMap<PageOwner, u64> = BTreeMap::new();
        for pgno in differing {
            let mut found: BTreeSet<PageOwner> = owners.iter().filter_map(|owners| owners.of(pgno)).collect();
            if found.iter().any(PageOwner::is_named) {
                found.retain(PageOwner::is_named);
            }
            found.into_iter().for_each(|owner| *counts.entry(owner).or_default() += 1);
        }
        let mut changes: Vec<Change> = counts.into_iter().map(|(owner, pages)| owner.change(pages)).collect();
        changes.sort_by_key(|change| Reverse(change.pages));
        Ok(changes)
    }

    /// Returns the pages that may differ between two views in ascending order, as far as the indexes of files show. All
    /// other pages are equal.
    async fn written_pages(&self, one: &View, other: &View) -> Result<Vec<u32>, Error> {
        let file = |view: &View, pgno| view.file_of(pgno).map(|file| file.number);
        let last = one.commit().max(other.commit());
        let mut candidates: Vec<u32> = (1..=last).filter(|pgno| file(one, *pgno) != file(other, *pgno)).collect();
        let (older, newer) = if one.txid() <= other.txid() { (one, other) } else { (other, one) };
        if one.page_size() == other.page_size()
            && let Some(written) = self.written_between(older, newer).await?
        {
            let both = older.commit().min(newer.commit());
            candidates.retain(|pgno| *pgno > both || written.contains(pgno));
        }
        Ok(candidates)
    }

    /// Returns the pages whose bytes differ between two views, and those that only one of them has.
    async fn differing_pages(&self, one: &Arc<View>, other: &Arc<View>) -> Result<BTreeSet<u32>, Error> {
        let candidates = self.written_pages(one, other).await?;
        if one.page_size() != other.page_size() {
            return Ok(candidates.into_iter().collect());
        }
        let mut differing = BTreeSet::new();
        for batch in candidates.chunks(batch(one)) {
            let (left, right) = (self.pages.pages(one, batch).await?, self.pages.pages(other, batch).await?);
            let pairs = batch.iter().zip(left.iter().zip(&right));
            differing.extend(pairs.filter(|(_, (left, right))| !is_same(left, right)).map(|(pgno, _)| *pgno));
        }
        Ok(differing)
    }

    /// Returns the pages that were written between two states of one history, and maybe others: the files can begin
    /// before the older state or end after the newer one if none fit exactly. Returns None if the remaining files do not
    /// cover the transactions between the states, apart from those that contain every page.
    async fn written_between(&self, older: &View, newer: &View) -> Result<Option<BTreeSet<u32>>, Error> {
        if older.epoch() != newer.epoch() {
            return Ok(None);
        }
        let mut listed = listing::compacted(&*self.files.store).await?;
        listed.extend(self.files.store.list_range(Level::ZERO, older.txid().next()..newer.txid().next()).await?);
        listed.retain(|file| file.name.min > Txid(1));
        let fitting = listed.iter().filter(|file| file.name.min > older.txid() && file.name.max <= newer.txid());
        let between = older.txid()..newer.txid();
        let steps = covering(&fitting.cloned().collect::<Vec<_>>(), &between).or_else(|| covering(&listed, &between));
        let Some(steps) = steps else { return Ok(None) };
        match self.written_by(&steps, newer.commit()).await {
            Ok(written) => Ok(written),
            Err(LoadError::Moved) => Ok(None),
            Err(LoadError::Other(error)) => Err(error),
        }
    }

    /// Returns the pages that files contain, the last of which leads to a state of `commit` pages, or further. Returns None
    /// if these files do not tell.
    async fn written_by(&self, files: &[Listed], commit: u32) -> Result<Option<BTreeSet<u32>>, LoadError> {
        let (mut written, mut last_commit) = (BTreeSet::new(), None);
        // A few files at a time: there can be one for every second between two states.
        for files in files.chunks(build::IN_FLIGHT) {
            let loaded = build::read_all(&self.files.loader, files).await?;
            // The index of a very large file is not read for this.
            if loaded.iter().any(|loaded| loaded.deferred_index.is_some()) {
                return Ok(None);
            }
            written.extend(loaded.iter().flat_map(|loaded| &loaded.entries).map(|entry| entry.pgno));
            last_commit = loaded.last().map(|last| last.file.header.commit);
        }
        // A file that ends later lacks the pages that the database has lost since.
        Ok(Some(written).filter(|_| last_commit.is_none_or(|last| last >= commit)))
    }
}

/// Returns the files that lead from one state to another, or further. None if they have a hole.
fn covering(files: &[Listed], between: &Range<Txid>) -> Option<Vec<Listed>> {
    let mut steps = plan::onwards(files, between.start);
    if between.start < between.end {
        let last = steps.iter().position(|step| step.name.max >= between.end)?;
        steps.truncate(last + 1);
    }
    Some(steps)
}

fn is_same(one: &Option<Page>, other: &Option<Page>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => **one == **other,
        (one, other) => one.is_none() && other.is_none(),
    }
}
