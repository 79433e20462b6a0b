//! Compares the rows of a table in two states, in the order of their keys.

use crate::error::{Error, ErrorKind};
use crate::replica::dbformat::btree::{self, PageKind};
use crate::replica::dbformat::cells::{self, BtreeCell};
use crate::replica::dbformat::record::{self, StoredValue};
use crate::replica::diff::layout::{RowKey, TableLayout};
use crate::replica::diff::sources::RowSource;
use crate::replica::diff::table::TablePair;
use crate::replica::diff::trees::{OwnedCell, PayloadRoom, TreeReader, not_in_tree};
use crate::replica::pages::PageReader;
use crate::replica::view::View;
use futures_util::future::try_join;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

/// A batch ends after this many rows, or after rows of this many bytes.
const MAX_ROWS: usize = 256;
const MAX_BYTES: usize = 1 << 20;

/// A row that differs between two states.
#[derive(Clone, Debug)]
pub struct RowChange {
    /// The rowid, or the values of the primary key of a table WITHOUT ROWID.
    pub key: Vec<StoredValue>,
    /// The values of the stored columns in the older state. None if the row did not exist.
    pub old: Option<Vec<StoredValue>>,
    /// The values in the newer state. None if the row does not exist any more.
    pub new: Option<Vec<StoredValue>>,
}

impl RowChange {
    /// Returns `insert`, `update` or `delete`.
    pub fn op(&self) -> &'static str {
        match (&self.old, &self.new) {
            (None, _) => "insert",
            (_, None) => "delete",
            _ => "update",
        }
    }
}

/// A comparison of the rows of a table, and how far it is.
#[derive(Debug)]
pub struct RowDiff {
    pub(super) pair: TablePair,
    pub(super) layout: TableLayout,
    /// None before the pages with differing rows are known.
    pub(super) progress: Option<DiffProgress>,
}

#[derive(Debug)]
pub(super) struct DiffProgress {
    streams: [RowStream; 2],
    /// Whether values whose cells are equal can differ, because an overflow page may have been overwritten.
    compares_overflow: bool,
}

/// The rows of one state that can differ from the other.
#[derive(Debug)]
struct RowStream {
    /// The parts of the table, in the reverse order of their keys.
    sources: Vec<RowSource>,
    rows: VecDeque<RawRow>,
}

/// A row as it is stored.
#[derive(Debug)]
pub(super) struct RawRow {
    pub key: RowKey,
    pub cell: OwnedCell,
}

impl RowDiff {
    /// Starts a comparison. The layout is that of the state with more columns.
    pub fn new(pair: TablePair, layout: TableLayout) -> RowDiff {
        RowDiff { pair, layout, progress: None }
    }
}

impl DiffProgress {
    pub(super) fn new(sources: [Vec<RowSource>; 2], compares_overflow: bool) -> DiffProgress {
        let streams = sources.map(|mut sources| {
            sources.reverse();
            RowStream { sources, rows: VecDeque::new() }
        });
        DiffProgress { streams, compares_overflow }
    }

    /// Returns the next rows that differ. Returns no rows at the end.
    pub(super) async fn next_rows(
        &mut self,
        reader: &PageReader,
        views: [&Arc<View>; 2],
        layout: &TableLayout,
    ) -> Result<Vec<RowChange>, Error> {
        let older = StateReader { trees: TreeReader::new(reader, views[0]).await?, layout };
        let newer = StateReader { trees: TreeReader::new(reader, views[1]).await?, layout };
        let encoding = older.trees.encoding;
        if layout.key.is_some() && encoding != newer.trees.encoding {
            return Err(other_encoding());
        }
        let [before, after] = &mut self.streams;
        let (mut changes, mut bytes) = (Vec::new(), 0);
        while changes.len() < MAX_ROWS && bytes < MAX_BYTES {
            try_join(older.load(before), newer.load(after)).await?;
            let order = match (before.rows.front(), after.rows.front()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => layout.compare(&old.key, &new.key, encoding),
            };
            let old = if order.is_le() { before.rows.pop_front() } else { None };
            let new = if order.is_ge() { after.rows.pop_front() } else { None };
            if let (Some(old), Some(new)) = (&old, &new)
                && self.compares_overflow.then_some(old.cell.overflow).flatten().is_none()
                && old.cell == new.cell
                && encoding == newer.trees.encoding
            {
                continue;
            }
            let old_values = older.values(old.as_ref()).await?;
            let new_values = newer.values(new.as_ref()).await?;
            if old_values != new_values {
                bytes += size(&old_values) + size(&new_values);
                let key = new.or(old).map_or_else(Vec::new, |row| row.key.into_values());
                changes.push(RowChange { key, old: old_values, new: new_values });
            }
        }
        Ok(changes)
    }
}

