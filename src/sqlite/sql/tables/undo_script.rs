//! The statements of `litestream_undo`.

use super::diff::shown_key;
use crate::replica::{KeyColumn, RowChange, StoredValue, TableLayout};
use crate::sqlite::sql::literal::{changes_in_script, printable, quoted};

pub const BEGIN: &str = "BEGIN IMMEDIATE;
PRAGMA defer_foreign_keys = ON;
DROP TABLE IF EXISTS temp.litestream_not_undone;
CREATE TEMP TABLE litestream_not_undone (tbl TEXT, key, op TEXT);";

pub const END: &str = "COMMIT;
SELECT tbl AS \"table\", key, op AS \"changed since, so not undone\" FROM temp.litestream_not_undone;";

/// Precede and follow the updates of a table with unique indexes. The table has the values that parked columns had.
pub const PARKING: &str = "DROP TABLE IF EXISTS temp.litestream_parked;
CREATE TEMP TABLE litestream_parked (number INTEGER, col INTEGER, value, PRIMARY KEY (number, col)) WITHOUT ROWID;";
pub const END_OF_PARKING: &str = "DROP TABLE temp.litestream_parked;";

/// True while the transaction runs. After a rollback there is no such table, so that the statement fails.
const IN_TRANSACTION: &str = "NOT EXISTS (SELECT 1 FROM temp.litestream_not_undone WHERE 0)";

/// Writes the statements of a table.
#[derive(Clone)]
pub struct UndoScript {
    name: String,
    layout: TableLayout,
    /// A name of the rowid, if no column is the key.
    rowid: Option<&'static str>,
}

impl UndoScript {
    /// Fails if SQL cannot change the rows.
    pub fn new(name: &str, layout: &TableLayout) -> Result<UndoScript, String> {
        let (name, layout) = (name.to_owned(), layout.clone());
        if name.to_ascii_lowercase().starts_with("sqlite_") {
            return Err(format!("the changes of '{name}' cannot be undone by SQL: SQLite writes this table itself"));
        }
        let names = || layout.columns.iter().map(|column| &column.name).chain([&name]);
        if let Some(changed) = names().find(|name| name.contains(changes_in_script)) {
            return Err(format!(
                "the changes of '{}' cannot be undone by SQL: the name '{}' has a control character",
                name.escape_debug(),
                changed.escape_debug()
            ));
        }
        let has_key = layout.key.is_some() || layout.columns.iter().any(|column| column.field.is_none());
        let columns = || layout.columns.iter().map(|column| &column.name).chain(&layout.virtual_columns);
        let is_free = |name: &&str| !columns().any(|column| column.eq_ignore_ascii_case(name));
        let rowid = ["rowid", "_rowid_", "oid"].into_iter().find(is_free);
        if !has_key && rowid.is_none() {
            return Err(format!(
                "the rows of '{name}' cannot be named by SQL: its columns have all names of the rowid"
            ));
        }
        Ok(UndoScript { name, layout, rowid: rowid.filter(|_| !has_key) })
    }

    /// Removes a row that was inserted.
    pub fn remove(&self, change: &RowChange, new: &[StoredValue]) -> String {
        let (table, key) = (self.table(), self.key_is(change));
        let is_new = self.unchanged(&self.assigned().collect::<Vec<_>>(), new);
        let undo = format!("DELETE FROM {table} WHERE {key}{is_new} AND {IN_TRANSACTION};");
        format!("{undo}\n{}", self.note(change))
    }

    /// Inserts a row that was deleted.
    pub fn insert(&self, change: &RowChange, old: &[StoredValue]) -> String {
        let (table, key) = (self.table(), self.key_is(change));
        let names = self.rowid.map(str::to_owned).into_iter().chain(self.assigned().map(|at| self.column(at)));
        let rowid = self.rowid.map(|_| printable(&change.key[0]));
        let values = rowid.into_iter().chain(self.assigned().map(|at| printable(&old[at])));
        let (names, values): (Vec<_>, Vec<_>) = (names.collect(), values.collect());
        let undo = format!(
            "INSERT OR ROLLBACK INTO {table} ({}) SELECT {}\n  WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {key}) AND \
             {IN_TRANSACTION};",
            names.join(", "),
            values.join(", ")
        );
        format!("{undo}\n{}", self.note(change))
    }

    /// Returns the columns that the undo of an update sets.
    pub fn changed(&self, old: &[StoredValue], new: &[StoredValue]) -> Vec<usize> {
        self.assigned().filter(|at| old[*at] != new[*at]).collect()
    }

    /// Puts the changed columns of a row back.
    pub fn update(&self, change: &RowChange, changed: &[usize], old: &[StoredValue], new: &[StoredValue]) -> String {
        let (table, key, is_new) = (self.table(), self.key_is(change), self.unchanged(changed, new));
        let set = self.assignments(changed, old);
        let undo = format!("UPDATE OR ROLLBACK {table} SET {set} WHERE {key}{is_new} AND {IN_TRANSACTION};");
        format!("{undo}\n{}", self.note(change))
    }

