//! What a connection reports about its replica apart from pages.

use crate::config::Target;
use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::replica::session::connection::Connection;
use crate::replica::session::wait::Interrupted;
use crate::replica::{
    Change, FileListing, FileListingRow, HistoryRow, HistoryStep, MomentList, RowChange, RowDiff, RowHistory,
    TablePair, Verification, VerifiedFile, View,
};
use std::sync::Arc;

impl Connection {
    /// Returns the next older states of the history. Returns no rows after the oldest.
    pub fn older_states(
        &self,
        mut history: MomentList,
        interrupted: Interrupted<'_>,
    ) -> Result<(Vec<HistoryRow>, MomentList), Error> {
        self.run(interrupted, async move |replica| {
            let rows = replica.time_travel.older_states(&mut history).await?;
            Ok((rows, history))
        })
    }

    /// Returns the next files of the replica. Returns no rows after the last.
    pub fn next_files(
        &self,
        mut listing: FileListing,
        interrupted: Interrupted<'_>,
    ) -> Result<(Vec<FileListingRow>, FileListing), Error> {
        self.run(interrupted, async move |replica| {
            let rows = replica.time_travel.next_files(&mut listing).await?;
            Ok((rows, listing))
        })
    }

    /// Reads the next file of a view completely. Returns no row after the last.
    pub fn verify(
        &self,
        view: Arc<View>,
        mut verification: Verification,
        interrupted: Interrupted<'_>,
    ) -> Result<(Vec<VerifiedFile>, Verification), Error> {
        in_replica(&view)?;
        self.run(interrupted, async move |replica| {
            let rows = replica.follower.verify_next(&view, &mut verification).await?;
            Ok((rows, verification))
        })
    }

    /// Returns the differences between the state of `since` and a view of this replica, most pages first.
    pub fn changes_to(
        &self,
        view: Arc<View>,
        since: Target,
        interrupted: Interrupted<'_>,
    ) -> Result<Vec<Change>, Error> {
        let since = self.view_of(since, interrupted)?;
        in_replica(&view)?;
        in_replica(&since)?;
        self.run(interrupted, async move |replica| replica.diff.changes(since, view).await)
    }

    /// Finds a table in two states of this replica.
    pub fn table(
        &self,
        name: String,
        older: Arc<View>,
        newer: Arc<View>,
        interrupted: Interrupted<'_>,
    ) -> Result<TablePair, Error> {
        in_replica(&older)?;
        in_replica(&newer)?;
        self.run(interrupted, async move |replica| replica.diff.table(&name, older, newer).await)
    }

    /// Returns the next rows that differ. Returns no rows at the end.
    pub fn next_rows(
        &self,
        mut diff: Box<RowDiff>,
        interrupted: Interrupted<'_>,
    ) -> Result<(Vec<RowChange>, Box<RowDiff>), Error> {
        self.run(interrupted, async move |replica| {
            let rows = replica.diff.next_rows(&mut diff).await?;
            Ok((rows, diff))
        })
    }

    /// Continues the search for the versions of a row.
    pub fn older_version(
        &self,
        mut history: Box<RowHistory>,
        interrupted: Interrupted<'_>,
    ) -> Result<(HistoryStep, Box<RowHistory>), Error> {
        self.run(interrupted, async move |replica| {
            let step = replica.diff.older_version(&mut history).await?;
            Ok((step, history))
        })
    }

    /// Returns the view of the last available state before a transaction.
    pub fn view_before(&self, txid: Txid, interrupted: Interrupted<'_>) -> Result<Arc<View>, Error> {
        self.run(interrupted, async move |replica| replica.time_travel.view_before(txid).await)
    }

    /// Returns the view of `target`; the newest for [`Target::Latest`]. Does not change what the connection reads.
    pub fn view_of(&self, target: Target, interrupted: Interrupted<'_>) -> Result<Arc<View>, Error> {
        self.run(interrupted, async move |replica| match replica.view_of(target).await? {
            Some(view) => Ok(view),
            None => replica.head().ok_or_else(|| replica.files.empty()),
        })
    }
}

/// Fails if a state has transactions that are only in the journal: files of the replica are compared.
fn in_replica(view: &View) -> Result<(), Error> {
    match view.is_journalled() {
        false => Ok(()),
        true => {
            Err(Error::new(ErrorKind::Config, "the last transactions are in the journal, and not in the replica yet")
                .remedy("call litestream_flush() first"))
        }
    }
}
