//! Finds one row of a table in a state.

use crate::error::Error;
use crate::ltx::Txid;
use crate::replica::cache::Page;
use crate::replica::dbformat::btree::{self, PageKind};
use crate::replica::dbformat::cells;
use crate::replica::diff::layout::{RowKey, TableLayout};
use crate::replica::diff::sources::TableTree;
use crate::replica::diff::trees::{MAX_DEPTH, OwnedCell, not_in_tree};
use std::cmp::Ordering;

/// A row in a state, or that there is none.
#[derive(Clone, Debug)]
pub(super) struct FoundRow {
    /// The cell. None if the state does not have the row.
    pub cell: Option<OwnedCell>,
    /// No state from this transaction to that of the state has another version of the row, or lacks it, as long as the
    /// b-tree is that of the table.
    pub unchanged_since: Txid,
}

/// Where the search goes on from a page.
enum LookupStep {
    Child(u32),
    Found(OwnedCell),
    Absent,
}

impl TableTree<'_> {
    /// Finds the row with a key. Reads one page of each level.
    pub(super) async fn find(&self, key: &RowKey, layout: &TableLayout) -> Result<FoundRow, Error> {
        let (mut pgno, mut path_since) = (self.root, Txid(0));
        for _ in 0..MAX_DEPTH {
            let page = self.trees.page(pgno).await?.ok_or_else(|| not_in_tree(pgno))?;
            let written = self.written(pgno);
            path_since = path_since.max(written);
            match self.step(pgno, &page, key, layout).await? {
                LookupStep::Child(child) => pgno = child,
                LookupStep::Absent => return Ok(FoundRow { cell: None, unchanged_since: path_since }),
                LookupStep::Found(cell) => {
                    // The page was part of the b-tree at every state since it was written.
                    let chain = self.trees.overflow_chain(&cell).await?;
                    let since = chain.iter().map(|(pgno, _)| self.written(*pgno)).fold(written, Txid::max);
                    return Ok(FoundRow { cell: Some(cell), unchanged_since: since });
                }
            }
        }
        Err(not_in_tree(self.root))
    }

    /// Returns a transaction since which a page has not been written.
    fn written(&self, pgno: u32) -> Txid {
        self.trees.view.file_of(pgno).map_or(Txid(0), |file| file.name.max)
    }

    async fn step(&self, pgno: u32, page: &Page, key: &RowKey, layout: &TableLayout) -> Result<LookupStep, Error> {
        let is_interior = btree::kind(page, pgno) == PageKind::Interior;
        let children = if is_interior { self.children(pgno, page)? } else { Vec::new() };
        if let (RowKey::Rowid(rowid), true) = (key, is_interior) {
            let bounds = btree::rowid_bounds(page, pgno).ok_or_else(|| not_in_tree(pgno))?;
            return Ok(LookupStep::Child(children[bounds.partition_point(|bound| bound < rowid)]));
        }
        for (number, cell) in cells::each(page, pgno, self.trees.usable, self.trees.view.commit()).enumerate() {
            let cell = cell.ok_or_else(|| not_in_tree(pgno))?;
            let (rowid, cell) = (cell.rowid, OwnedCell::from(cell));
            let found = self.trees.key(rowid, &cell, layout).await?.ok_or_else(|| not_in_tree(pgno))?;
            match layout.compare(&found, key, self.trees.encoding) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(LookupStep::Found(cell)),
                Ordering::Greater => {
                    return Ok(children.get(number).map_or(LookupStep::Absent, |child| LookupStep::Child(*child)));
                }
            }
        }
        Ok(children.last().map_or(LookupStep::Absent, |child| LookupStep::Child(*child)))
    }
}
