//! Reads the b-trees, the schema and the overflow chains of one state.

use crate::error::{Error, ErrorKind};
use crate::replica::cache::Page;
use crate::replica::dbformat::btree::PageKind;
use crate::replica::dbformat::cells::BtreeCell;
use crate::replica::dbformat::page_set::PageSet;
use crate::replica::dbformat::record::{SchemaRow, TextEncoding};
use crate::replica::dbformat::{btree, cells, header, record};
use crate::replica::diff::batch;
use crate::replica::diff::layout::{RowKey, TableLayout};
use crate::replica::pages::PageReader;
use crate::replica::view::View;
use std::sync::Arc;

/// More levels than a b-tree can have.
pub(super) const MAX_DEPTH: usize = 32;

/// The page numbers of a b-tree.
pub(super) struct Tree {
    pub inner: Vec<u32>,
    pub leaves: Vec<u32>,
}

/// A cell that is independent of its page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct OwnedCell {
    /// As in [`BtreeCell`].
    pub local: Vec<u8>,
    pub length: u64,
    pub overflow: Option<u32>,
}

impl From<BtreeCell<'_>> for OwnedCell {
    fn from(cell: BtreeCell<'_>) -> OwnedCell {
        OwnedCell { local: cell.local.to_vec(), length: cell.length, overflow: cell.overflow }
    }
}

/// How many bytes the payloads of further cells can have: all pages of the database, because no page is part of two payloads. In a damaged
/// database, any number of cells can have the same overflow pages.
pub(super) struct PayloadRoom(u64);

impl PayloadRoom {
    /// Takes the bytes of a payload of a cell in this page.
    pub(super) fn take(&mut self, bytes: u64, pgno: u32) -> Result<(), Error> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| not_in_tree(pgno))?;
        Ok(())
    }
}

/// Reads the structure of a view's database.
pub(super) struct TreeReader<'a> {
    pub reader: &'a PageReader,
    pub view: &'a Arc<View>,
    pub page_1: Page,
    /// Bytes of each page that SQLite uses.
    pub usable: usize,
    pub encoding: TextEncoding,
}

