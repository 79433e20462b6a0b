//! What the pages that were written between two states contain.

use crate::error::Error;
use crate::replica::dbformat::btree::{self, PageKind};
use crate::replica::dbformat::freelist::FreeList;
use crate::replica::dbformat::page_set::PageSet;
use crate::replica::diff::layout::TableLayout;
use crate::replica::diff::marks::MarkTarget;
use crate::replica::diff::sources::TableTree;
use crate::replica::diff::trees::TreeReader;
use std::collections::BTreeSet;

/// The pages that were written, by their content in the newer state.
#[derive(Debug, Default)]
pub(super) struct WrittenPages {
    /// The pages that may be part of the table.
    pub targets: Vec<MarkTarget>,
    /// All pages of tables and indexes that can contain rows.
    nodes: Vec<u32>,
    /// All others, which include overflow pages.
    others: Vec<u32>,
}

impl WrittenPages {
    /// Reads the pages of the newer state.
    pub(super) async fn read(
        newer: &TreeReader<'_>,
        written: &[u32],
        layout: &TableLayout,
    ) -> Result<WrittenPages, Error> {
        let (mut pages, mut room) = (WrittenPages::default(), newer.room());
        let existing: Vec<u32> = written.iter().copied().filter(|pgno| *pgno <= newer.view.commit()).collect();
        for batch in existing.chunks(newer.batch()) {
            for (pgno, page) in batch.iter().zip(newer.reader.pages(newer.view, batch).await?) {
                let page = page.as_deref().unwrap_or_default();
                if btree::kind(page, *pgno) == PageKind::Other {
                    pages.others.push(*pgno);
                } else {
                    pages.nodes.push(*pgno);
                    pages.targets.extend(newer.mark_target(*pgno, page, layout, &mut room).await?);
                }
            }
        }
        Ok(pages)
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
        for batch in both.chunks(newer.batch()) {
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
        for batch in self.nodes.chunks(newer.batch()) {
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
        let mut free = FreeList::of(&self.page_1, self.view.commit());
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
    ///
    /// Only the chain of a row shows its overflow pages. SQLite usually stores a long value in pages one after another,
    /// near the page of its row. So the nearest pages are read first, and of the chains only those that such a value
    /// would have. All chains are read if that does not find every page.
    pub(super) async fn pages_above(&self, mut overwritten: BTreeSet<u32>) -> Result<PageSet, Error> {
        let tree = self.trees.walk(self.root, &mut PageSet::default()).await?;
        let nearest = overwritten.first().copied().unwrap_or_default();
        let mut pages: Vec<u32> = tree.leaves.into_iter().chain(tree.inner).collect();
        pages.sort_by_key(|pgno| pgno.abs_diff(nearest));
        let mut found = PageSet::default();
        for is_last in [false, true] {
            let (mut has_others, mut room) = (false, self.trees.room());
            for batch in pages.chunks(self.trees.batch()) {
                if overwritten.is_empty() {
                    return Ok(found);
                }
                for (pgno, page) in batch.iter().zip(self.trees.reader.pages(self.trees.view, batch).await?) {
                    for cell in self.trees.overflowing(*pgno, page.as_deref().unwrap_or_default()) {
                        let is_likely = cell.overflow.is_some_and(|first| {
                            let end = first.saturating_add(self.trees.chain_pages(&cell));
                            overwritten.range(first..end).next().is_some()
                        });
                        if !is_last && !is_likely {
                            has_others = true;
                            continue;
                        }
                        let chain = self.trees.overflow_chain(&cell).await?;
                        room.take((chain.len() * self.trees.usable) as u64, *pgno)?;
                        for (overflow, _) in chain {
                            if overwritten.remove(&overflow) {
                                found.insert(*pgno);
                            }
                        }
                    }
                }
            }
            if !has_others {
                break;
            }
        }
        Ok(found)
    }
}
