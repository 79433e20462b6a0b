//! Has SQLite parse a CREATE TABLE statement.

use super::affinity::affinity;
use super::default;
use crate::replica::{Affinity, Collation, KeyColumn, TableColumn, TableLayout, TablePair};
use crate::sqlite::api::{Api, ScratchDatabase, TextRow, integer_at, text_at};
use crate::sqlite::errors::SqlError;
use crate::sqlite::sql::literal::quoted;
use crate::time;

/// The table with the schema, which every database has. It has this name since SQLite 3.33.
const SCHEMA: &str = "sqlite_schema";

/// How SQLite begins the statement of each table in the schema.
const START: &str = "CREATE TABLE ";

/// Returns the layout of a table in two states. Fails if its definition changed in between.
pub fn of_pair(api: Api, pair: &TablePair) -> Result<TableLayout, SqlError> {
    let [one, other] = &pair.states;
    let newer = of(api, &pair.name, &other.sql)?;
    if one.sql == other.sql {
        return Ok(newer);
    }
    let older = of(api, &pair.name, &one.sql)?;
    // Columns can only be added, so the state with the later transaction must be the one that has more.
    let (older, newer) = if one.view.txid() <= other.view.txid() { (older, newer) } else { (newer, older) };
    TableLayout::reconcile(older, newer).map_err(|change| {
        let [since, until] = [one, other].map(|state| time::format(state.view.time_ms()));
        let text = format!(
            "the definition of table '{}' changed between {since} and {until}: {change}; compare states before or after \
             the change, and see litestream_diff('sqlite_schema', …) for the change itself",
            pair.name
        );
        SqlError::from(text)
    })
}

/// Returns the layout that a CREATE TABLE statement describes.
pub fn of(api: Api, name: &str, sql: &str) -> Result<TableLayout, SqlError> {
    let scratch = parse(api, name, sql)?;
    let layout = read(&scratch, if name == SCHEMA { "sqlite_master" } else { name });
    layout.map_err(|reason| unreadable(name, &reason))
}

/// Returns a database that has only this table, without rows.
pub fn parse(api: Api, name: &str, sql: &str) -> Result<ScratchDatabase, SqlError> {
    let parsed = ScratchDatabase::open(api).and_then(|scratch| {
        if name != SCHEMA {
            define(&scratch, name, sql)?;
        }
        Ok(scratch)
    });
    parsed.map_err(|reason| unreadable(name, &reason))
}

fn unreadable(name: &str, reason: &str) -> SqlError {
    format!("the definition of table '{name}' cannot be read: {reason}").into()
}

/// Creates the table in a database. The statement is put into the schema, because SQLite then accepts names that it
/// reserves, functions that it does not have, and collating sequences that it does not have.
fn define(scratch: &ScratchDatabase, name: &str, sql: &str) -> Result<(), String> {
    if !sql.get(..START.len()).is_some_and(|start| start.eq_ignore_ascii_case(START)) || sql.contains('\0') {
        return Err("it is no CREATE TABLE statement".to_owned());
    }
    let (name, text) = (quoted(name, '\''), quoted(sql, '\''));
    let in_schema = format!(
        "CREATE TABLE t (x); PRAGMA writable_schema = ON;
         UPDATE sqlite_master SET name = {name}, tbl_name = {name}, sql = {text} WHERE name = 't';
         PRAGMA writable_schema = RESET"
    );
    // A SQLite in which the schema is protected runs the statement itself.
    scratch.query(&in_schema).map(drop).or_else(|_| scratch.define(sql))
}

