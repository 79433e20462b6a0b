//! How the records of a table are read as rows.

use crate::replica::dbformat::record::{StoredValue, TextEncoding};
use std::cmp::Ordering;

/// The columns of a table that are stored, and its key.
#[derive(Clone, Debug)]
pub struct TableLayout {
    /// The stored columns, in the order of the table. Virtual generated columns are not stored.
    pub columns: Vec<TableColumn>,
    /// The names of the virtual generated columns.
    pub virtual_columns: Vec<String>,
    /// The primary key of a table WITHOUT ROWID. None if the rowid is the key.
    pub key: Option<Vec<KeyColumn>>,
    /// How many values a record has. It has fewer if columns were added since it was written.
    pub fields: usize,
}

/// A stored column.
#[derive(Clone, Debug)]
pub struct TableColumn {
    pub name: String,
    /// Which value of the record is that of the column. None if the column is the rowid.
    pub field: Option<usize>,
    /// The affinity of the type. SQLite stores whole numbers of a column with REAL affinity as integers.
    pub affinity: Affinity,
    /// Whether the column is computed from others when a row is written.
    pub is_generated: bool,
    /// The value in rows that were written before the column was added.
    pub default: StoredValue,
}

/// The type to which a column converts the values that it gets, if nothing is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Affinity {
    Integer,
    Text,
    /// No conversion.
    Blob,
    Real,
    Numeric,
}

/// A column of a primary key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyColumn {
    /// Its index in [`TableLayout::columns`].
    pub column: usize,
    pub is_descending: bool,
    pub collation: Collation,
}

/// A collating sequence that SQLite has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Collation {
    Binary,
    NoCase,
    Rtrim,
}

impl Collation {
    /// Returns the name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Collation::Binary => "BINARY",
            Collation::NoCase => "NOCASE",
            Collation::Rtrim => "RTRIM",
        }
    }
}

/// The key of a row.
#[derive(Clone, Debug)]
pub(super) enum RowKey {
    Rowid(i64),
    /// The values of the primary key.
    Values(Vec<StoredValue>),
}

impl TableLayout {
    /// Returns the layout that reads the rows of two states. Fails if the definition of the table changed in between, with
    /// what changed. Columns that were only added are no such change.
    pub fn reconcile(older: TableLayout, newer: TableLayout) -> Result<TableLayout, String> {
        let is_same = |one: &TableColumn, other: &TableColumn| {
            (&one.name, one.field, one.is_real(), one.is_generated)
                == (&other.name, other.field, other.is_real(), other.is_generated)
        };
        let position = |at: usize| {
            let (one, other) = (older.columns.get(at), newer.columns.get(at));
            one.is_some_and(|one| !other.is_some_and(|other| is_same(one, other)))
        };
        if let Some(at) = (0..older.columns.len()).find(|at| position(*at)) {
            return Err(format!("its column '{}' was renamed, removed, or given another type", older.columns[at].name));
        }
        if older.key != newer.key {
            return Err("it has another primary key".to_owned());
        }
        Ok(newer)
    }

    /// Returns the row of a record. None if the record has more values than the table has columns.
    pub(super) fn row(&self, rowid: Option<i64>, record: &[StoredValue]) -> Option<Vec<StoredValue>> {
        let value = |column: &TableColumn| match (column.field, rowid) {
            (Some(field), _) => column.read(record.get(field)),
            (None, Some(rowid)) => StoredValue::Integer(rowid),
            (None, None) => StoredValue::Null,
        };
        (record.len() <= self.fields).then(|| self.columns.iter().map(value).collect())
    }

    /// Returns the key of a record. `rowid` is that of its cell. None if the cell is not one of this kind of table.
    pub(super) fn row_key(&self, rowid: Option<i64>, record: impl FnOnce() -> Vec<StoredValue>) -> Option<RowKey> {
        let Some(key) = &self.key else { return rowid.map(RowKey::Rowid) };
        let record = record();
        let value = |key: &KeyColumn| {
            let column = &self.columns[key.column];
            Some(column.read(Some(record.get(column.field?)?)))
        };
        Some(RowKey::Values(key.iter().map(value).collect::<Option<_>>()?))
    }

    /// Compares the positions of two keys in the b-tree.
    pub(super) fn compare(&self, one: &RowKey, other: &RowKey, encoding: TextEncoding) -> Ordering {
        match (one, other) {
            (RowKey::Rowid(one), RowKey::Rowid(other)) => one.cmp(other),
            (RowKey::Values(one), RowKey::Values(other)) => {
                let columns = self.key.iter().flatten().zip(one.iter().zip(other));
                let orders = columns.map(|(key, (one, other))| {
                    let order = compare_values(one, other, key.collation, encoding);
                    if key.is_descending { order.reverse() } else { order }
                });
                orders.fold(Ordering::Equal, Ordering::then)
            }
            (RowKey::Rowid(_), RowKey::Values(_)) => Ordering::Less,
            (RowKey::Values(_), RowKey::Rowid(_)) => Ordering::Greater,
        }
    }
}

impl TableColumn {
    fn is_real(&self) -> bool {
        self.affinity == Affinity::Real
    }

