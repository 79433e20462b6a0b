//! Tables about a replica: its moments, its files, and the changes between two moments.
//!
//! Rows are fetched in batches. Each batch is a separate operation on the file of the schema, so that a cursor holds no reference to a
//! file that may be closed before it.

use super::caller::Caller;
use super::definition::{Row, TableDef, TableRows, UsedColumns};
use crate::config::Target;
use crate::error::Error;
use crate::ltx::Txid;
use crate::replica::{Change, FileListing, FileListingRow, HistoryRow, MomentList, Verification, VerifiedFile};
use crate::sqlite::control::{ControlOp, ControlValue};
use crate::sqlite::errors::SqlError;
use crate::sqlite::sql::argument::Argument;
use crate::time;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::ffi::CString;
use std::iter;

/// All moments that a reader can move to, newest first.
pub static HISTORY: TableDef = TableDef {
    name: c"litestream_history",
    columns: &[("txid", "TEXT"), ("time", "TEXT"), ("level", "INTEGER"), ("pages", "INTEGER"), ("bytes", "INTEGER")],
    arguments: &["of_schema"],
    descending: Some(0),
    rows: |caller, arguments, _| {
        let op = ControlOp::History(RefCell::new(MomentList::default()));
        let rows = |value| match value {
            ControlValue::History(rows) => Some(rows.into_iter().map(history_row).collect()),
            _ => None,
        };
        Ok(batches(caller, caller.schema(arguments, 0, "litestream_history('schema')")?, op, rows))
    },
};

/// The files of the replica.
pub static FILES: TableDef = TableDef {
    name: c"litestream_files",
    columns: &[
        ("level", "INTEGER"),
        ("min_txid", "TEXT"),
        ("max_txid", "TEXT"),
        ("time", "TEXT"),
        ("bytes", "INTEGER"),
    ],
    arguments: &["of_schema"],
    descending: None,
    rows: |caller, arguments, used_columns: UsedColumns| {
        let op = ControlOp::Files(RefCell::new(FileListing::new(used_columns.contains(TIME))));
        let rows = |value| match value {
            ControlValue::Files(rows) => Some(rows.into_iter().map(file_row).collect()),
            _ => None,
        };
        Ok(batches(caller, caller.schema(arguments, 0, "litestream_files('schema')")?, op, rows))
    },
};

/// The column of [`FILES`] for which the header of each file has to be read.
const TIME: usize = 3;

/// The tables and indexes that have different pages at two moments.
pub static CHANGES: TableDef = TableDef {
    name: c"litestream_changes",
    columns: &[("name", "TEXT"), ("type", "TEXT"), ("pages", "INTEGER")],
    arguments: &["since", "until", "of_schema"],
    descending: Some(2),
    rows: |caller, arguments, _| {
        let target = |at: usize| arguments.get(at).cloned().map(parse_target).transpose().map(Option::flatten);
        let since = target(0)?.ok_or_else(|| {
            "litestream_changes needs a moment to compare with, as in litestream_changes('1 hour ago')".to_owned()
        })?;
        let op = ControlOp::Changes { since, until: target(1)? };
        let schema = caller.schema(arguments, 2, "litestream_changes(since, until, 'schema')")?;
        match caller.run(&schema, &op)? {
            ControlValue::Changes(rows) => Ok(Box::new(rows.into_iter().map(change_row).map(Ok))),
            _ => Err(wrong_kind()),
        }
    },
};

/// The files of the state that reads see, with the result of verifying each of them.
pub static VERIFY: TableDef = TableDef {
    name: c"litestream_verify",
    columns: &[
        ("level", "INTEGER"),
        ("min_txid", "TEXT"),
        ("max_txid", "TEXT"),
        ("bytes", "INTEGER"),
        ("ok", "INTEGER"),
        ("error", "TEXT"),
    ],
    arguments: &["of_schema"],
    descending: None,
    rows: |caller, arguments, used_columns: UsedColumns| {
        let reads = used_columns.contains(OK) || used_columns.contains(ERROR);
        let op = ControlOp::Verify(RefCell::new(Verification::new(reads)));
        let rows = |value| match value {
            ControlValue::Verified(rows) => Some(rows.into_iter().map(verified_row).collect()),
            _ => None,
        };
        Ok(batches(caller, caller.schema(arguments, 0, "litestream_verify('schema')")?, op, rows))
    },
};

/// The columns of [`VERIFY`] for which each file has to be read.
const OK: usize = 4;
const ERROR: usize = 5;

/// Parses a moment: a TXID as an integer or 16 hexadecimal digits, or a time. Returns None for NULL.
fn parse_target(argument: Argument) -> Result<Option<Target>, SqlError> {
    let text = match argument {
        Argument::Null => return Ok(None),
        Argument::Integer(number) => {
            let txid = u64::try_from(number).map_err(|_| format!("{number} is not a TXID"))?;
            return Ok(Some(Target::Txid(Txid(txid))));
        }
        Argument::Text(text) => text.to_string_lossy().into_owned(),
    };
    if let Ok(txid) = text.parse() {
        return Ok(Some(Target::Txid(txid)));
    }
    Ok(Some(time::parse(&text)?.into()))
}

/// Runs the same operation again and again, and returns the rows of all batches up to the first empty one. `rows` converts a value to rows,
/// or returns None if the value is of another kind.
fn batches(caller: Caller, schema: CString, op: ControlOp, rows: fn(ControlValue) -> Option<Vec<Row>>) -> TableRows {
    let batch = move || match caller.run(&schema, &op) {
        Ok(value) => match rows(value) {
            Some(batch) if batch.is_empty() => None,
            Some(batch) => Some(batch.into_iter().map(Ok).collect()),
            None => Some(vec![Err(wrong_kind())]),
        },
        Err(error) => Some(vec![Err(error)]),
    };
    Box::new(iter::from_fn(batch).flat_map(Vec::<Result<Row, SqlError>>::into_iter))
}

fn wrong_kind() -> SqlError {
    Error::internal("an operation returned a value of another kind").into()
}

fn history_row(row: HistoryRow) -> Row {
    let HistoryRow { txid, time_ms, level, pages, bytes } = row;
    vec![json!(txid.to_string()), json!(time::format(time_ms)), json!(level.number()), json!(pages), json!(bytes)]
}

fn file_row(row: FileListingRow) -> Row {
    let FileListingRow { file, time_ms } = row;
    let (min, max) = (file.name.min.to_string(), file.name.max.to_string());
    let time = time_ms.map(time::format);
    vec![json!(file.level.number()), json!(min), json!(max), json!(time), json!(file.size)]
}

fn verified_row(row: VerifiedFile) -> Row {
    let VerifiedFile { level, name, bytes, is_right, error } = row;
    let (min, max) = (name.min.to_string(), name.max.to_string());
    let ok = is_right.map(i64::from);
    vec![json!(level.number()), json!(min), json!(max), json!(bytes), json!(ok), json!(error)]
}

fn change_row(row: Change) -> Row {
    let name = row.name.map_or(Value::Null, Value::String);
    vec![name, json!(row.kind), json!(row.pages)]
}
