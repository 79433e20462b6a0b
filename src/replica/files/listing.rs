//! Lists the files of a replica.

use crate::ltx::{Level, Txid};
use crate::replica::files::plan;
use crate::store::{self, Listed, Store};
use futures_util::future::try_join_all;

/// Lists the files that the newest state can consist of.
///
/// Lists levels 1–9 concurrently. Of level 0, lists only the last file that they cover and the files after it, because
/// with retention turned off level 0 contains one file for every second of the replica's life. If `seen`, the TXID of a
/// view, is lower, level 0 is listed from there: the file of that transaction shows whether the replica still has the
/// same history. Takes two round trips, and a third if the higher levels have a hole.
pub(in crate::replica) async fn newest(
    store: &dyn Store,
    seen: Option<Txid>,
) -> Result<Vec<Listed>, store::StoreError> {
    let mut files = compacted(store).await?;
    let mut covered = files.iter().map(|file| file.name.max).max().unwrap_or_default();
    loop {
        files.retain(|file| file.level != Level::ZERO);
        let from = seen.map_or(covered, |seen| seen.min(covered));
        files.extend(store.list(Level::ZERO, from).await?);
        // If there is a hole below the listed part, level 0 may contain the files that fill it.
        match plan::newest(&files).get(1).map(plan::FileChain::end) {
            Some(end) if end < covered => covered = end,
            _ => return Ok(files),
        }
    }
}

/// Lists all files: those of level 0 first. What is compacted and deleted meanwhile is in the later listings.
pub(in crate::replica) async fn all(store: &dyn Store) -> Result<Vec<Listed>, store::StoreError> {
    let mut files = store.list(Level::ZERO, Txid(1)).await?;
    files.extend(compacted(store).await?);
    Ok(files)
}

/// Lists the files of all levels except level 0.
pub(in crate::replica) async fn compacted(store: &dyn Store) -> Result<Vec<Listed>, store::StoreError> {
    let levels = Level::all().filter(|level| *level != Level::ZERO);
    let listings: Vec<_> = levels.map(|level| store.list(level, Txid(1))).collect();
    Ok(try_join_all(listings).await?.into_iter().flatten().collect())
}
