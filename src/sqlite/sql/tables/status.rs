//! The table `litestream_status`: a row for each schema that is read from a replica, or for the schema that is its argument.
//!
//! Computing a row neither locks the file nor reads a page.

use super::batches::wrong_kind;
use super::caller::Caller;
use super::definition::{self, Row, TableDef, TableRows, UsedColumns};
use crate::sqlite::control::{ControlOp, ControlValue, StatusReport};
use crate::sqlite::errors::SqlError;
use crate::sqlite::sql::argument::Argument;
use serde_json::Value;
use std::collections::HashMap;
use std::ffi::CStr;

/// The definition. The columns are the fields of [`StatusReport::fields`].
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
        ("writes", "INTEGER"),
        ("conflicts", "INTEGER"),
        ("last_conflict", "TEXT"),
        ("last_conflict_time", "TEXT"),
        ("write_error", "TEXT"),
        ("pending_transactions", "INTEGER"),
        ("pending_bytes", "INTEGER"),
        ("journal", "TEXT"),
        ("journal_error", "TEXT"),
        ("lease", "TEXT"),
        ("compaction_error", "TEXT"),
    ],
    arguments: &["of_schema"],
    is_innocuous: true,
    descending: None,
    rows,
};

fn rows(caller: Caller, arguments: &[Argument], _: UsedColumns) -> Result<TableRows, SqlError> {
    let schemas = match arguments.first().cloned().and_then(Argument::into_text) {
        Some(schema) => vec![schema],
        None => caller.schemas()?,
    };
    Ok(Box::new(schemas.into_iter().map(move |schema| row(caller, &schema))))
}

fn row(caller: Caller, schema: &CStr) -> Result<Row, SqlError> {
    match caller.run(schema, &ControlOp::Status)? {
        ControlValue::Status(report) => Ok(cells(&report)),
        _ => Err(wrong_kind()),
    }
}

/// Returns a value for each column, NULL for a field that the report does not have.
fn cells(report: &StatusReport) -> Row {
    let mut fields: HashMap<&str, Value> = report.fields().into_iter().collect();
    definition::row(STATUS.columns.iter().map(|(name, _)| fields.remove(name).unwrap_or_default()))
}