    /// Sets the parked columns of a row to values that no other row has, and keeps those that they had. The values can
    /// violate CHECK constraints. `number` is that of the change.
    pub fn park(
        &self,
        change: &RowChange,
        number: usize,
        parked: &[usize],
        changed: &[usize],
        [old, new]: [&[StoredValue]; 2],
    ) -> String {
        let (table, key, is_new) = (self.table(), self.key_is(change), self.unchanged(changed, new));
        let keep = |at: &usize| {
            let column = self.column(*at);
            format!(
                "INSERT INTO temp.litestream_parked SELECT {number}, {at}, {column} FROM {table} WHERE {key}{is_new};\n"
            )
        };
        let kept: String = parked.iter().map(keep).collect();
        let set =
            parked.iter().map(|at| format!("{} = {}", self.column(*at), placeholder(number, [&old[*at], &new[*at]])));
        let set = set.collect::<Vec<_>>().join(", ");
        format!(
            "{kept}PRAGMA ignore_check_constraints = ON;\n\
             UPDATE OR ROLLBACK {table} SET {set} WHERE {key}{is_new} AND {IN_TRANSACTION};\n\
             {}\nPRAGMA ignore_check_constraints = OFF;",
            self.note(change)
        )
    }

    /// Puts the changed columns of a row back whose columns are parked, and the other parked columns too.
    pub fn leave(
        &self,
        change: &RowChange,
        number: usize,
        parked: &[usize],
        changed: &[usize],
        old: &[StoredValue],
    ) -> String {
        let (table, key) = (self.table(), self.key_is(change));
        let mut set = vec![self.assignments(changed, old)];
        set.extend(parked.iter().filter(|at| !changed.contains(at)).map(|at| {
            let kept = format!("SELECT value FROM temp.litestream_parked WHERE number = {number} AND col = {at}");
            format!("{} = ({kept})", self.column(*at))
        }));
        format!(
            "UPDATE OR ROLLBACK {table} SET {} WHERE {key}\n  \
             AND EXISTS (SELECT 1 FROM temp.litestream_parked WHERE number = {number});",
            set.join(", ")
        )
    }

    /// Notes a change if the statement before did not undo it.
    fn note(&self, change: &RowChange) -> String {
        let (name, shown) = (quoted(&self.name, '\''), printable(&shown_key(change.key.clone())));
        format!("INSERT INTO temp.litestream_not_undone SELECT {name}, {shown}, '{}' WHERE changes() = 0;", change.op())
    }

    fn table(&self) -> String {
        format!("main.{}", quoted(&self.name, '"'))
    }

    fn assignments(&self, columns: &[usize], values: &[StoredValue]) -> String {
        let set = columns.iter().map(|at| format!("{} = {}", self.column(*at), printable(&values[*at])));
        set.collect::<Vec<_>>().join(", ")
    }

    /// Returns the columns that statements set.
    fn assigned(&self) -> impl Iterator<Item = usize> {
        (0..self.layout.columns.len()).filter(|at| !self.layout.columns[*at].is_generated)
    }

    fn column(&self, at: usize) -> String {
        quoted(&self.layout.columns[at].name, '"')
    }

    /// Returns the condition that columns have these values, whatever their collating sequences are.
    fn unchanged(&self, columns: &[usize], values: &[StoredValue]) -> String {
        let condition = |at: &usize| format!(" AND {} IS {} COLLATE BINARY", self.column(*at), printable(&values[*at]));
        columns.iter().map(condition).collect()
    }

    /// Returns the condition that a row has the key of a change.
    fn key_is(&self, change: &RowChange) -> String {
        let terms: Vec<String> = match &self.layout.key {
            Some(key) => key.iter().zip(&change.key).map(|(key, value)| self.has_part(key, value)).collect(),
            None => {
                let alias = self.layout.columns.iter().position(|column| column.field.is_none());
                let name = alias.map(|at| self.column(at)).or_else(|| self.rowid.map(str::to_owned));
                name.iter().zip(&change.key).map(|(name, value)| format!("{name} = {}", printable(value))).collect()
            }
        };
        terms.join(" AND ")
    }

    /// Returns the condition that a row has this part of the key. The collating sequence of the key can differ from that of its column.
    fn has_part(&self, part: &KeyColumn, value: &StoredValue) -> String {
        let collation = match value {
            StoredValue::Text(_) => format!(" COLLATE {}", part.collation.name()),
            _ => String::new(),
        };
        format!("{} = {}{collation}", self.column(part.column), printable(value))
    }
}

/// Returns a value that no row has, for a row that had `values` before and after: of the same type, because a STRICT table
/// accepts no other. A column that stays NULL conflicts with nothing.
fn placeholder(number: usize, values: [&StoredValue; 2]) -> String {
    let text = format!("litestream_undo {number}");
    let value = match values.into_iter().find(|value| **value != StoredValue::Null) {
        Some(StoredValue::Integer(_)) => StoredValue::Integer(-4_000_000_000_000_000 - number as i64),
        Some(StoredValue::Real(_)) => StoredValue::Real(-4e15 - number as f64),
        Some(StoredValue::Text(_)) => StoredValue::Text(text.into_bytes()),
        Some(StoredValue::Blob(_)) => StoredValue::Blob(text.into_bytes()),
        Some(StoredValue::Null) | None => StoredValue::Null,
    };
    printable(&value)
}
