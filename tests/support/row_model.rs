//! The rows of tables, and the differences between them, as documented for `litestream_diff`.

use super::random_column::quoted;
use super::random_schema::RandomTable;
use rusqlite::types::Value;
use rusqlite::{Connection, Row};
use std::collections::{BTreeMap, BTreeSet};

/// A difference: operation, key, column, old and new value, each with its type.
pub type Difference = [String; 5];

/// The rows of a table by their keys, with the key as `litestream_diff` shows it.
pub type Rows = BTreeMap<String, (String, Vec<Value>)>;

/// Returns the rows of a table in some columns.
pub fn rows_of(conn: &Connection, table: &RandomTable, columns: &[String]) -> Rows {
    let names: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    let sql = format!("SELECT {}, {} FROM {}", table.handle(), names.join(", "), quoted(&table.name));
    let mut statement = conn.prepare(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let row = |row: &Row<'_>| {
        let values = (1..=columns.len()).map(|at| row.get(at)).collect::<Result<Vec<Value>, _>>()?;
        let Some(key) = &table.key else {
            let rowid = format!("{:?}", row.get::<_, Value>(0)?);
            return Ok((rowid.clone(), (rowid, values)));
        };
        let of_column = |(at, collation): &(usize, &str)| {
            let name = &table.columns[*at].name;
            let value = &values[columns.iter().position(|column| column == name).expect("a column of the key")];
            (value.clone(), compared(value, collation))
        };
        let (shown, compared): (Vec<Value>, Vec<String>) = key.iter().map(of_column).unzip();
        Ok((compared.join("|"), (shown_key(&shown), values)))
    };
    statement.query_map([], row).and_then(Iterator::collect).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Returns a text that is the same for all values that a key regards as equal.
fn compared(value: &Value, collation: &str) -> String {
    match (value, collation) {
        (Value::Real(number), _) if *number == number.trunc() && number.abs() < 9e15 => {
            format!("{:?}", Value::Integer(*number as i64))
        }
        (Value::Text(text), "NOCASE") => format!("{:?}", text.to_ascii_lowercase()),
        (Value::Text(text), "RTRIM") => format!("{:?}", text.trim_end_matches(' ')),
        (Value::Text(text), _) => format!("{text:?}"),
        _ => format!("{value:?}"),
    }
}

/// Returns a key as documented: a value, or several as JSON.
fn shown_key(values: &[Value]) -> String {
    let json = |value: &Value| match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => (*number).into(),
        Value::Real(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Blob(blob) => blob.iter().map(|byte| format!("{byte:02X}")).collect::<String>().into(),
    };
    match values {
        [value] => format!("{value:?}"),
        _ => format!("{:?}", Value::Text(serde_json::Value::Array(values.iter().map(json).collect()).to_string())),
    }
}

/// Returns the differences between the rows of two states.
pub fn differences(older: &Rows, newer: &Rows, columns: &[String]) -> Vec<Difference> {
    let mut differences = Vec::new();
    let keys: BTreeSet<&String> = older.keys().chain(newer.keys()).collect();
    for key in keys {
        let (old, new) = (older.get(key), newer.get(key));
        let op = match (old, new) {
            (None, _) => "insert",
            (_, None) => "delete",
            _ => "update",
        };
        let shown = new.or(old).map(|(shown, _)| shown.clone()).expect("a row");
        for (at, column) in columns.iter().enumerate() {
            let value =
                |row: Option<&(String, Vec<Value>)>| format!("{:?}", row.map_or(&Value::Null, |(_, row)| &row[at]));
            if op != "update" || value(old) != value(new) {
                differences.push([op.to_owned(), shown.clone(), column.clone(), value(old), value(new)]);
            }
        }
    }
    differences.sort_unstable();
    differences
}

/// Whether SQL regards two values of a column as equal although their types differ.
pub fn is_equal_number(one: &str, other: &str) -> bool {
    let number = |text: &str| {
        text.split_once('(').and_then(|(kind, rest)| {
            (kind == "Integer" || kind == "Real").then(|| rest.trim_end_matches(')').parse::<f64>().ok()).flatten()
        })
    };
    number(one).is_some() && number(one) == number(other)
}