    /// Returns the value of the column for a value of its record.
    fn read(&self, stored: Option<&StoredValue>) -> StoredValue {
        match stored {
            Some(StoredValue::Integer(number)) if self.is_real() => StoredValue::Real(*number as f64),
            Some(value) => value.clone(),
            None => self.default.clone(),
        }
    }
}

impl RowKey {
    pub(super) fn into_values(self) -> Vec<StoredValue> {
        match self {
            RowKey::Rowid(rowid) => vec![StoredValue::Integer(rowid)],
            RowKey::Values(values) => values,
        }
    }
}

/// Compares two values in the order of SQLite's indexes: NULL, numbers, texts, blobs.
fn compare_values(one: &StoredValue, other: &StoredValue, collation: Collation, encoding: TextEncoding) -> Ordering {
    let class = |value: &StoredValue| match value {
        StoredValue::Null => 0,
        StoredValue::Integer(_) | StoredValue::Real(_) => 1,
        StoredValue::Text(_) => 2,
        StoredValue::Blob(_) => 3,
    };
    match (one, other) {
        (StoredValue::Integer(one), StoredValue::Integer(other)) => one.cmp(other),
        (StoredValue::Real(one), StoredValue::Real(other)) => one.partial_cmp(other).unwrap_or(Ordering::Equal),
        (StoredValue::Integer(one), StoredValue::Real(other)) => compare_numbers(*one, *other),
        (StoredValue::Real(one), StoredValue::Integer(other)) => compare_numbers(*other, *one).reverse(),
        (StoredValue::Text(one), StoredValue::Text(other)) => compare_texts(one, other, collation, encoding),
        (StoredValue::Blob(one), StoredValue::Blob(other)) => one.cmp(other),
        _ => class(one).cmp(&class(other)),
    }
}

/// Compares an integer with a floating-point number exactly.
fn compare_numbers(one: i64, other: f64) -> Ordering {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if other >= LIMIT {
        Ordering::Less
    } else if other < -LIMIT {
        Ordering::Greater
    } else {
        let whole = other.trunc();
        one.cmp(&(whole as i64)).then(whole.partial_cmp(&other).unwrap_or(Ordering::Equal))
    }
}

fn compare_texts(one: &[u8], other: &[u8], collation: Collation, encoding: TextEncoding) -> Ordering {
    match collation {
        // Compares the bytes as they are stored, whatever the encoding is.
        Collation::Binary if encoding != TextEncoding::Utf8 => encoding.encode(one).cmp(&encoding.encode(other)),
        Collation::Binary => one.cmp(other),
        Collation::NoCase => one.to_ascii_lowercase().cmp(&other.to_ascii_lowercase()),
        Collation::Rtrim => trimmed(one).cmp(trimmed(other)),
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// SQLite sorts these values as [`compare_values`] does, in each encoding and with each collation.
    #[test]
    fn values_are_compared_as_sqlite_compares_them() {
        let literals = "NULL, -9223372036854775808, -1, 0, 1, 9223372036854775807, -1e300, -0.5, 0.5, 1.0, 9.2e18, 1e300,
            9223372036854775807.0, '', ' ', 'a', 'A', 'a ', 'b', 'B', 'ab', 'aB ', '[', '\u{e9}', '\u{ffff}', '\u{1f600}',
            X'', X'00', X'61'";
        let encodings =
            [("UTF-8", TextEncoding::Utf8), ("UTF-16le", TextEncoding::Utf16le), ("UTF-16be", TextEncoding::Utf16be)];
        let collations = [("BINARY", Collation::Binary), ("NOCASE", Collation::NoCase), ("RTRIM", Collation::Rtrim)];
        for ((name, encoding), (collating, collation)) in
            encodings.into_iter().flat_map(|encoding| collations.map(|collation| (encoding, collation)))
        {
            let conn = Connection::open_in_memory().expect("memory");
            let values: Vec<String> = literals.split(',').map(|literal| format!("({})", literal.trim())).collect();
            let sql = format!(
                "PRAGMA encoding = '{name}'; CREATE TABLE t (x COLLATE {collating}); INSERT INTO t VALUES {}",
                values.join(", ")
            );
            conn.execute_batch(&sql).expect("a table");
            let sql = "SELECT a.x, b.x, CASE WHEN a.x IS b.x THEN 0 WHEN a.x IS NULL OR a.x < b.x THEN -1 ELSE 1 END
                       FROM t AS a, t AS b";
            let mut statement = conn.prepare(sql).expect("it compiles");
            let mut rows = statement.query([]).expect("it runs");
            while let Some(row) = rows.next().expect("a row") {
                let value = |at| match row.get(at).expect("a value") {
                    rusqlite::types::Value::Null => StoredValue::Null,
                    rusqlite::types::Value::Integer(number) => StoredValue::Integer(number),
                    rusqlite::types::Value::Real(number) => StoredValue::Real(number),
                    rusqlite::types::Value::Text(text) => StoredValue::Text(text.into_bytes()),
                    rusqlite::types::Value::Blob(bytes) => StoredValue::Blob(bytes),
                };
                let expected: i8 = row.get(2).expect("an order");
                // `b.x` NULL makes every comparison NULL, so that the result is 1, as it should be.
                let found = compare_values(&value(0), &value(1), collation, encoding) as i8;
                assert_eq!(found, expected, "{:?}, {:?}, {name}, {collating}", value(0), value(1));
            }
        }
    }
}
