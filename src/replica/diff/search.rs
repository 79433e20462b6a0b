//! Finds the pages of a table whose rows are compared.

use crate::error::Error;
use crate::replica::dbformat::page_set::PageSet;
use crate::replica::diff::Diff;
use crate::replica::diff::layout::TableLayout;
use crate::replica::diff::rows::{DiffProgress, RowChange, RowDiff};
use crate::replica::diff::sources::{RowSource, TableTree, differing_sources};
use crate::replica::diff::table::{TablePair, TableState};
use crate::replica::diff::trees::TreeReader;
use crate::replica::diff::written::WrittenPages;
use crate::replica::pages::PageReader;
use std::mem;

/// If more pages were written, it is cheaper to read all interior pages of a table than to search those above each of
/// the written pages.
const MAX_TARGETS: usize = 4096;

impl Diff {
    /// Returns the next rows that differ. Returns no rows at the end.
    pub(in crate::replica) async fn next_rows(&self, diff: &mut RowDiff) -> Result<Vec<RowChange>, Error> {
        let views = diff.pair.states.each_ref().map(|state| &state.view);
        let progress = match &mut diff.progress {
            Some(progress) => progress,
            none => none.insert(self.start(&diff.pair, &diff.layout).await?),
        };
        progress.next_rows(&self.pages, views, &diff.layout).await
    }

    /// Finds the pages whose rows can differ.
    async fn start(&self, pair: &TablePair, layout: &TableLayout) -> Result<DiffProgress, Error> {
        let [older, newer] = &pair.states;
        let written = self.written_pages(&older.view, &newer.view).await?;
        let (older, newer) = (older.tree(&self.pages).await?, newer.tree(&self.pages).await?);
        let search = DiffSearch { trees: [&older, &newer], set: written.iter().copied().collect(), written };
        search.run(layout).await
    }
}

impl TableState {
    async fn tree<'a>(&'a self, reader: &'a PageReader) -> Result<TableTree<'a>, Error> {
        Ok(TableTree { trees: TreeReader::new(reader, &self.view).await?, root: self.root })
    }
}

/// The search for the pages whose rows can differ.
struct DiffSearch<'a> {
    trees: [&'a TableTree<'a>; 2],
    /// The pages that were written between the states.
    written: Vec<u32>,
    set: PageSet,
}

impl DiffSearch<'_> {
    async fn run(mut self, layout: &TableLayout) -> Result<DiffProgress, Error> {
        let [older, newer] = self.trees;
        let is_few = self.written.len() <= MAX_TARGETS;
        let mut content = None;
        if is_few && older.root == newer.root {
            let mut read = WrittenPages::read(&newer.trees, &self.written, layout).await?;
            let marked = newer.mark(mem::take(&mut read.targets), layout).await?;
            content = Some((read, marked));
        }
        let marked = content.as_ref().map(|(_, marked)| marked);
        let sources = differing_sources(self.trees, &self.set, marked).await?;
        // If everything was written, as by VACUUM, nothing was overwritten in place.
        if content.is_none() && !self.has_shared_pages(&sources).await? {
            return Ok(DiffProgress::new(sources, true));
        }
        let read = match content {
            Some((read, _)) => read,
            None => WrittenPages::read(&newer.trees, &self.written, layout).await?,
        };
        let overwritten = read.overwritten(&older.trees, &newer.trees).await?;
        if overwritten.is_empty() {
            return Ok(DiffProgress::new(sources, false));
        }
        let mut unexplained = overwritten;
        read.remove_explained(&newer.trees, &mut unexplained).await?;
        if unexplained.is_empty() {
            return Ok(DiffProgress::new(sources, true));
        }
        let above = newer.pages_above(unexplained).await?;
        if above.is_empty() {
            return Ok(DiffProgress::new(sources, true));
        }
        self.set.merge(&above);
        let sources = differing_sources(self.trees, &self.set, None).await?;
        Ok(DiffProgress::new(sources, true))
    }

    /// Whether the b-trees have pages in common.
    async fn has_shared_pages(&self, sources: &[Vec<RowSource>; 2]) -> Result<bool, Error> {
        let differing: PageSet = sources[1].iter().map(RowSource::page_of_rows).collect();
        let tree = self.trees[1].trees.walk(self.trees[1].root, &mut PageSet::default()).await?;
        Ok(tree.leaves.iter().any(|pgno| !differing.contains(*pgno)))
    }
}
