//! Visits states for the versions of one row.
//!
//! The file that contains a page of a state shows since when the page has not been written. So the search goes from a
//! state directly to the last one before that time. States at which neither the page nor the row's overflow pages were
//! written are not visited.
//!
//! That holds as long as the table has the same root page. After it was renamed or created again, the page may have been
//! one of another table. So if the schema may have changed since, the next state that is visited, the one before those
//! that were skipped, shows whether it did: then the first of the skipped states with the same schema is searched.
//!
//! Litestream deletes files while the search goes on. States that are gone are then dropped.

use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::replica::dbformat::record::StoredValue;
use crate::replica::diff::Diff;
use crate::replica::diff::history::{HistoryStep, RowHistory, RowVersion};
use crate::replica::diff::lookup::FoundRow;
use crate::replica::diff::rows::{RawRow, StateReader};
use crate::replica::diff::sources::TableTree;
use crate::replica::diff::trees::TreeReader;
use crate::replica::diff::unvisited::UnvisitedStates;
use crate::replica::time_travel::ReachableState;
use crate::replica::view::View;
use crate::store::Listed;
use futures_util::future::try_join;
use std::sync::Arc;

/// The row in a state.
struct VisitedRow {
    /// The values. None if the row does not exist.
    row: Option<Vec<StoredValue>>,
    /// It has been the same since this transaction, if the schema has.
    unchanged_since: Txid,
    /// The schema has been the same since this transaction, or for longer.
    schema_since: Txid,
}

impl Diff {
    /// Continues the search with the next older version.
    pub(in crate::replica) async fn older_version(&self, history: &mut RowHistory) -> Result<HistoryStep, Error> {
        if history.states.is_none() {
            let states = self.states_to(history.newest.txid(), &history.newest).await?;
            history.states = Some(UnvisitedStates::new(states));
        }
        loop {
            match self.next_version(history).await {
                Err(error) if matches!(error.kind(), ErrorKind::Empty | ErrorKind::TooOld) => {
                    // The list becomes shorter each time, so this ends.
                    if !self.drop_deleted(history).await? {
                        return Err(error);
                    }
                }
                step => return step,
            }
        }
    }

    /// Returns the available states up to a transaction. That of the search is one also if the files that end there are
    /// gone.
    async fn states_to(&self, last: Txid, newest: &View) -> Result<Vec<ReachableState>, Error> {
        let mut states = self.time_travel.states_until(last).await?;
        if last == newest.txid() && states.last().is_none_or(|state| state.txid < last) {
            let tip = newest.tip();
            let version = Some(tip.version.clone());
            let file = Listed { level: tip.level, name: tip.name, size: tip.size, version, modified_ms: 0 };
            states.push(ReachableState { txid: last, files: vec![file] });
        }
        Ok(states)
    }

    /// Drops the states whose files were deleted since they were listed. Returns whether there were any.
    async fn drop_deleted(&self, history: &mut RowHistory) -> Result<bool, Error> {
        let states = history.states.get_or_insert_default();
        let Some(last) = states.last() else { return Ok(false) };
        let listed = self.states_to(last, &history.newest).await?;
        Ok(states.keep_listed(listed))
    }

    /// Visits states until a version is known to its beginning. If this fails, it can be continued.
    async fn next_version(&self, history: &mut RowHistory) -> Result<HistoryStep, Error> {
        while let Some(txid) = history.states.get_or_insert_default().next() {
            let view = match txid == history.newest.txid() {
                true => history.newest.clone(),
                false => self.time_travel.view_at_state(txid).await?,
            };
            let cookie = self.schema_cookie(&view).await?;
            if let Some(doubted) = history.states.get_or_insert_default().doubted(cookie) {
                self.settle_doubt(history, doubted).await?;
                continue;
            }
            let found = match self.row_at(history, view.clone()).await? {
                Ok(found) => found,
                Err(definition) => return Ok(definition),
            };
            let older = self.skip_version(history, found, &view, cookie).await?;
            let existed = older.row.is_some();
            let is_same = history.version.as_ref().is_none_or(|newer| newer.row == older.row);
            if let Some(newer) = history.version.replace(older).filter(|_| !is_same) {
                return Ok(HistoryStep::Version(newer.after(existed)));
            }
        }
        match history.version.take().filter(|version| version.row.is_some()) {
            Some(oldest) => Ok(HistoryStep::Version(oldest)),
            None => Ok(HistoryStep::End),
        }
    }

