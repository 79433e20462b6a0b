//! What a connection tells of its replica beyond the pages of a view.

use crate::config::Target;
use crate::error::Error;
use crate::replica::session::connection::{Connection, Interrupted};
use crate::replica::{Change, FileListing, FileListingRow, HistoryRow, MomentList, Verification, VerifiedFile, View};
use std::sync::Arc;

impl Connection {
    /// The next moments towards the past. None are left where none come.
    pub fn older(
        &self,
        mut history: MomentList,
        interrupted: Interrupted<'_>,
    ) -> Result<(Vec<HistoryRow>, MomentList), Error> {
        self.ask(interrupted, async move |replica| {
            let rows = replica.time_travel.older(&mut history).await?;
            Ok((rows, history))
        })
    }

    /// The next files. None are left where none come.
    pub fn further(
        &self,
        mut inventory: FileListing,
        interrupted: Interrupted<'_>,
    ) -> Result<(Vec<FileListingRow>, FileListing), Error> {
        self.ask(interrupted, async move |replica| {
            let rows = replica.time_travel.further(&mut inventory).await?;
            Ok((rows, inventory))
        })
    }

    /// Reads the next file of a view whole. None is left where none comes.
    pub fn verify(
        &self,
        view: Arc<View>,
        mut verification: Verification,
        interrupted: Interrupted<'_>,
    ) -> Result<(Vec<VerifiedFile>, Verification), Error> {
        self.ask(interrupted, async move |replica| {
            let rows = replica.follower.verify_next(&view, &mut verification).await?;
            Ok((rows, verification))
        })
    }

    /// What differs between a moment and a view of this replica, most pages first.
    pub fn changes_to(
        &self,
        view: Arc<View>,
        since: Target,
        interrupted: Interrupted<'_>,
    ) -> Result<Vec<Change>, Error> {
        let since = self.view_of(since, interrupted)?;
        self.ask(interrupted, async move |replica| replica.diff.changes(since, view).await)
    }

    /// The view of a moment; the newest for [`Target::Latest`]. The connection stays where it is.
    pub fn view_of(&self, target: Target, interrupted: Interrupted<'_>) -> Result<Arc<View>, Error> {
        self.ask(interrupted, async move |replica| match replica.view_of(target).await? {
            Some(view) => Ok(view),
            None => replica.head().ok_or_else(|| replica.files.empty()),
        })
    }
}