impl<'a> TreeReader<'a> {
    pub(super) async fn new(reader: &'a PageReader, view: &'a Arc<View>) -> Result<TreeReader<'a>, Error> {
        let page_1 = reader.pages(view, &[1]).await?.into_iter().next().flatten();
        let page_1 = page_1.ok_or_else(|| Error::internal("a database has no page 1"))?;
        let usable = header::usable(&page_1).ok_or_else(|| not_in_tree(1))?;
        let encoding = TextEncoding::of(&page_1);
        Ok(TreeReader { reader, view, page_1, usable, encoding })
    }

    /// Returns the pointer maps. The first is page 2. Each has five bytes for every page after it, up to the next
    /// pointer map.
    pub(super) fn pointer_maps(&self) -> Vec<u32> {
        if self.page_1[header::LARGEST_ROOT..header::LARGEST_ROOT + 4] == [0; 4] {
            return Vec::new();
        }
        let (lock_page, step) = (self.view.lock_page(), self.usable / 5 + 1);
        let maps = (2..=self.view.commit()).step_by(step);
        maps.map(|pgno| if pgno == lock_page { pgno + 1 } else { pgno }).collect()
    }

    /// Returns a page. None if the view does not have it.
    pub(super) async fn page(&self, pgno: u32) -> Result<Option<Page>, Error> {
        Ok(self.reader.pages(self.view, &[pgno]).await?.into_iter().next().flatten())
    }

    /// Returns the pages of the b-tree with this root. Leaves are not read, except for one: all leaves have the same
    /// depth. `seen` has the pages of other b-trees, and gets those of this one: no page is part of two.
    pub(super) async fn walk(&self, root: u32, seen: &mut PageSet) -> Result<Tree, Error> {
        let commit = self.view.commit();
        if root > commit || !seen.insert(root) {
            return Err(not_in_tree(root));
        }
        let mut tree = Tree { inner: Vec::new(), leaves: Vec::new() };
        let mut level = vec![root];
        for _ in 0..MAX_DEPTH {
            let first = self.page(level[0]).await?;
            if first.is_none_or(|page| btree::kind(&page, level[0]) != PageKind::Interior) {
                tree.leaves = level;
                return Ok(tree);
            }
            let mut below = Vec::new();
            for batch in level.chunks(self.batch()) {
                let pages = self.reader.pages(self.view, batch).await?;
                for (pgno, page) in batch.iter().zip(pages) {
                    let children = page.and_then(|page| btree::children(&page, *pgno, commit));
                    // Pages that are their own descendants would never end.
                    let children = children.filter(|children| children.iter().all(|child| seen.insert(*child)));
                    below.extend(children.ok_or_else(|| not_in_tree(*pgno))?);
                }
            }
            tree.inner.append(&mut level);
            level = below;
        }
        Err(not_in_tree(root))
    }

    /// Returns the rows of the schema, whose b-tree is `tree`.
    pub(super) async fn schema_rows(&self, tree: &Tree) -> Result<Vec<SchemaRow>, Error> {
        let (mut rows, mut room) = (Vec::new(), self.room());
        for pgno in &tree.leaves {
            let Some(page) = self.page(*pgno).await? else { continue };
            for cell in cells::each(&page, *pgno, self.usable, self.view.commit()).flatten() {
                let payload = self.payload(&cell.into()).await?;
                room.take(payload.len() as u64, *pgno)?;
                rows.extend(record::entry(&payload, self.encoding));
            }
        }
        Ok(rows)
    }

    /// Returns the key of a row. `rowid` is that of its cell. None if the cell is not one of this kind of table.
    pub(super) async fn key(
        &self,
        rowid: Option<i64>,
        cell: &OwnedCell,
        layout: &TableLayout,
    ) -> Result<Option<RowKey>, Error> {
        if !self.key_overflows(cell, layout) {
            return Ok(layout.row_key(rowid, || record::first_values(&cell.local, self.encoding)));
        }
        let payload = self.payload(cell).await?;
        Ok(layout.row_key(rowid, || record::first_values(&payload, self.encoding)))
    }

    /// Returns whether the key of a row continues on overflow pages.
    pub(super) fn key_overflows(&self, cell: &OwnedCell, layout: &TableLayout) -> bool {
        let local = || record::first_values(&cell.local, self.encoding);
        layout.key.is_some() && cell.overflow.is_some() && layout.row_key(None, local).is_none()
    }

    /// Returns the room that the payloads of different cells have.
    pub(super) fn room(&self) -> PayloadRoom {
        PayloadRoom(u64::from(self.view.commit()) * u64::from(self.view.page_size()))
    }

    /// Returns how many pages are fetched together.
    pub(super) fn batch(&self) -> usize {
        batch(self.view)
    }

    /// Returns the whole payload of a cell.
    pub(super) async fn payload(&self, cell: &OwnedCell) -> Result<Vec<u8>, Error> {
        let mut payload = cell.local.clone();
        for (_, page) in self.overflow_chain(cell).await? {
            payload.extend_from_slice(page.get(4..self.usable).unwrap_or_default());
        }
        payload.truncate(usize::try_from(cell.length).unwrap_or(usize::MAX));
        Ok(payload)
    }

    /// Returns the numbers of the overflow pages of all cells in `pages`.
    pub(super) async fn overflow_pages(&self, pages: &[u32]) -> Result<Vec<u32>, Error> {
        let (mut overflow, mut room) = (Vec::new(), self.room());
        for (pgno, page) in pages.iter().zip(self.reader.pages(self.view, pages).await?) {
            for cell in self.overflowing(*pgno, page.as_deref().unwrap_or_default()) {
                let chain = self.overflow_chain(&cell).await?;
                room.take((chain.len() * self.usable) as u64, *pgno)?;
                overflow.extend(chain.into_iter().map(|(pgno, _)| pgno));
            }
        }
        Ok(overflow)
    }

    /// Returns the cells of a page that have overflow pages.
    pub(super) fn overflowing(&self, pgno: u32, page: &[u8]) -> Vec<OwnedCell> {
        let cells = cells::each(page, pgno, self.usable, self.view.commit()).flatten();
        cells.filter(|cell| cell.overflow.is_some()).map(OwnedCell::from).collect()
    }

    /// Returns how many overflow pages a cell has: a chain that has more of them is a cycle.
    pub(super) fn chain_pages(&self, cell: &OwnedCell) -> u32 {
        let rest = cell.length.saturating_sub(cell.local.len() as u64);
        u32::try_from(rest.div_ceil(self.usable as u64 - 4)).unwrap_or(u32::MAX).min(self.view.commit())
    }

    /// Returns the overflow pages of a cell.
    pub(super) async fn overflow_chain(&self, cell: &OwnedCell) -> Result<Vec<(u32, Page)>, Error> {
        let (mut pages, mut next) = (Vec::new(), cell.overflow);
        while let Some(pgno) = next
            && pages.len() < self.chain_pages(cell) as usize
        {
            let Some(page) = self.page(pgno).await? else { break };
            next = btree::next_overflow(&page, self.view.commit());
            pages.push((pgno, page));
        }
        Ok(pages)
    }
}

pub(super) fn not_in_tree(pgno: u32) -> Error {
    Error::new(ErrorKind::Damaged, format!("page {pgno} of the database is not a page of a table or index"))
        .remedy("run `PRAGMA integrity_check`")
}
