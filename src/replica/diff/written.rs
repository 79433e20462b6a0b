//! What the pages that were written between two states contain.

use crate::error::Error;
use crate::replica::cache::PageKey;
use crate::replica::dbformat::btree::{self, PageKind};
use crate::replica::dbformat::cells;
use crate::replica::dbformat::freelist::FreeList;
use crate::replica::diff::BATCH;
use crate::replica::diff::page_set::PageSet;
use crate::replica::diff::sources::{MarkTarget, TableTree};
use crate::replica::diff::trees::TreeReader;
use std::collections::BTreeSet;

/// The pages that were written, by their content in the newer state.
#[derive(Debug, Default)]
pub(super) struct WrittenPages {
    /// The pages of tables with rowids.
    pub tables: Vec<MarkTarget>,
    /// All pages of tables and indexes that can contain rows.
    nodes: Vec<u32>,
    /// All others, which include overflow pages.
    others: Vec<u32>,
}

impl WrittenPages {
    pub(super) async fn read(newer: &TreeReader<'_>, written: &[u32]) -> Result<WrittenPages, Error> {
        let mut pages = WrittenPages::default();
        let existing: Vec<u32> = written.iter().copied().filter(|pgno| *pgno <= newer.view.commit()).collect();
        for batch in existing.chunks(BATCH) {
            for (pgno, page) in batch.iter().zip(newer.reader.pages(newer.view, batch).await?) {
                pages.add(newer, *pgno, page.as_deref().unwrap_or_default());
            }
        }
        Ok(pages)
    }

    fn add(&mut self, newer: &TreeReader<'_>, pgno: u32, page: &[u8]) {
        let kind = btree::kind(page, pgno);
        if kind == PageKind::Other {
            self.others.push(pgno);
            return;
        }
        self.nodes.push(pgno);
        if btree::is_of_table(page, pgno) {
            let rowid = match kind {
                PageKind::Interior => btree::rowid_bounds(page, pgno).and_then(|bounds| bounds.first().copied()),
                _ => cells::each(page, pgno, newer.usable, newer.view.commit()).flatten().find_map(|cell| cell.rowid),
            };
            self.tables.extend(rowid.map(|rowid| MarkTarget { pgno, rowid }));
        }
    }

    /// Returns the pages that may be overflow pages in both states, with different content. If there are none, values
    /// whose cells are equal are equal.
    pub(super) async fn overwritten(
        &self,
        older: &TreeReader<'_>,
        newer: &TreeReader<'_>,
    ) -> Result<BTreeSet<u32>, Error> {
        let mut overwritten = BTreeSet::new();
        let both: Vec<u32> = self.others.iter().copied().filter(|pgno| *pgno <= older.view.commit()).collect();
        for batch in both.chunks(BATCH) {
            let before = older.reader.pages(older.view, batch).await?;
            let after = newer.reader.pages(newer.view, batch).await?;
            for ((pgno, before), after) in batch.iter().zip(before).zip(after) {
                let (before, after) = (before.as_deref(), after.as_deref());
                if btree::kind(before.unwrap_or_default(), *pgno) == PageKind::Other && before != after {
                    overwritten.insert(*pgno);
                }
            }
        }
        if !overwritten.is_empty() {
            for trees in [older, newer] {
                trees.remove_bookkeeping(&mut overwritten).await?;
            }
        }
        Ok(overwritten)
    }

    /// Removes those of some overflow pages that belong to rows in pages that were written too.
    pub(super) async fn remove_explained(
        &self,
        newer: &TreeReader<'_>,
        overwritten: &mut BTreeSet<u32>,
    ) -> Result<(), Error> {
        for batch in self.nodes.chunks(BATCH) {
            if overwritten.is_empty() {
                break;
            }
            for pgno in newer.overflow_pages(batch).await? {
                overwritten.remove(&pgno);
            }
        }
        Ok(())
    }
}

impl TreeReader<'_> {
    /// Removes the pages from a set that are free or pointer maps.
    async fn remove_bookkeeping(&self, pages: &mut BTreeSet<u32>) -> Result<(), Error> {
        for pgno in self.pointer_maps() {
            pages.remove(&pgno);
        }
        let number = self.view.file_of(1).map(|file| file.number);
        let Some(file) = number else { return Ok(()) };
        let mut free = FreeList::begin(PageKey { file, pgno: 1 }, &self.page_1, self.view.commit());
        while let Some(trunk) = free.next_trunk() {
            let Some(page) = self.page(trunk).await? else { break };
            free.take(&page);
        }
        pages.retain(|pgno| !free.contains(*pgno));
        Ok(())
    }
}

impl TableTree<'_> {
    /// Returns the pages of the table with rows whose overflow pages are among `overwritten`.
    pub(super) async fn pages_above(&self, mut overwritten: BTreeSet<u32>) -> Result<PageSet, Error> {
        let tree = self.trees.walk(self.root).await?;
        let mut found = PageSet::default();
        let all: Vec<u32> = tree.leaves.into_iter().chain(tree.inner).collect();
        for batch in all.chunks(BATCH) {
            if overwritten.is_empty() {
                break;
            }
            self.trees.reader.pages(self.trees.view, batch).await?;
            for pgno in batch {
                let overflow = self.trees.overflow_pages(&[*pgno]).await?;
                if overflow.iter().filter(|pgno| overwritten.remove(pgno)).count() > 0 {
                    found.insert(*pgno);
                }
            }
        }
        Ok(found)
    }
}
