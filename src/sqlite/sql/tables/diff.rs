//! The table `litestream_diff`: the values that differ between two moments, one column of a row at a time.

use super::comparison::{ARGUMENTS, Comparison};
use super::definition::{Row, TableDef};
use crate::replica::{RowChange, StoredValue, TableLayout};
use crate::sqlite::control::Since;
use crate::sqlite::sql::literal::hex;
use serde_json::Value;

/// The values of a table that differ between two moments.
pub static DIFF: TableDef = TableDef {
    name: c"litestream_diff",
    columns: &[("op", "TEXT"), ("rowid", ""), ("column", "TEXT"), ("old", ""), ("new", "")],
    arguments: ARGUMENTS,
    is_innocuous: false,
    descending: None,
    rows: |caller, arguments, _| {
        let comparison = Comparison::new(caller, arguments, "litestream_diff", Some(Since::Previous))?;
        Ok(Box::new(comparison.changes().flat_map(move |change| match change {
            Ok(change) => changed_values(&comparison.layout, change).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })))
    },
};

/// Returns a row for each column whose value differs. A row that was inserted or deleted has one for every column.
fn changed_values(layout: &TableLayout, change: RowChange) -> Vec<Row> {
    let op = change.op();
    let RowChange { key, old, new } = change;
    let key = shown_key(key);
    let is_update = old.is_some() && new.is_some();
    let missing = || vec![StoredValue::Null; layout.columns.len()];
    let values = old.unwrap_or_else(missing).into_iter().zip(new.unwrap_or_else(missing)).zip(&layout.columns);
    let differing = values.filter(|((old, new), _)| !is_update || old != new);
    let text = |text: &str| StoredValue::Text(text.as_bytes().to_vec());
    differing.map(|((old, new), column)| vec![text(op), key.clone(), text(&column.name), old, new]).collect()
}

/// Returns the only value of a key, or all values as a JSON array.
pub fn shown_key(mut key: Vec<StoredValue>) -> StoredValue {
    match key.len() {
        1 => key.remove(0),
        _ => StoredValue::Text(Value::Array(key.iter().map(json).collect()).to_string().into_bytes()),
    }
}

/// Returns a value as JSON has it. Blobs are hexadecimal texts.
pub fn json(value: &StoredValue) -> Value {
    match value {
        StoredValue::Null => Value::Null,
        StoredValue::Integer(number) => (*number).into(),
        StoredValue::Real(number) => (*number).into(),
        StoredValue::Text(text) => String::from_utf8_lossy(text).into(),
        StoredValue::Blob(blob) => hex(blob).into(),
    }
}
