//! Which rows of an undo may take a unique value that another row still has.
//!
//! SQLite checks unique indexes row by row. Two rows that exchange their values violate an index in between, and so does a
//! row that takes the value of another before that row has changed. Such rows are found by the hashes of their values.
//! Rows without a conflict can be among them: that only costs statements.

use super::layout;
use crate::replica::{RowChange, StoredValue, TableLayout, TableState};
use crate::sqlite::api::{Api, ScratchDatabase, integer_at, text_at};
use crate::sqlite::errors::SqlError;
use crate::sqlite::sql::literal::quoted;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A unique index other than the key of the table. Columns are positions in the layout.
#[derive(Clone, PartialEq, Eq, Debug)]
struct UniqueIndex {
    /// The columns whose values are compared: its own columns, and those that its expressions name.
    compared: Vec<usize>,
    /// A column of the index that a statement can set. With a value that no other row has, a row is in no conflict. None
    /// if the index has only expressions, generated columns and columns of the key.
    parked: Option<usize>,
}

/// The unique indexes of a table, and the values that its updated rows have before the undo.
#[derive(Clone, Debug)]
pub struct UniqueValues {
    indexes: Vec<UniqueIndex>,
    /// How many values have a hash, up to 255. Empty before the first value.
    counts: Vec<u8>,
}

/// The column of an expression in `PRAGMA index_xinfo`.
const EXPRESSION: i64 = -2;

/// The number of distinct hashes.
const HASHES: usize = 1 << 22;

impl UniqueValues {
    /// Finds the unique indexes of a table.
    pub fn new(api: Api, table: &TableState, layout: &TableLayout) -> Result<UniqueValues, SqlError> {
        let scratch = layout::parse(api, &table.name, &table.sql)?;
        for sql in &table.unique_indexes {
            // SQLite rejects an index with a function or a collating sequence of the application. Its conflicts are
            // not foreseen.
            let _ = scratch.define(sql);
        }
        let indexes = unique_indexes(&scratch, &table.name, layout);
        let indexes = indexes.map_err(|reason| format!("the indexes of '{}' cannot be read: {reason}", table.name))?;
        Ok(UniqueValues { indexes, counts: Vec::new() })
    }

    pub fn has_indexes(&self) -> bool {
        !self.indexes.is_empty()
    }

    /// Adds the values that an updated row has before the undo.
    pub fn add(&mut self, new: &[StoredValue]) {
        for number in 0..self.indexes.len() {
            self.counts.resize(HASHES, 0);
            let hash = self.hash(number, new);
            self.counts[hash] = self.counts[hash].saturating_add(1);
        }
    }

    /// Returns the columns of a row that must be set to other values for a while, because its `old` values may be those
    /// of another updated row. `changed` has the columns that the undo sets.
    pub fn parked(&self, change: &RowChange, changed: &[usize]) -> Vec<usize> {
        let (Some(old), Some(new)) = (&change.old, &change.new) else { return Vec::new() };
        let mut parked = Vec::new();
        for (number, index) in self.indexes.iter().enumerate() {
            let (before, after) = (self.hash(number, new), self.hash(number, old));
            if self.counts.get(after).copied().unwrap_or_default() > u8::from(before == after) {
                match index.parked {
                    Some(column) => parked.push(column),
                    None => parked.extend(changed),
                }
            }
        }
        parked.sort_unstable();
        parked.dedup();
        parked
    }

    /// Returns a hash that is the same for all values that an index may regard as equal.
    fn hash(&self, number: usize, row: &[StoredValue]) -> usize {
        let mut hasher = DefaultHasher::new();
        number.hash(&mut hasher);
        for column in &self.indexes[number].compared {
            match &row[*column] {
                StoredValue::Null => 0.hash(&mut hasher),
                StoredValue::Integer(number) => (*number as f64).to_bits().hash(&mut hasher),
                StoredValue::Real(number) => (number + 0.0).to_bits().hash(&mut hasher),
                // Collating sequences ignore case or spaces at the end.
                StoredValue::Text(text) => text.trim_ascii_end().to_ascii_lowercase().hash(&mut hasher),
                StoredValue::Blob(blob) => blob.hash(&mut hasher),
            }
        }
        hasher.finish() as usize % HASHES
    }
}

fn unique_indexes(scratch: &ScratchDatabase, table: &str, layout: &TableLayout) -> Result<Vec<UniqueIndex>, String> {
    let mut indexes = Vec::new();
    for index in scratch.query(&format!("PRAGMA index_list({})", quoted(table, '\'')))? {
        let (name, is_unique, origin) = (text_at(&index, 1), integer_at(&index, 2), text_at(&index, 3));
        let is_table = origin == "pk" && layout.key.is_some();
        if is_unique == 1 && !is_table {
            indexes.extend(unique_index(scratch, &quoted(&name, '\''), layout)?);
        }
    }
    Ok(indexes)
}

/// Returns None if no stored column is part of the index.
fn unique_index(scratch: &ScratchDatabase, name: &str, layout: &TableLayout) -> Result<Option<UniqueIndex>, String> {
    let (mut index, mut has_expressions) = (UniqueIndex { compared: Vec::new(), parked: None }, false);
    let entries = scratch.query(&format!("PRAGMA index_xinfo({name})"))?;
    for entry in entries.iter().filter(|entry| integer_at(entry, 5) == 1) {
        if integer_at(entry, 1) == EXPRESSION {
            // The columns that the statement mentions are those of all its expressions.
            if std::mem::replace(&mut has_expressions, true) {
                continue;
            }
            let sql = scratch.query(&format!("SELECT sql FROM sqlite_master WHERE name = {name}"))?;
            let sql = sql.first().map(|row| text_at(row, 0).to_ascii_lowercase()).unwrap_or_default();
            index.compared.extend((0..layout.columns.len()).filter(|at| mentions(&sql, &layout.columns[*at].name)));
            continue;
        }
        let column = text_at(entry, 2);
        if let Some(at) = layout.columns.iter().position(|one| one.name.eq_ignore_ascii_case(&column)) {
            index.compared.push(at);
            index.parked = index.parked.or(Some(at).filter(|at| is_settable(layout, *at)));
        }
    }
    Ok((!index.compared.is_empty()).then_some(index))
}

/// Whether a statement can set a column of a row without changing its key.
fn is_settable(layout: &TableLayout, at: usize) -> bool {
    let is_key = layout.key.iter().flatten().any(|key| key.column == at) || layout.columns[at].field.is_none();
    !is_key && !layout.columns[at].is_generated
}

/// Whether SQL in lower case contains a name as a word.
fn mentions(sql: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_part = |char: char| char.is_alphanumeric() || char == '_' || char == '$';
    sql.match_indices(&name)
        .any(|(at, _)| !sql[..at].ends_with(is_part) && !sql[at + name.len()..].starts_with(is_part))
}