fn read(scratch: &ScratchDatabase, name: &str) -> Result<TableLayout, String> {
    let table = quoted(name, '\'');
    let columns = scratch.query(&format!("PRAGMA table_xinfo({table})"))?;
    let columns: Vec<DeclaredColumn> = columns.iter().map(DeclaredColumn::new).collect();
    if columns.is_empty() {
        return Err("SQLite rejects it".to_owned());
    }
    let indexes = scratch.query(&format!("PRAGMA index_list({table})"))?;
    let key_index = indexes.iter().find(|index| text_at(index, 3) == "pk").map(|index| text_at(index, 1));
    let entries = match &key_index {
        Some(index) => scratch.query(&format!("PRAGMA index_xinfo({})", quoted(index, '\'')))?,
        None => Vec::new(),
    };
    // The index of a primary key refers to rowids, unless it is the table itself.
    let is_without_rowid = !entries.is_empty() && entries.iter().all(|entry| integer_at(entry, 1) >= 0);
    // A primary key without an index is the rowid.
    let rowid = columns.iter().position(|column| column.key > 0).filter(|_| key_index.is_none());
    let order: Vec<usize> = if is_without_rowid {
        entries.iter().filter_map(|entry| usize::try_from(integer_at(entry, 1)).ok()).collect()
    } else {
        (0..columns.len()).filter(|at| columns[*at].hidden != VIRTUAL).collect()
    };
    let virtual_columns = columns.iter().filter(|column| column.hidden == VIRTUAL).map(|column| column.name.clone());
    let mut layout = TableLayout {
        columns: Vec::new(),
        virtual_columns: virtual_columns.collect(),
        key: is_without_rowid.then(Vec::new),
        fields: order.len(),
    };
    let listed = scratch.query(&format!("PRAGMA table_list({table})"))?;
    let is_strict = listed.first().is_some_and(|row| integer_at(row, 5) == 1);
    let mut places = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        places.push(layout.columns.len());
        let field = order.iter().position(|number| *number == at);
        if column.hidden != VIRTUAL {
            let affinity = column.affinity(is_strict);
            layout.columns.push(TableColumn {
                name: column.name.clone(),
                field: field.filter(|_| rowid != Some(at)),
                affinity,
                is_generated: column.hidden == STORED,
                default: default::value(scratch, affinity, column.default.as_deref()),
            });
        }
    }
    for entry in entries.iter().filter(|entry| is_without_rowid && integer_at(entry, 5) == 1) {
        let number = usize::try_from(integer_at(entry, 1)).unwrap_or_default();
        let column = *places.get(number).ok_or("its primary key has a column that it does not have")?;
        let key =
            KeyColumn { column, is_descending: integer_at(entry, 3) == 1, collation: collation(&text_at(entry, 4))? };
        layout.key.iter_mut().for_each(|columns| columns.push(key.clone()));
    }
    Ok(layout)
}

/// The values of `hidden` in `PRAGMA table_xinfo` for generated columns.
const VIRTUAL: i64 = 2;
const STORED: i64 = 3;

/// A column as `PRAGMA table_xinfo` describes it.
struct DeclaredColumn {
    name: String,
    kind: String,
    /// The expression of its default value.
    default: Option<String>,
    /// Its position in the primary key, from 1 on, or 0.
    key: i64,
    hidden: i64,
}

impl DeclaredColumn {
    fn new(row: &TextRow) -> DeclaredColumn {
        let default = row.get(4).cloned().flatten().map(|text| text.to_string_lossy().into_owned());
        DeclaredColumn {
            name: text_at(row, 1),
            kind: text_at(row, 2),
            default,
            key: integer_at(row, 5),
            hidden: integer_at(row, 6),
        }
    }

    /// ANY converts nothing in a STRICT table. In others it is like an unknown type.
    fn affinity(&self, is_strict: bool) -> Affinity {
        if is_strict && self.kind.eq_ignore_ascii_case("ANY") { Affinity::Blob } else { affinity(&self.kind) }
    }
}

fn collation(name: &str) -> Result<Collation, String> {
    let known = [Collation::Binary, Collation::NoCase, Collation::Rtrim];
    let named = known.into_iter().find(|collation| collation.name().eq_ignore_ascii_case(name));
    named.ok_or_else(|| format!("its primary key has the collating sequence {name}, whose order is not known here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::{RowChange, StoredValue};
    use crate::sqlite::api::tests::host;
    use crate::sqlite::sql::tables::undo_script::UndoScript;

    #[test]
    fn a_text_that_is_no_table_is_refused() {
        for text in ["CREATE TABLE t (x)\0", "CREATE VIRTUAL TABLE t USING fts5(a)", "SELECT 1", ""] {
            assert!(of(host(), "t", text).is_err(), "{text}");
        }
    }

    /// A virtual column is not stored, but its name means it.
    #[test]
    fn a_virtual_column_with_the_name_of_the_rowid_is_not_taken_for_it() {
        let layout =
            of(host(), "t", "CREATE TABLE t (x, rowid AS (x))").unwrap_or_else(|error| panic!("{}", error.text));
        let script = UndoScript::new("t", &layout).expect("a script");
        let row = RowChange { key: vec![StoredValue::Integer(2)], old: None, new: Some(vec![StoredValue::Integer(2)]) };
        let undo = script.remove(&row, &[StoredValue::Integer(2)]);
        assert!(undo.contains("_rowid_") && !undo.contains("WHERE rowid"), "{undo}");
    }
}
