//! The schema of a view: the records of the table whose root is page 1.

use crate::error::Error;
use crate::replica::cache::Page;
use crate::replica::dbformat::btree::PageKind;
use crate::replica::dbformat::{btree, cells};
use crate::replica::schema::Schemas;
use crate::replica::view::View;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::mem;
use std::sync::Arc;

/// Identifies content: 128 bits of a hash with secret keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Digest(u64, u64);

/// The keys of a replica.
#[derive(Default)]
pub(super) struct Keys(RandomState, RandomState);

impl Keys {
    /// Identifies a sequence of byte strings.
    pub(super) fn digest<'a>(&self, parts: impl Iterator<Item = &'a [u8]>) -> Digest {
        let (mut one, mut other) = (self.0.build_hasher(), self.1.build_hasher());
        for part in parts {
            // With its length.
            part.hash(&mut one);
            part.hash(&mut other);
        }
        Digest(one.finish(), other.finish())
    }
}

/// What SQLite reads when it reads the schema.
#[derive(Debug, Default)]
pub(super) struct SchemaContent {
    /// Type, name, table, root page and SQL of each entry, as SQLite's record format has them, in their order.
    pub records: Vec<Vec<u8>>,
    /// The pages they lie in, but for page 1.
    pub pages: Vec<u32>,
}

/// The schema does not fit in page 1.
#[derive(Debug)]
pub(super) struct GoesOn;

/// The schema of a database, if it fits in page 1; None if page 1 is damaged.
pub(super) fn in_page_1(page_1: &[u8], commit: u32) -> Result<Option<SchemaContent>, GoesOn> {
    let Some(mut walk) = Walk::new(page_1, commit) else { return Ok(None) };
    match walk.take(1, page_1) {
        Some(children) if children.is_empty() && walk.chains.is_empty() => Ok(Some(walk.schema)),
        Some(_) => Err(GoesOn),
        None => Ok(None),
    }
}

/// Pages that are brought at once.
const PORTION: usize = 1024;

impl Schemas {
    /// The schema of a view; None if its pages are damaged or more than [`MOST_BYTES`].
    pub(super) async fn read_schema(&self, view: &Arc<View>, page_1: &Page) -> Result<Option<SchemaContent>, Error> {
        let Some(mut walk) = Walk::new(page_1, view.commit()) else { return Ok(None) };
        let mut depth = walk.take(1, page_1);
        while let Some(pages) = depth.take_if(|pages| !pages.is_empty()) {
            depth = self.read_depth(view, &mut walk, &pages).await?;
        }
        let mut chains = depth.map(|_| mem::take(&mut walk.chains));
        while let Some(heads) = chains.take_if(|heads| !heads.is_empty()) {
            chains = self.read_overflow(view, &mut walk, &heads).await?;
        }
        Ok(chains.map(|_| walk.schema))
    }

