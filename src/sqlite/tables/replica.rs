//! Tables about a replica: its moments, its files, and what changed between two moments.
//!
//! Rows come a few at a time, each lot by a request of its own to the file behind the schema, so that nothing is held here
//! that a file's end could take away.

use super::super::argument::Argument;
use super::super::control::{ControlOp, ControlValue};
use super::super::errors::Complaint;
use super::{Caller, Row, TableDef, TableRows, WantedRows};
use crate::config::Target;
use crate::error::Error;
use crate::ltx::Txid;
use crate::replica::{Change, FileListing, FileListingRow, HistoryRow, MomentList, Verification, VerifiedFile};
use crate::time;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::ffi::CString;
use std::iter;

/// Every moment one can go to, newest first.
pub static HISTORY: TableDef = TableDef {
    name: c"litestream_history",
    columns: &[("txid", "TEXT"), ("time", "TEXT"), ("level", "INTEGER"), ("pages", "INTEGER"), ("bytes", "INTEGER")],
    arguments: &["of_schema"],
    descending: Some(0),
    rows: |caller, arguments, _| {
        let question = ControlOp::Older(RefCell::new(MomentList::default()));
        let rows = |answer| match answer {
            ControlValue::TimeTravel(rows) => Some(rows.into_iter().map(moment).collect()),
            _ => None,
        };
        Ok(lots(caller, caller.schema(arguments, 0, "litestream_history('schema')")?, question, rows))
    },
};

/// What lies in the replica.
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
    rows: |caller, arguments, wanted: WantedRows| {
        let question = ControlOp::Further(RefCell::new(FileListing::new(wanted.has(TIME))));
        let rows = |answer| match answer {
            ControlValue::Files(rows) => Some(rows.into_iter().map(file).collect()),
            _ => None,
        };
        Ok(lots(caller, caller.schema(arguments, 0, "litestream_files('schema')")?, question, rows))
    },
};

/// The column of [`FILES`] for which a file has to be read.
const TIME: usize = 3;

/// The tables and indexes whose pages differ between two moments.
pub static CHANGES: TableDef = TableDef {
    name: c"litestream_changes",
    columns: &[("name", "TEXT"), ("type", "TEXT"), ("pages", "INTEGER")],
    arguments: &["since", "until", "of_schema"],
    descending: Some(2),
    rows: |caller, arguments, _| {
        let target = |at: usize| arguments.get(at).cloned().map(target).transpose().map(Option::flatten);
        let since = target(0)?.ok_or_else(|| {
            "litestream_changes needs a moment to compare with, as in litestream_changes('1 hour ago')".to_owned()
        })?;
        let question = ControlOp::Changes { since, until: target(1)? };
        let schema = caller.schema(arguments, 2, "litestream_changes(since, until, 'schema')")?;
        match caller.ask(&schema, &question)? {
            ControlValue::Changes(rows) => Ok(Box::new(rows.into_iter().map(change).map(Ok))),
            _ => Err(Error::internal("a question about changes had another answer").into()),
        }
    },
};

/// The files that the state is made of, each read whole.
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
    rows: |caller, arguments, _| {
        let question = ControlOp::Verify(RefCell::new(Verification::default()));
        let rows = |answer| match answer {
            ControlValue::Verified(rows) => Some(rows.into_iter().map(verified).collect()),
            _ => None,
        };
        Ok(lots(caller, caller.schema(arguments, 0, "litestream_verify('schema')")?, question, rows))
    },
};

/// A moment: a TXID, as a number or in 16 hexadecimal digits, or a time. None for NULL.
fn target(argument: Argument) -> Result<Option<Target>, Complaint> {
    let text = match argument {
        Argument::Null => return Ok(None),
        Argument::Integer(number) => {
            let txid = u64::try_from(number).map_err(|_| format!("{number} is no TXID"))?;
            return Ok(Some(Target::Txid(Txid(txid))));
        }
        Argument::Text(text) => text.to_string_lossy().into_owned(),
    };
    if let Ok(txid) = text.parse() {
        return Ok(Some(Target::Txid(txid)));
    }
    Ok(Some(time::parse(&text)?.into()))
}

/// Rows that come in lots, each as an answer to the same question, until one is empty.
fn lots(caller: Caller, schema: CString, question: ControlOp, rows: fn(ControlValue) -> Option<Vec<Row>>) -> TableRows {
    let lot = move || match caller.ask(&schema, &question) {
        Ok(answer) => match rows(answer) {
            Some(lot) if lot.is_empty() => None,
            Some(lot) => Some(lot.into_iter().map(Ok).collect()),
            None => Some(vec![Err(Error::internal("a question had the answer of another").into())]),
        },
        Err(complaint) => Some(vec![Err(complaint)]),
    };
    Box::new(iter::from_fn(lot).flat_map(Vec::<Result<Row, Complaint>>::into_iter))
}

fn moment(row: HistoryRow) -> Row {
    let HistoryRow { txid, time_ms, level, pages, bytes } = row;
    vec![json!(txid.to_string()), json!(time::format(time_ms)), json!(level.number()), json!(pages), json!(bytes)]
}

fn file(row: FileListingRow) -> Row {
    let FileListingRow { file, time_ms } = row;
    let (min, max) = (file.name.min.to_string(), file.name.max.to_string());
    let time = time_ms.map(time::format);
    vec![json!(file.level.number()), json!(min), json!(max), json!(time), json!(file.size)]
}

fn verified(row: VerifiedFile) -> Row {
    let VerifiedFile { level, name, bytes, is_right, error } = row;
    let (min, max) = (name.min.to_string(), name.max.to_string());
    let ok = is_right.map(i64::from);
    vec![json!(level.number()), json!(min), json!(max), json!(bytes), json!(ok), json!(error)]
}

fn change(row: Change) -> Row {
    let name = row.name.map_or(Value::Null, Value::String);
    vec![name, json!(row.kind), json!(row.pages)]
}
