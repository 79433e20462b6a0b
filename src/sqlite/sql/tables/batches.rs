//! Operations that are run again and again.

use super::caller::Caller;
use crate::error::Error;
use crate::sqlite::control::{ControlOp, ControlValue};
use crate::sqlite::errors::SqlError;
use std::ffi::CString;
use std::iter;

/// Runs the same operation again and again, and returns the items of all batches up to the first empty one. `items`
/// converts a value to items, or returns None if the value is of another kind.
pub fn batches<T>(
    caller: Caller,
    schema: CString,
    op: ControlOp,
    items: fn(ControlValue) -> Option<Vec<T>>,
) -> impl Iterator<Item = Result<T, SqlError>> {
    let batch = move || match caller.run(&schema, &op) {
        Ok(value) => match items(value) {
            Some(batch) if batch.is_empty() => None,
            Some(batch) => Some(batch.into_iter().map(Ok).collect()),
            None => Some(vec![Err(wrong_kind())]),
        },
        Err(error) => Some(vec![Err(error)]),
    };
    iter::from_fn(batch).flat_map(Vec::<Result<T, SqlError>>::into_iter)
}

pub fn wrong_kind() -> SqlError {
    Error::internal("an operation returned a value of another kind").into()
}
