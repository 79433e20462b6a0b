//! Definitions of tables.

use super::caller::Caller;
use crate::replica::StoredValue;
use crate::sqlite::errors::SqlError;
use crate::sqlite::sql::argument::Argument;
use serde_json::Value;
use std::ffi::CStr;

/// A row: one value for each column.
pub type Row = Vec<StoredValue>;

/// Returns a row of values that are not blobs. Arrays and objects become JSON texts.
pub fn row(values: impl IntoIterator<Item = Value>) -> Row {
    values.into_iter().map(stored).collect()
}

fn stored(value: Value) -> StoredValue {
    match value {
        Value::Null => StoredValue::Null,
        Value::Bool(truth) => StoredValue::Integer(i64::from(truth)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => StoredValue::Integer(whole),
            (None, Some(number)) => StoredValue::Real(number),
            (None, None) => StoredValue::Null,
        },
        Value::String(text) => StoredValue::Text(text.into_bytes()),
        Value::Array(_) | Value::Object(_) => StoredValue::Text(value.to_string().into_bytes()),
    }
}

/// The rows of a table, computed one at a time. An error ends the iteration.
pub type TableRows = Box<dyn Iterator<Item = Result<Row, SqlError>>>;

/// The definition of a table.
#[derive(Debug)]
pub struct TableDef {
    /// The name.
    pub name: &'static CStr,
    /// The names and types of the columns.
    pub columns: &'static [(&'static str, &'static str)],
    /// The names of the arguments, which differ from those of the columns.
    pub arguments: &'static [&'static str],
    /// Whether views and triggers of any schema may read it. Its rows show nothing of tables, also not of those of another schema, and cost few
    /// requests.
    pub is_innocuous: bool,
    /// The column by which the rows are sorted in descending order.
    pub descending: Option<usize>,
    /// Computes the rows. Missing arguments are NULL. Columns that the statement does not use may be NULL in the rows.
    pub rows: fn(Caller, &[Argument], UsedColumns) -> Result<TableRows, SqlError>,
}

/// The set of columns that a statement uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UsedColumns(pub u32);

/// The number of columns that have a bit of their own. All later columns share one more bit.
const DISTINCT: usize = 26;

/// The number of low bits of a plan that say which arguments are present. The higher bits are the [`UsedColumns`].
pub const ARGUMENT_BITS: u32 = 4;

impl UsedColumns {
    /// Converts `sqlite3_index_info.colUsed`, in which columns from 63 on share the last bit.
    pub fn new(used: u64) -> UsedColumns {
        let later = u32::from(used >> DISTINCT != 0) << DISTINCT;
        UsedColumns(used as u32 & ((1 << DISTINCT) - 1) | later)
    }

    /// Whether the statement may use a column.
    pub fn contains(self, column: usize) -> bool {
        self.0 & 1 << column.min(DISTINCT) != 0
    }
}

impl TableDef {
    /// Returns the CREATE TABLE statement that declares the columns.
    pub fn sql(&self) -> String {
        let columns = self.columns.iter().map(|(name, kind)| format!("{name} {kind}"));
        let arguments = self.arguments.iter().map(|name| format!("{name} HIDDEN"));
        let all: Vec<String> = columns.chain(arguments).collect();
        format!("CREATE TABLE t ({})", all.join(", "))
    }

    /// Returns for each argument the index of the term of the WHERE clause that has its value. A term is a column and whether it is
    /// usable. Returns None if the value of an argument is not known in this join order.
    pub fn assign(&self, terms: &[(usize, bool)]) -> Option<Vec<Option<usize>>> {
        let find = |argument: usize| {
            let mut terms = terms.iter().enumerate().filter(|(_, term)| term.0 == self.columns.len() + argument);
            match (terms.clone().next(), terms.find(|(_, term)| term.1)) {
                (None, _) => Some(None),
                (Some(_), None) => None,
                (Some(_), Some((at, _))) => Some(Some(at)),
            }
        };
        (0..self.arguments.len()).map(find).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::c_int;

    const CHANGES: TableDef = TableDef {
        name: c"changes",
        columns: &[("name", "TEXT"), ("pages", "INTEGER")],
        arguments: &["since", "until"],
        is_innocuous: false,
        descending: None,
        rows: |_, _, _| Ok(Box::new(std::iter::empty())),
    };

    #[test]
    fn arguments_are_hidden_columns_after_the_others() {
        assert_eq!(CHANGES.sql(), "CREATE TABLE t (name TEXT, pages INTEGER, since HIDDEN, until HIDDEN)");
    }

    #[test]
    fn a_plan_contains_the_used_columns() {
        let used_columns = UsedColumns::new(0b1010);
        assert_eq!([0, 1, 2, 3, 60].map(|column| used_columns.contains(column)), [false, true, false, true, false]);
        for used in [1 << 26, 1 << 40, 1 << 63] {
            let used_columns = UsedColumns::new(used);
            assert!(used_columns.contains(26) && used_columns.contains(63) && !used_columns.contains(25), "{used:x}");
            assert_eq!(UsedColumns((used_columns.0 << ARGUMENT_BITS) as c_int as u32 >> ARGUMENT_BITS), used_columns);
        }
    }

    #[test]
    fn each_argument_gets_the_first_usable_term() {
        assert_eq!(CHANGES.assign(&[]), Some(vec![None, None]));
        assert_eq!(CHANGES.assign(&[(3, true), (0, true), (2, true)]), Some(vec![Some(2), Some(0)]));
        assert_eq!(CHANGES.assign(&[(3, false), (3, true), (3, true)]), Some(vec![None, Some(1)]));
        // A column that is not an argument, and the rowid.
        assert_eq!(CHANGES.assign(&[(1, false), (usize::MAX, true)]), Some(vec![None, None]));
    }

    #[test]
    fn an_argument_without_a_usable_term_rejects_the_join_order() {
        assert_eq!(CHANGES.assign(&[(2, false)]), None);
        assert_eq!(CHANGES.assign(&[(2, true), (3, false)]), None);
    }
}
