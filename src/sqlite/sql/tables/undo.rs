//! The table `litestream_undo`: SQL that puts the rows of a table back as they were.
//!
//! The SQL is a transaction for the primary. Each statement changes a row only if it is as it was at the later moment.
//! Otherwise the row is noted in a temporary table, whose content the last statement shows. A violated constraint rolls
//! the transaction back. As every statement names the temporary table, which is then gone, none runs outside the
//! transaction.

use super::comparison::{ARGUMENTS, Comparison};
use super::definition::{Row, TableDef};
use super::diff::shown_key;
use crate::replica::{RowChange, StoredValue, TableLayout};
use crate::sqlite::errors::SqlError;
use crate::sqlite::sql::literal::{literal, quoted};
use crate::time;
use std::iter;

/// The statements that undo the changes of a table between two moments. The first row begins the transaction, and the
/// last ends it.
pub static UNDO: TableDef = TableDef {
    name: c"litestream_undo",
    columns: &[("sql", "TEXT")],
    arguments: ARGUMENTS,
    descending: None,
    rows: |caller, arguments, _| {
        let comparison = Comparison::new(caller, arguments, "litestream_undo", None)?;
        let script = UndoScript::new(&comparison)?;
        let begin = [BEGIN.to_owned(), title(&comparison)].map(Ok).into_iter();
        // Rows that take the place of others are removed first, and removed rows are inserted last.
        let changes = ["insert", "update", "delete"].into_iter().flat_map(move |op| {
            let of_op = move |change: &Result<RowChange, SqlError>| change.as_ref().map_or(true, |row| row.op() == op);
            comparison.changes().filter(of_op)
        });
        let statements = changes.map(move |change| Ok(script.statements(&change?)));
        let all = begin.chain(statements).chain(iter::once(Ok(END.to_owned())));
        Ok(Box::new(all.map(|sql: Result<String, SqlError>| Ok(row(sql?)))))
    },
};

const BEGIN: &str = "BEGIN IMMEDIATE;
PRAGMA defer_foreign_keys = ON;
DROP TABLE IF EXISTS temp.litestream_not_undone;
CREATE TEMP TABLE litestream_not_undone (tbl TEXT, key, op TEXT);";

const END: &str = "COMMIT;
SELECT tbl AS \"table\", key, op AS \"changed since, so not undone\" FROM temp.litestream_not_undone;";

/// True while the transaction runs. After a rollback there is no such table, so that the statement fails.
const IN_TRANSACTION: &str = "NOT EXISTS (SELECT 1 FROM temp.litestream_not_undone WHERE 0)";

fn row(sql: String) -> Row {
    vec![StoredValue::Text(sql.into_bytes())]
}

fn title(comparison: &Comparison) -> String {
    let [since, until] = &comparison.pair.states;
    let moment = |view: &crate::replica::View| format!("{} (TXID {})", time::format(view.time_ms()), view.txid());
    format!(
        "-- Puts the rows of {} back as they were at {}: undoes what changed until {}.",
        one_line(&comparison.pair.name),
        moment(&since.view),
        moment(&until.view)
    )
}

/// Returns a text without line breaks, which would end a comment.
fn one_line(text: &str) -> String {
    text.escape_debug().to_string()
}

/// Writes the statements of a table.
struct UndoScript {
    name: String,
    layout: TableLayout,
    /// A name of the rowid, if no column is the key.
    rowid: Option<&'static str>,
}

impl UndoScript {
    fn new(comparison: &Comparison) -> Result<UndoScript, SqlError> {
        let (name, layout) = (comparison.pair.name.clone(), comparison.layout.clone());
        if name.to_ascii_lowercase().starts_with("sqlite_") {
            return Err(
                format!("the changes of '{name}' cannot be undone by SQL: SQLite writes this table itself").into()
            );
        }
        let has_key = layout.key.is_some() || layout.columns.iter().any(|column| column.field.is_none());
        let is_free = |name: &&str| !layout.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        let rowid = ["rowid", "_rowid_", "oid"].into_iter().find(is_free);
        if !has_key && rowid.is_none() {
            return Err(format!(
                "the rows of '{name}' cannot be named by SQL: its columns have all names of the rowid"
            )
            .into());
        }
        Ok(UndoScript { name, layout, rowid: rowid.filter(|_| !has_key) })
    }

    /// Returns the statements that undo a change, and note it if that was not possible.
    fn statements(&self, change: &RowChange) -> String {
        let table = format!("main.{}", quoted(&self.name, '"'));
        let key = self.key_is(change);
        let undo = match (&change.old, &change.new) {
            (Some(old), Some(new)) => {
                let changed: Vec<usize> = self.assigned().filter(|at| old[*at] != new[*at]).collect();
                if changed.is_empty() {
                    return String::new();
                }
                let set: Vec<String> =
                    changed.iter().map(|at| format!("{} = {}", self.column(*at), literal(&old[*at]))).collect();
                let (set, is_new) = (set.join(", "), self.unchanged(&changed, new));
                format!("UPDATE OR ROLLBACK {table} SET {set} WHERE {key}{is_new} AND {IN_TRANSACTION};")
            }
            (None, Some(new)) => {
                let is_new = self.unchanged(&self.assigned().collect::<Vec<_>>(), new);
                format!("DELETE FROM {table} WHERE {key}{is_new} AND {IN_TRANSACTION};")
            }
            (Some(old), None) => {
                let names = self.rowid.map(str::to_owned).into_iter().chain(self.assigned().map(|at| self.column(at)));
                let rowid = self.rowid.map(|_| literal(&change.key[0]));
                let values = rowid.into_iter().chain(self.assigned().map(|at| literal(&old[at])));
                let (names, values): (Vec<_>, Vec<_>) = (names.collect(), values.collect());
                format!(
                    "INSERT OR ROLLBACK INTO {table} ({}) SELECT {}\n  WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {key}) \
                     AND {IN_TRANSACTION};",
                    names.join(", "),
                    values.join(", ")
                )
            }
            (None, None) => String::new(),
        };
        let (name, shown) = (quoted(&self.name, '\''), literal(&shown_key(change.key.clone())));
        format!(
            "{undo}\nINSERT INTO temp.litestream_not_undone SELECT {name}, {shown}, '{}' WHERE changes() = 0;",
            change.op()
        )
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
        let condition = |at: &usize| format!(" AND {} IS {} COLLATE BINARY", self.column(*at), literal(&values[*at]));
        columns.iter().map(condition).collect()
    }

    /// Returns the condition that a row has the key of a change.
    fn key_is(&self, change: &RowChange) -> String {
        let names: Vec<String> = match &self.layout.key {
            Some(key) => key.iter().map(|key| self.column(key.column)).collect(),
            None => {
                let alias = self.layout.columns.iter().position(|column| column.field.is_none());
                let name = alias.map(|at| self.column(at)).or_else(|| self.rowid.map(str::to_owned));
                name.into_iter().collect()
            }
        };
        let terms = names.iter().zip(&change.key).map(|(name, value)| format!("{name} = {}", literal(value)));
        terms.collect::<Vec<_>>().join(" AND ")
    }
}
