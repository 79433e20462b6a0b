//! Which b-tree pages belong to.
//!
//! The inner pages of every table and index are walked, from the roots that the schema names; leaves are named there, and need
//! not be read. What is no page of a b-tree is free, a pointer map, or overflow, which only the leaves know of: of those
//! the ones in question are read first, since whatever writes a long value mostly writes its leaf too, and all others
//! only if that does not explain every page.

use crate::error::{Error, ErrorKind};
use crate::replica::dbformat::btree::PageKind;
use crate::replica::dbformat::record::SchemaRow;
use crate::replica::dbformat::{btree, cells, record};
use crate::replica::diff::{Change, PORTION};
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
pub(super) struct Owners {
    found: HashMap<u32, PageOwner>,
}

impl Owners {
    /// What a page belongs to. None if the view does not have it.
    pub(super) fn of(&self, pgno: u32) -> Option<PageOwner> {
        self.found.get(&pgno).cloned()
    }

    pub(super) async fn find(reader: &PageReader, view: &Arc<View>, wanted: &BTreeSet<u32>) -> Result<Owners, Error> {
        let wanted: HashSet<u32> = wanted.iter().copied().filter(|pgno| *pgno <= view.commit()).collect();
        if wanted.is_empty() {
            return Ok(Owners { found: HashMap::new() });
        }
        let page_1 = reader.pages(view, &[1]).await?.into_iter().next().flatten();
        let page_1 = page_1.ok_or_else(|| Error::internal("a database has no first page"))?;
        let usable = page_1.len() - usize::from(page_1[RESERVED]);
        let mut search = Search { reader, view, page_1: &page_1, usable, wanted, found: HashMap::new() };
        search.run().await?;
        // What nothing leads to holds nothing.
        let lost = search.wanted.iter().map(|pgno| (*pgno, PageOwner::Free));
        search.found.extend(lost.collect::<Vec<_>>());
        Ok(Owners { found: search.found })
    }
}

/// Offsets in page 1: bytes that pages keep free at their ends, and the largest root page, which only databases with pointer
/// maps have.
const RESERVED: usize = 20;
const LARGEST_ROOT: usize = 52;

/// The search for the owners of a view's pages.
struct Search<'a> {
    reader: &'a PageReader,
    view: &'a Arc<View>,
    page_1: &'a [u8],
    usable: usize,
    /// Those that have no owner yet.
    wanted: HashSet<u32>,
    found: HashMap<u32, PageOwner>,
}

/// The pages of a b-tree.
struct Tree {
    inner: Vec<u32>,
    leaves: Vec<u32>,
}

