//! What differs between two moments, by table and index.
//!
//! Pages that lie in the same file in both are the same. Of the others, the indexes of the files between the two moments tell
//! which were written; what stands in those is compared, since a page can be written and stay what it was. Each
//! page that differs is attributed to the b-tree it belongs to, at both moments: a page that a table gave up
//! and another took counts for both.
//!
//! | module | what it knows |
//! |---|---|
//! | `records` | what the schema's rows say |
//! | `owners` | which b-tree pages belong to, at one moment |

mod owners;

use crate::error::Error;
use crate::ltx::Level;
use crate::replica::cache::Page;
use crate::replica::files::loader::LoadError;
use crate::replica::files::{Files, listing, plan};
use crate::replica::pages::PageReader;
use crate::replica::view::{View, build};
use crate::store::Store;
use owners::{Owners, PageOwner};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Something in a database of which pages differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Of the table or index; none for pages that belong to neither.
    pub name: Option<String>,
    /// `table`, `index`, `free` for pages that are free at both moments, or `pointer map`.
    pub kind: &'static str,
    /// How many pages differ.
    pub pages: u64,
}

/// Pages that are brought and compared at once.
const PORTION: usize = 256;

/// Compares two views of a replica.
pub(super) struct Diff {
    pub files: Arc<Files>,
    pub pages: Arc<PageReader>,
}

impl Diff {
    /// What differs between two views, most pages first.
    pub(super) async fn changes(&self, one: Arc<View>, other: Arc<View>) -> Result<Vec<Change>, Error> {
        let differing = self.differing_pages(&one, &other).await?;
        let owners =
            [Owners::find(&self.pages, &one, &differing).await?, Owners::find(&self.pages, &other, &differing).await?];
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

    /// The pages that have other bytes in one view than in another, or are in one of them alone.
    async fn differing_pages(&self, one: &Arc<View>, other: &Arc<View>) -> Result<BTreeSet<u32>, Error> {
        let place = |view: &View, pgno| view.locate(pgno).map(|extent| (extent.file.number, extent.offset));
        let last = one.commit().max(other.commit());
        let mut candidates: Vec<u32> = (1..=last).filter(|pgno| place(one, *pgno) != place(other, *pgno)).collect();
        if one.page_size() != other.page_size() {
            return Ok(candidates.into_iter().collect());
        }
        let (older, newer) = if one.txid() <= other.txid() { (one, other) } else { (other, one) };
        if let Some(written) = self.written_between(older, newer).await? {
            let both = older.commit().min(newer.commit());
            candidates.retain(|pgno| *pgno > both || written.contains(pgno));
        }
        let mut differing = BTreeSet::new();
        for portion in candidates.chunks(PORTION) {
            let (left, right) = (self.pages.pages(one, portion).await?, self.pages.pages(other, portion).await?);
            let pairs = portion.iter().zip(left.iter().zip(&right));
            differing.extend(pairs.filter(|(_, (left, right))| !same(left, right)).map(|(pgno, _)| *pgno));
        }
        Ok(differing)
    }

    /// The pages that were written between two moments of a history. None if files of those transactions alone are not there
    /// any more.
    async fn written_between(&self, older: &View, newer: &View) -> Result<Option<BTreeSet<u32>>, Error> {
        if older.epoch() != newer.epoch() {
            return Ok(None);
        }
        let mut listed = listing::compacted(&*self.files.store).await?;
        listed.extend(self.files.store.list_range(Level::ZERO, older.txid().next()..newer.txid().next()).await?);
        listed.retain(|file| file.name.min > older.txid() && file.name.max <= newer.txid());
        let steps = plan::onwards(&listed, older.txid());
        if steps.last().map_or(older.txid(), |last| last.name.max) != newer.txid() {
            return Ok(None);
        }
        match build::read_all(&self.files.loader, &steps).await {
            Ok(readings) => {
                let entries = readings.iter().flat_map(|reading| &reading.entries);
                Ok(Some(entries.map(|entry| entry.pgno).collect()))
            }
            Err(LoadError::Moved) => Ok(None),
            Err(LoadError::Other(error)) => Err(error),
        }
    }
}

fn same(one: &Option<Page>, other: &Option<Page>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => **one == **other,
        (one, other) => one.is_none() && other.is_none(),
    }
}
