//! Query planning for virtual tables.

use super::definition::{ARGUMENT_BITS, TableDef, UsedColumns};
use crate::sqlite::ffi::*;
use std::ffi::c_int;

/// Chooses the plan for `xBestIndex`. Returns a result code, `SQLITE_CONSTRAINT` if the table cannot be read in this join order.
///
/// The plan is a number: bit n is set if argument n is present, and the bits from [`ARGUMENT_BITS`] on are the used columns. `xFilter` gets
/// the values in the order of the arguments.
///
/// # Safety
/// `constraints` and `usage` of `info` are arrays of `constraint_count` entries, and `orders` is one of `order_count` entries.
pub unsafe fn choose(definition: &TableDef, info: &mut IndexInfo) -> c_int {
    let count = usize::try_from(info.constraint_count).unwrap_or(0);
    // SAFETY: `at` is less than `constraint_count`, the length of the array.
    let constraint = |at: usize| unsafe { &*info.constraints.add(at) };
    let is_equality = |at: &usize| constraint(*at).operator == SQLITE_INDEX_CONSTRAINT_EQ;
    let positions: Vec<usize> = (0..count).filter(is_equality).collect();
    // The rowid is column −1.
    let term =
        |at: &usize| (usize::try_from(constraint(*at).column).unwrap_or(usize::MAX), constraint(*at).usable != 0);
    let Some(assigned) = definition.assign(&positions.iter().map(term).collect::<Vec<_>>()) else {
        return SQLITE_CONSTRAINT;
    };
    let present = assigned.iter().enumerate().filter_map(|(argument, term)| Some((argument, positions[(*term)?])));
    let (mut number, mut values) = (0, 0);
    for (argument, at) in present {
        number |= 1 << argument;
        values += 1;
        // SAFETY: `usage` is an array of `constraint_count` entries, and `at` is less.
        unsafe { info.usage.add(at).write(ConstraintUsage { argument: values, omit: 1 }) };
    }
    info.number = number | (UsedColumns::new(info.columns_used).0 << ARGUMENT_BITS) as c_int;
    // SAFETY: `orders` is an array of `order_count` entries, here of one.
    let order = (info.order_count == 1).then(|| unsafe { &*info.orders });
    let is_sorted = order.is_some_and(|order| {
        order.descending != 0
            && usize::try_from(order.column).ok() == definition.descending
            && definition.descending.is_some()
    });
    info.is_ordered = c_int::from(is_sorted);
    // Only the ratio matters: with an argument there are fewer rows.
    info.rows = if values == 0 { 100 } else { 10 };
    let is_used = |argument: &usize| info.columns_used >> (definition.columns.len() + argument).min(63) & 1 != 0;
    let missing = (0..assigned.len()).filter(|argument| assigned[*argument].is_none()).find(is_used);
    info.cost = missing.map_or(info.rows as f64, cost_without);
    SQLITE_OK
}

/// Returns the cost of a plan without a value for an argument that the statement uses. A condition on this argument is then compared with NULL.
/// If the condition is part of an OR, SQLite has another plan, in which each alternative has its value.
///
/// Older versions of SQLite estimate the plan of an alternative without the terms outside the OR, as if the arguments there were missing. So the
/// first arguments cost most: alternatives differ most often in the table.
fn cost_without(argument: usize) -> f64 {
    1e12 / 1e3_f64.powi(argument as i32)
}
