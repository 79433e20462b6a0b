//! `litestream_status` as a table: a row for each schema that is read from a replica, or for the one it is asked for.
//!
//! It asks the open files alone: no lock is taken, and no page read.

use super::super::argument::Argument;
use super::super::control::{ControlOp, ControlValue};
use super::super::errors::Complaint;
use super::super::report::StatusReport;
use super::{Caller, Row, TableDef, TableRows, WantedRows};
use serde_json::Value;
use std::collections::HashMap;
use std::ffi::CStr;

/// The table. Its columns are those of [`StatusReport::fields`].
pub static STATUS: TableDef = TableDef {
    name: c"litestream_status",
    columns: &[
        ("schema", "TEXT"),
        ("txid", "TEXT"),
        ("time", "TEXT"),
        ("age", "REAL"),
        ("held_by", "TEXT"),
        ("head_txid", "TEXT"),
        ("head_time", "TEXT"),
        ("lag", "REAL"),
        ("state", "TEXT"),
        ("last_error", "TEXT"),
        ("last_error_time", "TEXT"),
        ("replica", "TEXT"),
        ("poll_interval", "REAL"),
        ("connections", "INTEGER"),
        ("lists", "INTEGER"),
        ("reads", "INTEGER"),
        ("bytes", "INTEGER"),
        ("cache_hits", "INTEGER"),
        ("cache_misses", "INTEGER"),
        ("cache_bytes", "INTEGER"),
        ("cache_size", "INTEGER"),
        ("disk_cache_bytes", "INTEGER"),
        ("disk_cache_size", "INTEGER"),
        ("prefetched_bytes", "INTEGER"),
        ("prefetched_bytes_used", "INTEGER"),
    ],
    arguments: &["of_schema"],
    descending: None,
    rows,
};

fn rows(caller: Caller, arguments: &[Argument], _: WantedRows) -> Result<TableRows, Complaint> {
    let schemas = match arguments.first().cloned().and_then(Argument::into_text) {
        Some(schema) => vec![schema],
        None => caller.schemas()?,
    };
    Ok(Box::new(schemas.into_iter().map(move |schema| row(caller, &schema))))
}

fn row(caller: Caller, schema: &CStr) -> Result<Row, Complaint> {
    match caller.ask(schema, &ControlOp::Status)? {
        ControlValue::Status(report) => Ok(cells(&report)),
        other => Err(format!("'{}' is no status", other.into_text()).into()),
    }
}

/// A value for each column; NULL for what the report leaves out.
fn cells(report: &StatusReport) -> Row {
    let mut fields: HashMap<&str, Value> = report.fields().into_iter().collect();
    STATUS.columns.iter().map(|(name, _)| fields.remove(name).unwrap_or_default()).collect()
}
