//! The search for the versions of one row: what it is of, and how far it is.

use crate::ltx::Txid;
use crate::replica::dbformat::record::StoredValue;
use crate::replica::diff::layout::{RowKey, TableLayout};
use crate::replica::diff::table::{TablePair, TableState};
use crate::replica::diff::unvisited::UnvisitedStates;
use crate::replica::view::View;
use std::sync::Arc;

/// A version of a row.
#[derive(Clone, Debug)]
pub struct RowVersion {
    /// The first available state with this version, and its time in milliseconds since 1970.
    pub txid: Txid,
    pub time_ms: i64,
    /// `insert`, `update` or `delete`. None for the version of the oldest available state.
    pub op: Option<&'static str>,
    /// The values of the stored columns. None if the row does not exist.
    pub row: Option<Vec<StoredValue>>,
}

/// How far the versions of a row have been searched.
#[derive(Debug)]
pub struct RowHistory {
    pub(super) table: String,
    pub(super) layout: TableLayout,
    pub(super) key: RowKey,
    /// The state at which the search begins.
    pub(super) newest: Arc<View>,
    /// The definitions of the table that the layout can read.
    pub(super) definitions: Vec<String>,
    /// The available states that have not been visited. None before they are listed.
    pub(super) states: Option<UnvisitedStates>,
    /// The row in the last state that was visited, as a version that begins with the oldest state known to have it.
    pub(super) version: Option<RowVersion>,
}

/// The result of a step of the search.
#[derive(Clone, Debug)]
pub enum HistoryStep {
    /// A version.
    Version(RowVersion),
    /// The state at this time has another definition of the table. If the layout can read it, add it by
    /// [`RowHistory::accept`].
    Definition { sql: String, time_ms: i64 },
    /// There are no more versions.
    End,
}

impl RowHistory {
    /// Starts the search at the newer state of a table. The layout is that of this state, and the values of the key are as its columns have them.
    pub fn new(pair: TablePair, layout: TableLayout, key: Vec<StoredValue>) -> Result<RowHistory, String> {
        let TablePair { name: table, states: [_, TableState { view: newest, sql, .. }] } = pair;
        let key = match (&layout.key, &key[..]) {
            (None, [StoredValue::Integer(rowid)]) => RowKey::Rowid(*rowid),
            (None, _) => return Err(format!("the rows of table '{table}' have rowids, which are integers")),
            (Some(columns), _) if columns.len() == key.len() => RowKey::Values(key),
            (Some(columns), _) => {
                let names: Vec<&str> = columns.iter().map(|key| layout.columns[key.column].name.as_str()).collect();
                return Err(format!(
                    "the primary key of table '{table}' has the columns {}: pass their values as a JSON array",
                    names.join(", ")
                ));
            }
        };
        Ok(RowHistory { table, layout, key, newest, definitions: vec![sql], states: None, version: None })
    }

    pub fn table(&self) -> &str {
        &self.table
    }

    /// Adds a definition that the layout can read.
    pub fn accept(&mut self, sql: String) {
        self.definitions.push(sql);
    }
}

impl RowVersion {
    /// Returns the version with what was done to the row, given whether the row existed before.
    pub(super) fn after(self, existed: bool) -> RowVersion {
        let op = match (&self.row, existed) {
            (None, _) => "delete",
            (Some(_), true) => "update",
            (Some(_), false) => "insert",
        };
        RowVersion { op: Some(op), ..self }
    }
}
