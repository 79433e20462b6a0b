//! The interior pages of a table below which pages were written.
//!
//! A written page contains a row, or a bound, of the table to which it belongs. If it belongs to this table, the path to
//! that key leads to it. If it belongs to another, the path leads elsewhere.

use crate::error::Error;
use crate::replica::dbformat::btree::{self, PageKind};
use crate::replica::dbformat::cells;
use crate::replica::dbformat::page_set::PageSet;
use crate::replica::diff::layout::{RowKey, TableLayout};
use crate::replica::diff::sources::TableTree;
use crate::replica::diff::trees::{MAX_DEPTH, OwnedCell, PayloadRoom, TreeReader, not_in_tree};
use std::collections::BTreeMap;

/// A page that may be part of a b-tree.
#[derive(Clone, Debug)]
pub(super) struct MarkTarget {
    pub pgno: u32,
    /// A key in the page, or in the pages below it.
    pub key: RowKey,
}

impl TreeReader<'_> {
    /// Returns a page as a target. None if it is not one of a table with this layout, or if it is empty. `room` is that of
    /// the keys on overflow pages.
    pub(super) async fn mark_target(
        &self,
        pgno: u32,
        page: &[u8],
        layout: &TableLayout,
        room: &mut PayloadRoom,
    ) -> Result<Option<MarkTarget>, Error> {
        if btree::is_of_table(page, pgno) == layout.key.is_some() {
            return Ok(None);
        }
        let key = if is_interior(page, pgno) && layout.key.is_none() {
            btree::rowid_bounds(page, pgno).and_then(|bounds| bounds.first().copied()).map(RowKey::Rowid)
        } else {
            match cells::each(page, pgno, self.usable, self.view.commit()).next().flatten() {
                Some(cell) => {
                    let (rowid, cell) = (cell.rowid, OwnedCell::from(cell));
                    let key = self.key(rowid, &cell, layout).await?;
                    if self.key_overflows(&cell, layout) {
                        room.take(cell.length, pgno)?;
                    }
                    key
                }
                None => None,
            }
        };
        Ok(key.map(|key| MarkTarget { pgno, key }))
    }
}

impl TableTree<'_> {
    /// Returns the pages above those of `targets` that are part of this b-tree.
    pub(super) async fn mark(&self, targets: Vec<MarkTarget>, layout: &TableLayout) -> Result<PageSet, Error> {
        let mut marked = PageSet::default();
        let mut level: Vec<(Vec<u32>, Vec<MarkTarget>)> = vec![(vec![self.root], targets)];
        for _ in 0..MAX_DEPTH {
            // All pages of a level are leaves, or none is.
            let Some(first) = level.first().and_then(|(path, _)| path.last().copied()) else { return Ok(marked) };
            if self.trees.page(first).await?.is_none_or(|page| !is_interior(&page, first)) {
                return Ok(marked);
            }
            let mut below = Vec::new();
            while !level.is_empty() {
                let batch: Vec<_> = level.drain(..level.len().min(self.trees.batch())).collect();
                let numbers: Vec<u32> = batch.iter().filter_map(|(path, _)| path.last().copied()).collect();
                let pages = self.trees.reader.pages(self.trees.view, &numbers).await?;
                for (((path, targets), pgno), page) in batch.into_iter().zip(numbers).zip(pages) {
                    let page = page.ok_or_else(|| not_in_tree(pgno))?;
                    for (child, inside) in self.group(pgno, &page, targets, layout).await? {
                        let (found, deeper): (Vec<_>, Vec<_>) =
                            inside.into_iter().partition(|target| target.pgno == child);
                        if !found.is_empty() {
                            marked.extend(path.iter().copied());
                        }
                        if !deeper.is_empty() {
                            below.push(([&path[..], &[child]].concat(), deeper));
                        }
                    }
                }
            }
            level = below;
        }
        Err(not_in_tree(self.root))
    }

    /// Groups targets by the child of an interior page below which their keys are.
    async fn group(
        &self,
        pgno: u32,
        page: &[u8],
        targets: Vec<MarkTarget>,
        layout: &TableLayout,
    ) -> Result<BTreeMap<u32, Vec<MarkTarget>>, Error> {
        let (children, bounds) = (self.children(pgno, page)?, self.bounds(pgno, page, layout).await?);
        let mut groups: BTreeMap<u32, Vec<MarkTarget>> = BTreeMap::new();
        for target in targets {
            let is_before = |bound: &RowKey| layout.compare(bound, &target.key, self.trees.encoding).is_lt();
            let child = children.get(bounds.partition_point(is_before)).ok_or_else(|| not_in_tree(pgno))?;
            groups.entry(*child).or_default().push(target);
        }
        Ok(groups)
    }

    /// Returns the keys that separate the children of an interior page.
    async fn bounds(&self, pgno: u32, page: &[u8], layout: &TableLayout) -> Result<Vec<RowKey>, Error> {
        if layout.key.is_none() {
            let bounds = btree::rowid_bounds(page, pgno).ok_or_else(|| not_in_tree(pgno))?;
            return Ok(bounds.into_iter().map(RowKey::Rowid).collect());
        }
        let (mut bounds, mut room) = (Vec::new(), self.trees.room());
        for cell in cells::each(page, pgno, self.trees.usable, self.trees.view.commit()) {
            let cell = OwnedCell::from(cell.ok_or_else(|| not_in_tree(pgno))?);
            let key = self.trees.key(None, &cell, layout).await?.ok_or_else(|| not_in_tree(pgno))?;
            room.take(cell.length, pgno)?;
            bounds.push(key);
        }
        Ok(bounds)
    }
}

fn is_interior(page: &[u8], pgno: u32) -> bool {
    btree::kind(page, pgno) == PageKind::Interior
}