    /// Finds out where the version that was found last begins, after the schema was seen to be another one before the
    /// skipped states.
    async fn settle_doubt(&self, history: &mut RowHistory, cookie: u32) -> Result<(), Error> {
        let states = history.states.get_or_insert_default();
        let first = self.first_with_cookie(states.skipped(), cookie).await?;
        if let (Some(begin), Some(version)) = (states.skipped().get(first), &mut history.version)
            && begin.txid != version.txid
        {
            version.time_ms = self.time_of(begin, &history.newest, &history.newest).await?;
            version.txid = begin.txid;
        }
        states.settle(first);
        Ok(())
    }

    /// Skips the states before a visited one that have the same row, and returns the version that begins with the first.
    async fn skip_version(
        &self,
        history: &mut RowHistory,
        found: VisitedRow,
        view: &View,
        cookie: u32,
    ) -> Result<RowVersion, Error> {
        let states = history.states.get_or_insert_default();
        states.settle(0);
        let mut span = states.span(found.unchanged_since, found.schema_since);
        let visited = || Error::internal("no state is visited");
        let begin = states.get(span.begin).ok_or_else(visited)?;
        // No state before the oldest one shows whether it has the same schema.
        let is_oldest = span.begin == 0 && span.begin < span.certain;
        let oldest = async { if is_oldest { self.oldest_cookie(begin, view).await } else { Ok(None) } };
        let (mut time_ms, oldest) = try_join(self.time_of(begin, view, &history.newest), oldest).await?;
        if is_oldest && oldest == Some(cookie) {
            span.certain = span.begin;
        } else if is_oldest {
            span.begin = span.certain;
            time_ms = self.time_of(states.get(span.begin).ok_or_else(visited)?, view, &history.newest).await?;
        }
        let txid = states.get(span.begin).ok_or_else(visited)?.txid;
        states.skip(span, cookie);
        Ok(RowVersion { txid, time_ms, op: None, row: found.row })
    }

    /// Returns the time of a state. That of a visited view is known, if the last file of the view is the only one that ends
    /// there.
    async fn time_of(&self, state: &ReachableState, view: &View, newest: &View) -> Result<i64, Error> {
        if state.txid == newest.txid() {
            Ok(newest.time_ms())
        } else if state.txid == view.txid() && state.files.len() == 1 {
            Ok(view.time_ms())
        } else {
            self.time_travel.state_time(state).await
        }
    }

    /// Returns the row in a state. Returns the definition of the table instead if that has not been accepted.
    async fn row_at(&self, history: &RowHistory, view: Arc<View>) -> Result<Result<VisitedRow, HistoryStep>, Error> {
        let (table, schema_since) = self.find_table(&history.table, view).await?;
        let Some(table) = table else {
            return Ok(Ok(VisitedRow { row: None, unchanged_since: schema_since, schema_since }));
        };
        if !history.definitions.contains(&table.sql) {
            return Ok(Err(HistoryStep::Definition { sql: table.sql, time_ms: table.view.time_ms() }));
        }
        let tree = TableTree { trees: TreeReader::new(&self.pages, &table.view).await?, root: table.root };
        let FoundRow { cell, unchanged_since } = tree.find(&history.key, &history.layout).await?;
        let raw = cell.map(|cell| RawRow { key: history.key.clone(), cell });
        let reader = StateReader { trees: tree.trees, layout: &history.layout };
        Ok(Ok(VisitedRow { row: reader.values(raw.as_ref()).await?, unchanged_since, schema_since }))
    }
}
