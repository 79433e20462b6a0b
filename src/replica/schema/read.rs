//! Reads the schema of a view from its pages.

use crate::error::Error;
use crate::replica::cache::Page;
use crate::replica::schema::Schemas;
use crate::replica::schema::content::{SchemaChain, SchemaContent, SchemaParser};
use crate::replica::view::View;
use std::sync::Arc;

/// How many pages are fetched at a time.
const PAGES_AT_A_TIME: usize = 1024;

impl Schemas {
    /// Returns the schema of a view, or None if its pages are damaged or if it is too large.
    pub(super) async fn read_schema(&self, view: &Arc<View>, page_1: &Page) -> Result<Option<SchemaContent>, Error> {
        let Some(mut parser) = SchemaParser::new(page_1, view.commit()) else { return Ok(None) };
        let mut level = parser.parse(1, page_1);
        while let Some(pages) = level.take_if(|pages| !pages.is_empty()) {
            level = self.read_level(view, &mut parser, &pages).await?;
        }
        let mut chains = level.map(|_| parser.take_chains());
        while let Some(pending) = chains.take_if(|pending| !pending.is_empty()) {
            chains = self.read_overflow(view, &mut parser, &pending).await?;
        }
        Ok(chains.map(|_| parser.into_schema()))
    }

    /// Reads b-tree pages of one level. Returns their children, or None if a page is damaged.
    async fn read_level(
        &self,
        view: &Arc<View>,
        parser: &mut SchemaParser,
        level: &[u32],
    ) -> Result<Option<Vec<u32>>, Error> {
        let mut below = Vec::new();
        for pages in level.chunks(PAGES_AT_A_TIME) {
            for (pgno, page) in pages.iter().zip(self.pages.pages(view, pages).await?) {
                match page.and_then(|page| parser.parse(*pgno, &page)) {
                    Some(children) => below.extend(children),
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(below))
    }

    /// Reads the next overflow page of each chain. Returns the chains that have more pages, or None if a page is
    /// damaged.
    async fn read_overflow(
        &self,
        view: &Arc<View>,
        parser: &mut SchemaParser,
        chains: &[SchemaChain],
    ) -> Result<Option<Vec<SchemaChain>>, Error> {
        let mut unfinished = Vec::new();
        for chains in chains.chunks(PAGES_AT_A_TIME) {
            let next: Vec<u32> = chains.iter().map(SchemaChain::next).collect();
            for (chain, page) in chains.iter().zip(self.pages.pages(view, &next).await?) {
                match page.and_then(|page| parser.parse_overflow(chain, &page)) {
                    Some(rest) => unfinished.extend(rest),
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(unfinished))
    }
}