impl Search<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let mut trees = Vec::new();
        let schema = self.walk(1).await?;
        let entries = self.schema(&schema).await?;
        let of_schema = PageOwner::Table("sqlite_schema".into());
        self.take_tree(&schema, &of_schema);
        trees.push((of_schema, schema));
        for SchemaRow { is_index, name, root } in entries {
            let owner = if is_index { PageOwner::Index(name.into()) } else { PageOwner::Table(name.into()) };
            let tree = self.walk(root).await?;
            self.take_tree(&tree, &owner);
            trees.push((owner, tree));
        }
        self.take_pointer_maps();
        self.take_free_pages().await?;
        // Those pages of b-trees that are in question, then all others.
        for in_question in [true, false] {
            for (owner, tree) in &trees {
                let pages = tree.leaves.iter().chain(&tree.inner).copied();
                let pages: Vec<u32> = pages.filter(|pgno| self.found.contains_key(pgno) == in_question).collect();
                self.take_overflow(&pages, owner).await?;
            }
        }
        Ok(())
    }

    fn take(&mut self, pgno: u32, owner: &PageOwner) {
        if self.wanted.remove(&pgno) {
            self.found.insert(pgno, owner.clone());
        }
    }

    fn take_tree(&mut self, tree: &Tree, owner: &PageOwner) {
        tree.inner.iter().chain(&tree.leaves).for_each(|pgno| self.take(*pgno, owner));
    }

    /// The pages of the b-tree with this root. All leaves are equally deep, so that one of them tells of all.
    async fn walk(&self, root: u32) -> Result<Tree, Error> {
        let commit = self.view.commit();
        let mut tree = Tree { inner: Vec::new(), leaves: Vec::new() };
        let mut depth = vec![root];
        // A b-tree is never so deep that this ends it, unless its pages lead in a circle.
        for _ in 0..MOST_DEPTHS {
            let first = self.reader.pages(self.view, &depth[..1]).await?.into_iter().next().flatten();
            if first.is_none_or(|page| btree::kind(&page, depth[0]) != PageKind::Interior) {
                tree.leaves = depth;
                return Ok(tree);
            }
            let mut below = Vec::new();
            for portion in depth.chunks(PORTION) {
                let pages = self.reader.pages(self.view, portion).await?;
                for (pgno, page) in portion.iter().zip(pages) {
                    let children = page.and_then(|page| btree::children(&page, *pgno, commit));
                    below.extend(children.ok_or_else(|| damaged(*pgno))?);
                }
            }
            tree.inner.append(&mut depth);
            depth = below;
        }
        Err(damaged(root))
    }

    /// The tables and indexes that the schema names.
    async fn schema(&self, tree: &Tree) -> Result<Vec<SchemaRow>, Error> {
        let mut entries = Vec::new();
        for pgno in &tree.leaves {
            let Some(page) = self.reader.pages(self.view, &[*pgno]).await?.into_iter().next().flatten() else {
                continue;
            };
            for cell in cells::each(&page, *pgno, self.usable, self.view.commit()).flatten() {
                let mut payload = cell.local.to_vec();
                for overflow in self.chain(cell.overflow, cell.length).await? {
                    payload.extend_from_slice(overflow.1.get(4..self.usable).unwrap_or_default());
                }
                entries.extend(record::entry(&payload, self.page_1));
            }
        }
        Ok(entries)
    }

    /// The pages of an overflow chain that continues a payload of `length` bytes.
    async fn chain(&self, first: Option<u32>, length: u64) -> Result<Vec<(u32, crate::replica::Page)>, Error> {
        let most = length / (self.usable as u64 - 4) + 1;
        let (mut pages, mut next) = (Vec::new(), first);
        while let Some(pgno) = next
            && (pages.len() as u64) < most
        {
            let Some(page) = self.reader.pages(self.view, &[pgno]).await?.into_iter().next().flatten() else { break };
            next = btree::next_overflow(&page, self.view.commit());
            pages.push((pgno, page));
        }
        Ok(pages)
    }

    /// Finds the overflow of what stands in these pages, unless every page has an owner.
    async fn take_overflow(&mut self, pages: &[u32], owner: &PageOwner) -> Result<(), Error> {
        for portion in pages.chunks(PORTION) {
            if self.wanted.is_empty() {
                return Ok(());
            }
            for (pgno, page) in portion.iter().zip(self.reader.pages(self.view, portion).await?) {
                let page = page.as_deref().unwrap_or_default();
                for cell in cells::each(page, *pgno, self.usable, self.view.commit()).flatten() {
                    for (pgno, _) in self.chain(cell.overflow, cell.length).await? {
                        self.take(pgno, owner);
                    }
                }
            }
        }
        Ok(())
    }

    /// The first pointer map is page 2; each tells of the pages behind it, five bytes a page, up to the next.
    fn take_pointer_maps(&mut self) {
        if self.page_1[LARGEST_ROOT..LARGEST_ROOT + 4] == [0; 4] {
            return;
        }
        let (lock_page, step) = (self.view.lock_page(), self.usable / 5 + 1);
        for pgno in (2..=self.view.commit()).step_by(step) {
            self.take(if pgno == lock_page { pgno + 1 } else { pgno }, &PageOwner::PointerMap);
        }
    }

    async fn take_free_pages(&mut self) -> Result<(), Error> {
        let commit = self.view.commit();
        let mut next = btree::first_trunk(self.page_1, commit);
        let mut trunks = HashSet::new();
        while let Some(trunk) = next.filter(|trunk| trunks.insert(*trunk) && !self.wanted.is_empty()) {
            self.take(trunk, &PageOwner::Free);
            let Some(page) = self.reader.pages(self.view, &[trunk]).await?.into_iter().next().flatten() else { break };
            let (after, listed) = btree::trunk(&page, commit);
            listed.for_each(|pgno| self.take(pgno, &PageOwner::Free));
            next = after;
        }
        Ok(())
    }
}

/// More depths than a b-tree can have.
const MOST_DEPTHS: usize = 32;

fn damaged(pgno: u32) -> Error {
    Error::new(ErrorKind::Damaged, format!("page {pgno} of the database is no page of a table or an index"))
        .remedy("run `PRAGMA integrity_check`")
}
