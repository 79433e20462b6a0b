//! The versions of one row.
//!
//! The file that contains a page of a state shows since when the page has not been written. So the search goes from a
//! state directly to the last one before that time. States at which neither the page nor the row's overflow pages were
//! written are not visited.

use crate::error::Error;
use crate::ltx::Txid;
use crate::replica::dbformat::record::StoredValue;
use crate::replica::diff::Diff;
use crate::replica::diff::layout::{RowKey, TableLayout};
use crate::replica::diff::rows::{RawRow, StateReader};
use crate::replica::diff::sources::TableTree;
use crate::replica::diff::table::{TablePair, TableState};
use crate::replica::diff::trees::TreeReader;
use crate::replica::time_travel::ReachableState;
use crate::replica::view::View;
use std::sync::Arc;

/// A version of a row.
#[derive(Clone, PartialEq, Debug)]
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
#[derive(Clone, Debug)]
pub struct RowHistory {
    table: String,
    layout: TableLayout,
    key: RowKey,
    /// The state at which the search begins.
    newest: Arc<View>,
    /// The definitions of the table that the layout can read.
    definitions: Vec<String>,
    /// The available states that have not been searched, in ascending order. None before they are listed.
    states: Option<Vec<ReachableState>>,
    /// The row in the last state that was visited, and the oldest state that is known to have this version.
    version: Option<(Option<Vec<StoredValue>>, ReachableState)>,
}

/// The result of a step of the search.
#[derive(Clone, PartialEq, Debug)]
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

/// Two searches are equal if they are of the same row and equally far.
impl PartialEq for RowHistory {
    fn eq(&self, other: &RowHistory) -> bool {
        (&self.table, &self.key, &self.version) == (&other.table, &other.key, &other.version)
            && self.states == other.states
    }
}

impl Eq for RowHistory {}

impl Diff {
    /// Continues the search with the next older version.
    pub(in crate::replica) async fn older_version(&self, history: &mut RowHistory) -> Result<HistoryStep, Error> {
        if history.states.is_none() {
            history.states = Some(self.time_travel.states_until(history.newest.txid()).await?);
        }
        while let Some(state) = history.states.iter().flatten().last() {
            let view = match state.txid == history.newest.txid() {
                true => history.newest.clone(),
                false => self.time_travel.view_at_state(state.txid).await?,
            };
            let (row, unchanged_since) = match self.row_at(history, view).await? {
                Ok(found) => found,
                Err(definition) => return Ok(definition),
            };
            let states = history.states.get_or_insert_default();
            let oldest = states.partition_point(|state| state.txid < unchanged_since).min(states.len() - 1);
            let begin = states[oldest].clone();
            states.truncate(oldest);
            let version = history.version.take();
            history.version = Some((row, begin));
            if let (Some((newer, begin)), Some((older, _))) = (version, &history.version)
                && newer != *older
            {
                return self.version(newer, begin, older.is_some(), &history.newest).await;
            }
        }
        match history.version.take() {
            Some((Some(row), begin)) => {
                let time_ms = self.time_of(&begin, &history.newest).await?;
                Ok(HistoryStep::Version(RowVersion { txid: begin.txid, time_ms, op: None, row: Some(row) }))
            }
            _ => Ok(HistoryStep::End),
        }
    }

    async fn version(
        &self,
        row: Option<Vec<StoredValue>>,
        begin: ReachableState,
        existed: bool,
        newest: &View,
    ) -> Result<HistoryStep, Error> {
        let op = match (&row, existed) {
            (None, _) => "delete",
            (Some(_), true) => "update",
            (Some(_), false) => "insert",
        };
        let time_ms = self.time_of(&begin, newest).await?;
        Ok(HistoryStep::Version(RowVersion { txid: begin.txid, time_ms, op: Some(op), row }))
    }

    async fn time_of(&self, state: &ReachableState, newest: &View) -> Result<i64, Error> {
        if state.txid == newest.txid() { Ok(newest.time_ms()) } else { self.time_travel.state_time(state).await }
    }

    /// Returns the row in a state, and a transaction since which it has been the same. Returns the definition of the
    /// table instead if that has not been accepted.
    async fn row_at(
        &self,
        history: &RowHistory,
        view: Arc<View>,
    ) -> Result<Result<(Option<Vec<StoredValue>>, Txid), HistoryStep>, Error> {
        let (table, schema_since) = self.find_table(&history.table, view).await?;
        let Some(table) = table else { return Ok(Ok((None, schema_since))) };
        if !history.definitions.contains(&table.sql) {
            return Ok(Err(HistoryStep::Definition { sql: table.sql, time_ms: table.view.time_ms() }));
        }
        let reader = StateReader { trees: TreeReader::new(&self.pages, &table.view).await?, layout: &history.layout };
        let tree = TableTree { trees: TreeReader::new(&self.pages, &table.view).await?, root: table.root };
        let found = tree.find(&history.key, &history.layout).await?;
        let raw = found.cell.map(|cell| RawRow { key: history.key.clone(), cell });
        Ok(Ok((reader.values(raw.as_ref()).await?, found.unchanged_since)))
    }
}
