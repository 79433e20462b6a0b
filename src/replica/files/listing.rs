//! Listings: what files lie in the replica, as of about now.

use crate::ltx::{Level, Txid};
use crate::replica::files::plan;
use crate::store::{self, Listed, Store};
use futures_util::future::try_join_all;

/// The files that the newest state can be made of.
///
/// Levels 1–9 at once, then of level 0 only the last that they cover and what they do not: retention may be off, and level
/// 0 then holds a file for every second of the replica's life. And from `seen` on, the transaction of a view, whose file
/// shows whether this is still the same history. Two round trips, and a third if the higher levels have a hole.
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
        // With a hole below what was listed, level 0 may hold what fills it.
        match plan::newest(&files).get(1).map(plan::FileChain::end) {
            Some(end) if end < covered => covered = end,
            _ => return Ok(files),
        }
    }
}

/// Every file there is.
pub(in crate::replica) async fn all(store: &dyn Store) -> Result<Vec<Listed>, store::StoreError> {
    let mut files = compacted(store).await?;
    files.extend(store.list(Level::ZERO, Txid(1)).await?);
    Ok(files)
}

/// The files of all levels but 0.
pub(in crate::replica) async fn compacted(store: &dyn Store) -> Result<Vec<Listed>, store::StoreError> {
    let levels = Level::all().filter(|level| *level != Level::ZERO);
    let listings: Vec<_> = levels.map(|level| store.list(level, Txid(1))).collect();
    Ok(try_join_all(listings).await?.into_iter().flatten().collect())
}
