//! Tables about a replica: its moments, its files, and the changes between two moments.
//!
//! Rows are fetched in batches. Each batch is a separate operation on the file of the schema, so that a cursor holds no reference to a
//! file that may be closed before it.

use super::batches::{batches, wrong_kind};
use super::definition::{Row, TableDef, UsedColumns, row};
use super::moments::target;
use crate::replica::{Change, FileListing, FileListingRow, HistoryRow, MomentList, Verification, VerifiedFile};
use crate::sqlite::control::{ControlOp, ControlValue};
use crate::time;
use serde_json::{Value, json};
use std::cell::RefCell;

/// All moments that a reader can move to, newest first.
pub static HISTORY: TableDef = TableDef {
    name: c"litestream_history",
    columns: &[("txid", "TEXT"), ("time", "TEXT"), ("level", "INTEGER"), ("pages", "INTEGER"), ("bytes", "INTEGER")],
    arguments: &["of_schema"],
    is_innocuous: false,
    descending: Some(0),
    rows: |caller, arguments, _| {
        let op = ControlOp::History(RefCell::new(MomentList::default()));
        let rows = |value| match value {
            ControlValue::History(rows) => Some(rows.into_iter().map(history_row).collect()),
            _ => None,
        };
        Ok(Box::new(batches(caller, caller.schema(arguments, 0, "litestream_history('schema')")?, op, rows)))
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
    is_innocuous: false,
    descending: None,
    rows: |caller, arguments, used_columns: UsedColumns| {
        let op = ControlOp::Files(RefCell::new(FileListing::new(used_columns.contains(TIME))));
        let rows = |value| match value {
            ControlValue::Files(rows) => Some(rows.into_iter().map(file_row).collect()),
            _ => None,
        };
        Ok(Box::new(batches(caller, caller.schema(arguments, 0, "litestream_files('schema')")?, op, rows)))
    },
};

/// The column of [`FILES`] for which the header of each file has to be read.
const TIME: usize = 3;

/// The tables and indexes that have different pages at two moments.
pub static CHANGES: TableDef = TableDef {
    name: c"litestream_changes",
    columns: &[("name", "TEXT"), ("type", "TEXT"), ("pages", "INTEGER")],
    arguments: &["since", "until", "of_schema"],
    is_innocuous: false,
    descending: Some(2),
    rows: |caller, arguments, _| {
        let since = target(arguments, 0)?.ok_or_else(|| {
            "litestream_changes needs a moment to compare with, as in litestream_changes('1 hour ago')".to_owned()
        })?;
        let op = ControlOp::Changes { since, until: target(arguments, 1)? };
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
    is_innocuous: false,
    descending: None,
    rows: |caller, arguments, used_columns: UsedColumns| {
        let reads = used_columns.contains(OK) || used_columns.contains(ERROR);
        let op = ControlOp::Verify(RefCell::new(Verification::new(reads)));
        let rows = |value| match value {
            ControlValue::Verified(rows) => Some(rows.into_iter().map(verified_row).collect()),
            _ => None,
        };
        Ok(Box::new(batches(caller, caller.schema(arguments, 0, "litestream_verify('schema')")?, op, rows)))
    },
};

/// The columns of [`VERIFY`] for which each file has to be read.
const OK: usize = 4;
const ERROR: usize = 5;

fn history_row(listed: HistoryRow) -> Row {
    let HistoryRow { txid, time_ms, level, pages, bytes } = listed;
    row([json!(txid.to_string()), json!(time::format(time_ms)), json!(level.number()), json!(pages), json!(bytes)])
}

fn file_row(listed: FileListingRow) -> Row {
    let FileListingRow { file, time_ms } = listed;
    let (min, max) = (file.name.min.to_string(), file.name.max.to_string());
    let time = time_ms.map(time::format);
    row([json!(file.level.number()), json!(min), json!(max), json!(time), json!(file.size)])
}

fn verified_row(listed: VerifiedFile) -> Row {
    let VerifiedFile { level, name, bytes, is_right, error } = listed;
    let (min, max) = (name.min.to_string(), name.max.to_string());
    let ok = is_right.map(i64::from);
    row([json!(level.number()), json!(min), json!(max), json!(bytes), json!(ok), json!(error)])
}

fn change_row(change: Change) -> Row {
    let name = change.name.map_or(Value::Null, Value::String);
    row([name, json!(change.kind), json!(change.pages)])
}
