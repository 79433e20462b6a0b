//! The content of a schema: the records of the table whose root is page 1.

use crate::replica::dbformat::btree::PageKind;
use crate::replica::dbformat::{btree, cells, header};
use std::collections::HashSet;
use std::mem;

/// A schema that takes more bytes than this is not read.
const MAX_BYTES: usize = 64 << 20;

/// What SQLite reads when it reads the schema.
#[derive(Debug, Default)]
pub(super) struct SchemaContent {
    /// Type, name, table, root page and SQL of each entry, in SQLite's record format and in the order of the table.
    pub records: Vec<Vec<u8>>,
    /// The pages that contain them, except page 1.
    pub pages: Vec<u32>,
}

/// The schema does not fit in page 1.
#[derive(Debug)]
pub(super) struct MorePages;

/// Returns the schema of a database whose schema fits in page 1, or None if page 1 is damaged.
pub(super) fn in_page_1(page_1: &[u8], commit: u32) -> Result<Option<SchemaContent>, MorePages> {
    let Some(mut parser) = SchemaParser::new(page_1, commit) else { return Ok(None) };
    match parser.parse(1, page_1) {
        Some(children) if children.is_empty() && parser.chains.is_empty() => Ok(Some(parser.schema)),
        Some(_) => Err(MorePages),
        None => Ok(None),
    }
}

/// Collects the records of a schema from its pages, which the caller supplies: first the b-tree pages from the root
/// down, then the overflow pages.
pub(super) struct SchemaParser {
    commit: u32,
    usable: usize,
    max_pages: usize,
    seen: HashSet<u32>,
    schema: SchemaContent,
    chains: Vec<SchemaChain>,
}

/// The rest of a record that continues on overflow pages.
pub(super) struct SchemaChain {
    /// Index of the record in [`SchemaContent::records`].
    record: usize,
    next: u32,
    /// How many bytes of the record are missing.
    missing: usize,
}

impl SchemaChain {
    /// The next overflow page.
    pub(super) fn next(&self) -> u32 {
        self.next
    }
}

impl SchemaParser {
    /// Returns None if page 1 is not that of a database.
    pub(super) fn new(page_1: &[u8], commit: u32) -> Option<SchemaParser> {
        Some(SchemaParser {
            commit,
            usable: header::usable(page_1)?,
            max_pages: MAX_BYTES / page_1.len(),
            seen: HashSet::new(),
            schema: SchemaContent::default(),
            chains: Vec::new(),
        })
    }

    /// Parses a b-tree page: adds the records of a leaf, or returns the children of an interior page. Returns None if
    /// the page is damaged.
    pub(super) fn parse(&mut self, pgno: u32, page: &[u8]) -> Option<Vec<u32>> {
        self.visit(pgno)?;
        match btree::kind(page, pgno) {
            PageKind::Interior => btree::children(page, pgno, self.commit),
            PageKind::Leaf => {
                for cell in cells::each(page, pgno, self.usable, self.commit) {
                    let cell = cell?;
                    let missing = usize::try_from(cell.length).ok()?.checked_sub(cell.local.len())?;
                    if missing > 0 {
                        let record = self.schema.records.len();
                        self.chains.push(SchemaChain { record, next: cell.overflow?, missing });
                    }
                    self.schema.records.push(cell.local.to_vec());
                }
                Some(Vec::new())
            }
            PageKind::Other => None,
        }
    }

    /// Takes the records that continue on overflow pages. Must be called after all b-tree pages were parsed.
    pub(super) fn take_chains(&mut self) -> Vec<SchemaChain> {
        mem::take(&mut self.chains)
    }

    /// Adds the content of the next overflow page of a chain. Returns the rest of the chain, `Some(None)` if the record
    /// is complete, and None if the page is damaged.
    pub(super) fn parse_overflow(&mut self, chain: &SchemaChain, page: &[u8]) -> Option<Option<SchemaChain>> {
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

    pub(super) fn into_schema(self) -> SchemaContent {
        self.schema
    }

    /// Records that a page is part of the schema. Returns None if it is the second time, or if there are too many
    /// pages.
    fn visit(&mut self, pgno: u32) -> Option<()> {
        if pgno != 1 {
            self.schema.pages.push(pgno);
        }
        (self.seen.insert(pgno) && self.seen.len() <= self.max_pages).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::Connection;

    /// Returns the pages of a database that SQLite created, and the SQL in its schema.
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

    /// Returns statements that create `count` tables. Every 30th has a long definition.
    fn tables(count: usize) -> String {
        let columns = |table: usize| if table % 30 == 29 { 900 } else { 2 };
        let columns = |table| (0..columns(table)).map(|n| format!(", column_{n}")).collect::<String>();
        (0..count).map(|table| format!("CREATE TABLE table_{table} (id {});", columns(table))).collect()
    }

    /// Reads the schema as `Schemas::read_schema` does.
    fn read(pages: &[Vec<u8>]) -> Option<SchemaContent> {
        let mut parser = SchemaParser::new(&pages[0], pages.len() as u32)?;
        let page = |pgno: u32| pages.get(pgno as usize - 1);
        let mut level = vec![1];
        while !level.is_empty() {
            let mut below = Vec::new();
            for pgno in level {
                below.extend(parser.parse(pgno, page(pgno)?)?);
            }
            level = below;
        }
        let mut chains = parser.take_chains();
        while let Some(chain) = chains.pop() {
            chains.extend(parser.parse_overflow(&chain, page(chain.next)?)?);
        }
        Some(parser.into_schema())
    }

    #[test]
    fn the_records_are_the_rows_of_sqlite_schema() {
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
                Err(MorePages) => assert!(!schema.pages.is_empty(), "{count} tables in pages of {page_size}"),
            }
        }
    }

    #[test]
    fn a_schema_with_too_many_pages_is_rejected() {
        let (pages, _) = database(512, &tables(400));
        let mut parser = SchemaParser::new(&pages[0], pages.len() as u32).expect("a database");
        parser.max_pages = 3;
        let accepted = (1..=4).map(|pgno| parser.visit(pgno).is_some());
        assert_eq!(accepted.collect::<Vec<_>>(), [true, true, true, false]);
    }

    proptest! {
        /// The result is another schema or none.
        #[test]
        fn parsing_damaged_pages_ends_without_a_panic(
            damage in prop::collection::vec((0usize..400, 0usize..512, any::<u8>()), 1..40),
            on_page_1 in prop::collection::vec((16usize..200, any::<u8>()), 0..4),
        ) {
            static TABLES: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(|| database(512, &tables(200)).0);
            let mut pages = TABLES.clone();
            let count = pages.len();
            damage.into_iter().for_each(|(page, at, byte)| pages[page % count][at] = byte);
            on_page_1.into_iter().for_each(|(at, byte)| pages[0][at] = byte);
            if let Some(schema) = read(&pages) {
                prop_assert!(schema.pages.len() <= MAX_BYTES / 512);
                prop_assert!(schema.records.iter().map(Vec::len).sum::<usize>() <= MAX_BYTES);
            }
            let _ = in_page_1(&pages[0], count as u32);
        }
    }
}