    /// Reads b-tree pages. Returns their children, or None if one is damaged.
    async fn read_depth(&self, view: &Arc<View>, walk: &mut Walk, depth: &[u32]) -> Result<Option<Vec<u32>>, Error> {
        let mut below = Vec::new();
        for portion in depth.chunks(PORTION) {
            for (pgno, page) in portion.iter().zip(self.pages.pages(view, portion).await?) {
                match page.and_then(|page| walk.take(*pgno, &page)) {
                    Some(children) => below.extend(children),
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(below))
    }

    /// Reads the next overflow page of each chain. Returns the chains that go on, or None if a page is damaged.
    async fn read_overflow(
        &self,
        view: &Arc<View>,
        walk: &mut Walk,
        chains: &[SchemaChain],
    ) -> Result<Option<Vec<SchemaChain>>, Error> {
        let mut longer = Vec::new();
        for portion in chains.chunks(PORTION) {
            let heads: Vec<u32> = portion.iter().map(|chain| chain.next).collect();
            for (chain, page) in portion.iter().zip(self.pages.pages(view, &heads).await?) {
                match page.and_then(|page| walk.follow(chain, &page)) {
                    Some(rest) => longer.extend(rest),
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(longer))
    }
}

/// A schema that takes more bytes than this is not read.
const MOST_BYTES: usize = 64 << 20;

/// SQLite's least size of the part of pages that it uses.
const LEAST_USABLE: usize = 480;

/// Offset in page 1 of the number of bytes that pages keep free at their ends.
const RESERVED: usize = 20;

/// A walk through the pages of a schema.
struct Walk {
    commit: u32,
    usable: usize,
    most_pages: usize,
    seen: HashSet<u32>,
    schema: SchemaContent,
    chains: Vec<SchemaChain>,
}

/// The rest of a record, in overflow pages.
struct SchemaChain {
    record: usize,
    next: u32,
    missing: usize,
}

impl Walk {
    /// None if page 1 says that the database is none.
    fn new(page_1: &[u8], commit: u32) -> Option<Walk> {
        let usable = page_1.len().checked_sub((*page_1.get(RESERVED)?).into())?;
        (usable >= LEAST_USABLE).then(|| Walk {
            commit,
            usable,
            most_pages: MOST_BYTES / page_1.len(),
            seen: HashSet::new(),
            schema: SchemaContent::default(),
            chains: Vec::new(),
        })
    }

    /// Takes the records of a page, or returns its children if it is an interior page. None if it is damaged.
    fn take(&mut self, pgno: u32, page: &[u8]) -> Option<Vec<u32>> {
        self.visit(pgno)?;
        match btree::kind(page, pgno) {
            PageKind::Interior => btree::children(page, pgno, self.commit),
            PageKind::Leaf => {
                for cell in cells::each(page, pgno, self.usable, self.commit) {
                    let cell = cell?;
                    let missing = usize::try_from(cell.length).ok()?.checked_sub(cell.local.len())?;
                    if missing > 0 {
                        self.chains.push(SchemaChain {
                            record: self.schema.records.len(),
                            next: cell.overflow?,
                            missing,
                        });
                    }
                    self.schema.records.push(cell.local.to_vec());
                }
                Some(Vec::new())
            }
            PageKind::Other => None,
        }
    }

    /// Takes what an overflow page holds. Returns the rest of its chain, or None if it is damaged.
    fn follow(&mut self, chain: &SchemaChain, page: &[u8]) -> Option<Option<SchemaChain>> {
        self.visit(chain.next)?;
        let content = page.get(4..self.usable)?;
        let (content, _) = content.split_at(content.len().min(chain.missing));
        self.schema.records.get_mut(chain.record)?.extend_from_slice(content);
        let missing = chain.missing - content.len();
        if missing == 0 {
            return Some(None);
        }
        let next = btree::next_overflow(page, self.commit)?;
        Some(Some(SchemaChain { record: chain.record, next, missing }))
    }

    /// Notes a page. None if pages lead back to it, or if there are too many.
    fn visit(&mut self, pgno: u32) -> Option<()> {
        if pgno != 1 {
            self.schema.pages.push(pgno);
        }
        (self.seen.insert(pgno) && self.seen.len() <= self.most_pages).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::Connection;

    /// A database that SQLite made, page by page, and the SQL in its schema.
    fn database(page_size: usize, sql: &str) -> (Vec<Vec<u8>>, Vec<String>) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("db");
        let conn = Connection::open(&path).expect("a database");
        let sql = format!("PRAGMA page_size = {page_size}; BEGIN; CREATE TABLE t (x); DROP TABLE t; {sql}; COMMIT");
        conn.execute_batch(&sql).expect("statements");
        let mut statement = conn.prepare("SELECT sql FROM sqlite_schema ORDER BY rowid").expect("a statement");
        let rows = statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("rows");
        let bytes = std::fs::read(&path).expect("a file");
        (bytes.chunks(page_size).map(<[u8]>::to_vec).collect(), rows)
    }

    /// So many tables. Every thirtieth has a long definition.
    fn tables(count: usize) -> String {
        let columns = |table: usize| if table % 30 == 29 { 900 } else { 2 };
        let columns = |table| (0..columns(table)).map(|n| format!(", column_{n}")).collect::<String>();
        (0..count).map(|table| format!("CREATE TABLE table_{table} (id {});", columns(table))).collect()
    }

    /// Reads the schema as [`Replica::read_schema`] does.
    fn read(pages: &[Vec<u8>]) -> Option<SchemaContent> {
        let mut walk = Walk::new(&pages[0], pages.len() as u32)?;
        let page = |pgno: u32| pages.get(pgno as usize - 1);
        let mut depth = vec![1];
        while !depth.is_empty() {
            let mut below = Vec::new();
            for pgno in depth {
                below.extend(walk.take(pgno, page(pgno)?)?);
            }
            depth = below;
        }
        let mut chains = mem::take(&mut walk.chains);
        while let Some(chain) = chains.pop() {
            chains.extend(walk.follow(&chain, page(chain.next)?)?);
        }
        Some(walk.schema)
    }

    #[test]
    fn the_records_are_those_of_the_schema_table() {
        for (page_size, count) in [(512, 0), (512, 1), (512, 400), (1024, 400), (4096, 3), (4096, 3000), (65536, 2000)]
        {
            let (pages, sql) = database(page_size, &tables(count));
            let schema = read(&pages).unwrap_or_else(|| panic!("{count} tables in pages of {page_size}"));
            assert_eq!(schema.records.len(), sql.len());
            for (record, sql) in schema.records.iter().zip(&sql) {
                assert!(record.ends_with(sql.as_bytes()), "{sql}");
            }
            match in_page_1(&pages[0], pages.len() as u32) {
                Ok(alone) => assert_eq!(alone.map(|alone| alone.records), Some(schema.records)),
                Err(GoesOn) => assert!(!schema.pages.is_empty(), "{count} tables in pages of {page_size}"),
            }
        }
    }

    #[test]
    fn a_schema_of_too_many_pages_is_not_read() {
        let (pages, _) = database(512, &tables(400));
        let mut walk = Walk::new(&pages[0], pages.len() as u32).expect("a database");
        walk.most_pages = 3;
        let taken = (1..=4).map(|pgno| walk.visit(pgno).is_some());
        assert_eq!(taken.collect::<Vec<_>>(), [true, true, true, false]);
    }

    proptest! {
        /// Damage gives another schema or none, and always an end.
        #[test]
        fn damaged_pages_are_read_without_harm(
            damage in prop::collection::vec((0usize..400, 0usize..512, any::<u8>()), 1..40),
            on_page_1 in prop::collection::vec((16usize..200, any::<u8>()), 0..4),
        ) {
            static TABLES: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(|| database(512, &tables(200)).0);
            let mut pages = TABLES.clone();
            let count = pages.len();
            damage.into_iter().for_each(|(page, at, byte)| pages[page % count][at] = byte);
            on_page_1.into_iter().for_each(|(at, byte)| pages[0][at] = byte);
            if let Some(schema) = read(&pages) {
                prop_assert!(schema.pages.len() <= MOST_BYTES / 512);
                prop_assert!(schema.records.iter().map(Vec::len).sum::<usize>() <= MOST_BYTES);
            }
            let _ = in_page_1(&pages[0], count as u32);
        }
    }
}
