//! Tests on a replica in memory with known times.

mod clocks;
mod damaged;
mod dated_replica;
mod history;
mod targets;

use crate::config::Target;
use crate::ltx::Txid;
use crate::replica::Replica;
use crate::replica::time_travel::MomentList;
use crate::store::Counts;
use std::sync::Arc;

/// Returns the transaction of the view at a time, or None if there is no such view.
async fn at(replica: &Arc<Replica>, ms: i64) -> Option<Txid> {
    replica.view_of(Target::Time(ms)).await.ok().map(|view| view.expect("a past state").txid())
}

/// Returns how many listings and reads were requested since `before`.
fn requests_since(replica: &Replica, before: Counts) -> u64 {
    let now = replica.files.store.counts();
    now.lists + now.reads - before.lists - before.reads
}

/// Returns the transactions of the whole history, and the lowest level at which each has a file.
async fn history_of(replica: &Replica) -> Vec<(u64, u8)> {
    let (mut history, mut listed) = (MomentList::default(), Vec::new());
    loop {
        let rows = replica.time_travel.older_states(&mut history).await.expect("rows");
        if rows.is_empty() {
            return listed;
        }
        listed.extend(rows.iter().map(|row| (row.txid.0, row.level.number())));
    }
}
