//! Which table or index each page of a state belongs to.
//!
//! The search walks the inner pages of all tables and indexes, from the roots in the schema. Inner pages contain the
//! numbers of the leaves, so leaves need not be read. A page outside the b-trees is free, a pointer map or an overflow
//! page. Only cells refer to overflow pages, so these are found by reading b-tree pages: first those that differ
//! themselves, because a write of a long value usually writes its leaf too, and all others only if pages without an
//! owner remain.

use crate::error::Error;
use crate::replica::dbformat::btree;
use crate::replica::dbformat::page_set::PageSet;
use crate::replica::dbformat::record::SchemaRow;
use crate::replica::diff::Change;
use crate::replica::diff::trees::{Tree, TreeReader};
use crate::replica::pages::PageReader;
use crate::replica::view::View;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What a page belongs to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum PageOwner {
    Table(Arc<str>),
    Index(Arc<str>),
    PointerMap,
    Free,
}

impl PageOwner {
    pub(super) fn is_named(&self) -> bool {
        matches!(self, PageOwner::Table(_) | PageOwner::Index(_))
    }

    pub(super) fn change(self, pages: u64) -> Change {
        let (name, kind) = match self {
            PageOwner::Table(name) => (Some(name.to_string()), "table"),
            PageOwner::Index(name) => (Some(name.to_string()), "index"),
            PageOwner::PointerMap => (None, "pointer map"),
            PageOwner::Free => (None, "free"),
        };
        Change { name, kind, pages }
    }
}

/// The owners of some pages of a view.
pub(super) struct PageOwners {
    owners: HashMap<u32, PageOwner>,
}

impl PageOwners {
    /// Returns what a page belongs to. None if the view does not have it.
    pub(super) fn of(&self, pgno: u32) -> Option<PageOwner> {
        self.owners.get(&pgno).cloned()
    }

    /// Finds the owners of `wanted` pages.
    pub(super) async fn find(
        reader: &PageReader,
        view: &Arc<View>,
        wanted: &BTreeSet<u32>,
    ) -> Result<PageOwners, Error> {
        let remaining: HashSet<u32> = wanted.iter().copied().filter(|pgno| *pgno <= view.commit()).collect();
        if remaining.is_empty() {
            return Ok(PageOwners { owners: HashMap::new() });
        }
        let trees = TreeReader::new(reader, view).await?;
        let mut search = OwnerSearch { view, trees, remaining, owners: HashMap::new() };
        search.run().await?;
        let OwnerSearch { remaining, mut owners, .. } = search;
        // Nothing refers to a page that remains, so it contains no data.
        owners.extend(remaining.into_iter().map(|pgno| (pgno, PageOwner::Free)));
        Ok(PageOwners { owners })
    }
}

/// The search for the owners of some pages of a view.
struct OwnerSearch<'a> {
    view: &'a Arc<View>,
    trees: TreeReader<'a>,
    /// The pages whose owner has not been found.
    remaining: HashSet<u32>,
    owners: HashMap<u32, PageOwner>,
}

impl OwnerSearch<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let mut owned_trees = Vec::new();
        let mut seen = PageSet::default();
        let schema = self.trees.walk(1, &mut seen).await?;
        let rows = self.trees.schema_rows(&schema).await?;
        let schema_owner = PageOwner::Table("sqlite_schema".into());
        self.assign_tree(&schema, &schema_owner);
        owned_trees.push((schema_owner, schema));
        for SchemaRow { kind, name, root, .. } in rows {
            let Some(root) = root else { continue };
            let owner = if kind == "index" { PageOwner::Index(name.into()) } else { PageOwner::Table(name.into()) };
            let tree = self.trees.walk(root, &mut seen).await?;
            self.assign_tree(&tree, &owner);
            owned_trees.push((owner, tree));
        }
        self.assign_pointer_maps();
        self.assign_free_pages().await?;
        // First the b-tree pages that were searched for themselves, then all others.
        for was_wanted in [true, false] {
            for (owner, tree) in &owned_trees {
                let pages = tree.leaves.iter().chain(&tree.inner).copied();
                let pages: Vec<u32> = pages.filter(|pgno| self.owners.contains_key(pgno) == was_wanted).collect();
                self.assign_overflow(&pages, owner).await?;
            }
        }
        Ok(())
    }

    fn assign(&mut self, pgno: u32, owner: &PageOwner) {
        if self.remaining.remove(&pgno) {
            self.owners.insert(pgno, owner.clone());
        }
    }

    fn assign_tree(&mut self, tree: &Tree, owner: &PageOwner) {
        tree.inner.iter().chain(&tree.leaves).for_each(|pgno| self.assign(*pgno, owner));
    }

    /// Assigns the overflow pages of `pages`, unless every page has an owner.
    async fn assign_overflow(&mut self, pages: &[u32], owner: &PageOwner) -> Result<(), Error> {
        for batch in pages.chunks(self.trees.batch()) {
            if self.remaining.is_empty() {
                return Ok(());
            }
            let overflow = self.trees.overflow_pages(batch).await?;
            overflow.into_iter().for_each(|pgno| self.assign(pgno, owner));
        }
        Ok(())
    }

    fn assign_pointer_maps(&mut self) {
        for pgno in self.trees.pointer_maps() {
            self.assign(pgno, &PageOwner::PointerMap);
        }
    }

    async fn assign_free_pages(&mut self) -> Result<(), Error> {
        let commit = self.view.commit();
        let mut next = btree::first_trunk(&self.trees.page_1, commit);
        let mut trunks = HashSet::new();
        while let Some(trunk) = next.filter(|trunk| trunks.insert(*trunk) && !self.remaining.is_empty()) {
            self.assign(trunk, &PageOwner::Free);
            let Some(page) = self.trees.page(trunk).await? else { break };
            let (after, listed) = btree::trunk(&page, commit);
            listed.for_each(|pgno| self.assign(pgno, &PageOwner::Free));
            next = after;
        }
        Ok(())
    }
}
