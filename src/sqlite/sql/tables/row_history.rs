//! The table `litestream_history_of`: the versions of one row that the replica holds, newest first.

use super::batches::wrong_kind;
use super::caller::Caller;
use super::default;
use super::definition::{Row, TableDef, row};
use super::diff::json;
use super::layout;
use crate::replica::{Affinity, HistoryStep, RowHistory, RowVersion, StoredValue, TableLayout};
use crate::sqlite::api::{Api, ScratchDatabase};
use crate::sqlite::control::{ControlOp, ControlValue, Since};
use crate::sqlite::errors::SqlError;
use crate::sqlite::sql::argument::Argument;
use crate::time;
use serde_json::Value;
use std::cell::RefCell;
use std::ffi::CString;
use std::iter;

/// The versions of a row.
pub static HISTORY_OF: TableDef = TableDef {
    name: c"litestream_history_of",
    columns: &[("txid", "TEXT"), ("time", "TEXT"), ("op", "TEXT"), ("row", "TEXT")],
    arguments: &["of_table", "of_key", "of_schema"],
    is_innocuous: false,
    descending: Some(0),
    rows: |caller, arguments, _| {
        let (Some(table), Some(key)) = (arguments.first().cloned().and_then(Argument::into_text), arguments.get(1))
        else {
            return Err(NEEDS.to_owned().into());
        };
        let schema = caller.schema(arguments, 2, "litestream_history_of(table, rowid, 'schema')")?;
        let op = ControlOp::Table { name: table.to_string_lossy().into_owned(), since: Since::Same, until: None };
        let ControlValue::Table(pair) = caller.run(&schema, &op)? else { return Err(wrong_kind()) };
        let layout = layout::of_pair(caller.api, &pair)?;
        let history = RowHistory::new(*pair, layout.clone(), key_of(caller.api, &layout, key)?)?;
        let mut search =
            VersionSearch { caller, schema, layout, op: ControlOp::RowHistory(RefCell::new(Some(Box::new(history)))) };
        Ok(Box::new(iter::from_fn(move || search.next().transpose())))
    },
};

const NEEDS: &str = "litestream_history_of needs a table and a rowid, as in litestream_history_of('orders', 42)";

/// Returns the values of the key that an argument is, as the table has them.
fn key_of(api: Api, layout: &TableLayout, argument: &Argument) -> Result<Vec<StoredValue>, SqlError> {
    let scratch = ScratchDatabase::open(api)?;
    let value = StoredValue::from(argument.clone());
    let values = match layout.key.as_deref() {
        _ if value == StoredValue::Null => return Err(NEEDS.to_owned().into()),
        None => {
            return match default::converted(&scratch, Affinity::Integer, value) {
                rowid @ StoredValue::Integer(_) => Ok(vec![rowid]),
                _ => Err(NEEDS.to_owned().into()),
            };
        }
        Some([_]) => vec![value],
        Some(_) => array(argument)?,
    };
    let columns = layout.key.iter().flatten().map(|key| layout.columns[key.column].affinity);
    // The number of the values is checked with the key.
    let affinities = columns.chain(iter::repeat(Affinity::Blob));
    Ok(values
        .into_iter()
        .zip(affinities)
        .map(|(value, affinity)| default::converted(&scratch, affinity, value))
        .collect())
}

/// Returns the values of a JSON array.
fn array(argument: &Argument) -> Result<Vec<StoredValue>, String> {
    let text = argument.clone().into_text().unwrap_or_default();
    match serde_json::from_str(&text.to_string_lossy()) {
        Ok(Value::Array(values)) => Ok(row(values)),
        _ => Err("the key of this table has several columns: pass their values as a JSON array".to_owned()),
    }
}

/// The search for the versions of a row.
struct VersionSearch {
    caller: Caller,
    schema: CString,
    layout: TableLayout,
    op: ControlOp,
}

impl VersionSearch {
    fn next(&mut self) -> Result<Option<Row>, SqlError> {
        loop {
            let ControlValue::HistoryStep(step) = self.caller.run(&self.schema, &self.op)? else {
                return Err(wrong_kind());
            };
            match step {
                HistoryStep::Version(version) => return Ok(Some(self.row(version))),
                HistoryStep::Definition { sql, time_ms } => self.accept(sql, time_ms)?,
                HistoryStep::End => return Ok(None),
            }
        }
    }

    /// Goes on with states that have another definition of the table, if its rows are read in the same way.
    fn accept(&self, sql: String, time_ms: i64) -> Result<(), SqlError> {
        let ControlOp::RowHistory(history) = &self.op else { return Err(wrong_kind()) };
        let mut history = history.borrow_mut();
        let Some(history) = history.as_mut() else { return Err(wrong_kind()) };
        let older = layout::of(self.caller.api, history.table(), &sql)?;
        TableLayout::reconcile(older, self.layout.clone()).map_err(|change| {
            let (table, time) = (history.table(), time::format(time_ms));
            format!(
                "the definition of table '{table}' changed after {time}: {change}; older versions cannot be compared"
            )
        })?;
        history.accept(sql);
        Ok(())
    }

    fn row(&self, version: RowVersion) -> Row {
        let RowVersion { txid, time_ms, op, row: values } = version;
        // In the order of the columns.
        let object = values.map(|values| {
            let fields = self.layout.columns.iter().zip(&values);
            let members = fields.map(|(column, value)| format!("{}:{}", Value::from(&*column.name), json(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        });
        row([txid.to_string().into(), time::format(time_ms).into(), op.into(), object.into()])
    }
}
