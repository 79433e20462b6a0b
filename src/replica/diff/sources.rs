//! The pages of a table whose rows can differ between two states.
//!
//! A page that is part of the table's b-tree in both states, and was not written in between, contains the same rows in
//! both: it is *shared*. A row of any other page of one state is not in a shared page, because keys are unique. So the
//! rows of the pages that are not shared, in both states, contain all differences. Which page is where does not matter,
//! so splits, merges, growing roots and VACUUM need no special treatment.
//!
//! Both b-trees are read from their roots, level by level from the same distance to the leaves. A page is read if it is
//! not shared. A shared interior page has the same children in both states, but these can have been written. It is read
//! if it is *marked*, which means that a page below it was written.

use crate::error::Error;
use crate::replica::dbformat::btree::{self, PageKind};
use crate::replica::dbformat::page_set::PageSet;
use crate::replica::diff::trees::{MAX_DEPTH, TreeReader, not_in_tree};

/// A part of a b-tree that contains rows.
#[derive(Clone, Copy, Debug)]
pub(super) enum RowSource {
    /// All cells of a page, which is a leaf at the end of the search.
    Page(u32),
    /// A cell of an interior page of a table WITHOUT ROWID.
    Cell { pgno: u32, number: usize },
}

/// The b-tree of a table in one state.
pub(super) struct TableTree<'a> {
    pub trees: TreeReader<'a>,
    pub root: u32,
}

impl TableTree<'_> {
    /// Returns the distance of the root to the leaves, which is the same for all leaves. Reads one leaf.
    async fn height(&self) -> Result<usize, Error> {
        let mut pgno = self.root;
        for height in 0..MAX_DEPTH {
            let page = self.trees.page(pgno).await?.ok_or_else(|| not_in_tree(pgno))?;
            if btree::kind(&page, pgno) == PageKind::Leaf {
                return Ok(height);
            }
            pgno = self.children(pgno, &page)?[0];
        }
        Err(not_in_tree(self.root))
    }

    /// Returns the children of an interior page. There is at least one.
    pub(super) fn children(&self, pgno: u32, page: &[u8]) -> Result<Vec<u32>, Error> {
        btree::children(page, pgno, self.trees.view.commit()).ok_or_else(|| not_in_tree(pgno))
    }

    /// Replaces each interior page by its children. If rows are in interior pages, those of the pages for which
    /// `differs` is true are added between the children.
    async fn expand(&self, level: &[RowSource], differs: impl Fn(u32) -> bool) -> Result<Vec<RowSource>, Error> {
        let (mut below, mut seen) = (Vec::new(), PageSet::default());
        for batch in level.chunks(self.trees.batch()) {
            let numbers: Vec<u32> = batch.iter().filter_map(RowSource::page).collect();
            let mut pages = self.trees.reader.pages(self.trees.view, &numbers).await?.into_iter();
            for source in batch {
                let Some(pgno) = source.page() else {
                    below.push(*source);
                    continue;
                };
                let page = pages.next().flatten().ok_or_else(|| not_in_tree(pgno))?;
                let has_rows = !btree::is_of_table(&page, pgno) && differs(pgno);
                for (number, child) in self.children(pgno, &page)?.into_iter().enumerate() {
                    if has_rows && number > 0 {
                        below.push(RowSource::Cell { pgno, number: number - 1 });
                    }
                    if !seen.insert(child) {
                        return Err(not_in_tree(child));
                    }
                    below.push(RowSource::Page(child));
                }
            }
        }
        Ok(below)
    }
}

impl RowSource {
    /// Returns the page that contains the rows.
    pub(super) fn page_of_rows(&self) -> u32 {
        match self {
            RowSource::Page(pgno) | RowSource::Cell { pgno, .. } => *pgno,
        }
    }

    /// Returns the page, unless this is a cell.
    fn page(&self) -> Option<u32> {
        match self {
            RowSource::Page(pgno) => Some(*pgno),
            RowSource::Cell { .. } => None,
        }
    }
}

/// Returns the parts of a table that can contain different rows in two states, in the order of their keys. `written`
/// has every page that was written between the states. Without `marked`, every interior page is read.
pub(super) async fn differing_sources(
    trees: [&TableTree<'_>; 2],
    written: &PageSet,
    marked: Option<&PageSet>,
) -> Result<[Vec<RowSource>; 2], Error> {
    let [older, newer] = trees;
    let is_same_root = older.root == newer.root && !written.contains(older.root);
    if is_same_root && marked.is_some_and(PageSet::is_empty) {
        return Ok([Vec::new(), Vec::new()]);
    }
    let heights = [older.height().await?, newer.height().await?];
    let mut levels: [Vec<RowSource>; 2] = [Vec::new(), Vec::new()];
    for height in (0..=heights[0].max(heights[1])).rev() {
        for (level, (tree, height_of_root)) in levels.iter_mut().zip(trees.iter().zip(heights)) {
            if height_of_root == height {
                *level = vec![RowSource::Page(tree.root)];
            }
        }
        let present = levels.each_ref().map(|level| level.iter().filter_map(RowSource::page).collect::<PageSet>());
        let is_read = |pgno: u32| height > 0 && marked.is_none_or(|marked| marked.contains(pgno));
        for (side, level) in levels.iter_mut().enumerate() {
            let differs = |pgno: u32| written.contains(pgno) || !present[1 - side].contains(pgno);
            level.retain(|source| source.page().is_none_or(|pgno| differs(pgno) || is_read(pgno)));
            if height > 0 {
                *level = trees[side].expand(level, differs).await?;
            }
        }
    }
    Ok(levels)
}