/// Reads rows of one state.
pub(super) struct StateReader<'a> {
    pub trees: TreeReader<'a>,
    pub layout: &'a TableLayout,
}

impl StateReader<'_> {
    /// Reads the next pages of a stream that has no rows left.
    async fn load(&self, stream: &mut RowStream) -> Result<(), Error> {
        while stream.rows.is_empty() && !stream.sources.is_empty() {
            let rest = stream.sources.len().saturating_sub(self.trees.batch());
            let sources = stream.sources.split_off(rest);
            let numbers: Vec<u32> = sources.iter().rev().map(RowSource::page_of_rows).collect();
            let pages = self.trees.reader.pages(self.trees.view, &numbers).await?;
            let mut room = self.trees.room();
            for ((source, pgno), page) in sources.iter().rev().zip(numbers).zip(pages) {
                let page = page.ok_or_else(|| not_in_tree(pgno))?;
                let mut cells = cells::each(&page, pgno, self.trees.usable, self.trees.view.commit());
                match source {
                    RowSource::Page(_) if btree::kind(&page, pgno) != PageKind::Leaf => return Err(not_in_tree(pgno)),
                    RowSource::Page(_) => {
                        for cell in cells {
                            stream.rows.push_back(self.raw_row(pgno, cell, &mut room).await?);
                        }
                    }
                    RowSource::Cell { number, .. } => {
                        let cell = cells.nth(*number).flatten();
                        stream.rows.push_back(self.raw_row(pgno, cell, &mut room).await?);
                    }
                }
            }
        }
        Ok(())
    }

    async fn raw_row(&self, pgno: u32, cell: Option<BtreeCell<'_>>, room: &mut PayloadRoom) -> Result<RawRow, Error> {
        let cell = cell.ok_or_else(|| damaged_row(pgno))?;
        let (rowid, cell) = (cell.rowid, OwnedCell::from(cell));
        let key = self.trees.key(rowid, &cell, self.layout).await?.ok_or_else(|| damaged_row(pgno))?;
        if self.layout.key.is_some() {
            room.take(cell.length, pgno)?;
        }
        Ok(RawRow { key, cell })
    }

    /// Returns the values of a row in all stored columns.
    pub(super) async fn values(&self, row: Option<&RawRow>) -> Result<Option<Vec<StoredValue>>, Error> {
        let Some(row) = row else { return Ok(None) };
        let payload = self.trees.payload(&row.cell).await?;
        let is_complete = payload.len() as u64 == row.cell.length;
        let record = record::values(&payload, self.trees.encoding).filter(|_| is_complete);
        let rowid = match row.key {
            RowKey::Rowid(rowid) => Some(rowid),
            RowKey::Values(_) => None,
        };
        let values = record.and_then(|record| self.layout.row(rowid, &record));
        values.map(Some).ok_or_else(|| {
            Error::new(ErrorKind::Damaged, format!("the row with the key {:?} is damaged", row.key))
                .remedy("run `PRAGMA integrity_check`")
        })
    }
}

fn size(row: &Option<Vec<StoredValue>>) -> usize {
    let length = |value: &StoredValue| match value {
        StoredValue::Text(bytes) | StoredValue::Blob(bytes) => bytes.len() + 32,
        StoredValue::Null | StoredValue::Integer(_) | StoredValue::Real(_) => 32,
    };
    row.iter().flatten().map(length).sum()
}

fn damaged_row(pgno: u32) -> Error {
    Error::new(ErrorKind::Damaged, format!("page {pgno} of the database has a row that is not one of this table"))
        .remedy("run `PRAGMA integrity_check`")
}

fn other_encoding() -> Error {
    Error::new(ErrorKind::Config, "the text encoding of the database changed between the two states")
        .remedy("compare states before or after the change")
}
