//! The comparison of a table at two moments, which several tables read.

use super::batches::{batches, wrong_kind};
use super::caller::Caller;
use super::layout;
use super::moments::target;
use crate::replica::{RowChange, RowDiff, TableLayout, TablePair};
use crate::sqlite::control::{ControlOp, ControlValue, Since};
use crate::sqlite::errors::SqlError;
use crate::sqlite::sql::argument::Argument;
use std::cell::RefCell;
use std::ffi::CString;

/// The names of the arguments.
pub const ARGUMENTS: &[&str] = &["of_table", "since", "until", "of_schema"];

/// A table at two moments.
#[derive(Debug)]
pub struct Comparison {
    caller: Caller,
    schema: CString,
    pub pair: TablePair,
    pub layout: TableLayout,
}

impl Comparison {
    /// Finds the table that [`ARGUMENTS`] name. `function` is the name of the table that has these arguments, and
    /// `earliest` the first moment if it is not among them.
    pub fn new(
        caller: Caller,
        arguments: &[Argument],
        function: &str,
        earliest: Option<Since>,
    ) -> Result<Comparison, SqlError> {
        let table = arguments.first().cloned().and_then(Argument::into_text);
        let since = target(arguments, 1)?.map(Since::At).or(earliest);
        let (Some(table), Some(since)) = (table, since) else {
            let text = format!("{function} needs a table and a moment, as in {function}('orders', '1 hour ago')");
            return Err(text.into());
        };
        let until = target(arguments, 2)?;
        let schema = caller.schema(arguments, 3, &format!("{function}(table, since, until, 'schema')"))?;
        let op = ControlOp::Table { name: table.to_string_lossy().into_owned(), since, until };
        let ControlValue::Table(pair) = caller.run(&schema, &op)? else { return Err(wrong_kind()) };
        let layout = layout::of_pair(caller.api, &pair)?;
        Ok(Comparison { caller, schema, pair: *pair, layout })
    }

    /// Compares the rows, from the first on.
    pub fn changes(&self) -> impl Iterator<Item = Result<RowChange, SqlError>> + use<> {
        let diff = RowDiff::new(self.pair.clone(), self.layout.clone());
        let op = ControlOp::Diff(RefCell::new(Some(Box::new(diff))));
        batches(self.caller, self.schema.clone(), op, |value| match value {
            ControlValue::RowChanges(rows) => Some(rows),
            _ => None,
        })
    }
}
