//! Keeps cached pages when other files replace theirs.
//!
//! A compaction or a snapshot contains pages that have not changed. Once a view reads them from there, they would have to
//! be fetched again, although the view before it proves that they are the same.
//!
//! A page may be of a file that nobody has verified, and wrong. It does not count for the checksum of the later file, and is compared with the
//! page there when that file is verified.

use crate::replica::cache::PageKey;
use crate::replica::fetch::Fetcher;
use crate::replica::view::View;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;

/// The maximum time that a new view waits for this.
const LIMIT: Duration = Duration::from_secs(2);

/// How many pages are looked at before other tasks get a turn.
const BATCH: u32 = 256;

impl Fetcher {
    /// Moves the cached pages of a view to the files that contain them in a later view of the same history.
    ///
    /// A page is the same if its file in the later view ends at or before the earlier one: had the page been written
    /// after that, its newest version would be in a later file.
    pub(in crate::replica) async fn carry_over(&self, before: &View, now: &View) {
        let until = before.txid();
        let is_later = before.epoch() == now.epoch() && now.txid() >= until;
        let known: HashSet<u32> = before.files().map(|file| file.number).collect();
        let mut replacing = now.files().filter(|file| file.name.max <= until && !known.contains(&file.number));
        if !is_later || before.page_size() != now.page_size() || replacing.next().is_none() {
            return;
        }
        let started = Instant::now();
        for pgno in 1..=now.commit().min(before.commit()) {
            if pgno.is_multiple_of(BATCH) {
                tokio::task::yield_now().await;
                if started.elapsed() > LIMIT {
                    return;
                }
            }
            let (Some(there), Some(here)) = (now.file_of(pgno), before.file_of(pgno)) else { continue };
            if there.number != here.number && there.name.max <= until {
                let key = |file| PageKey { file, pgno };
                self.cache.carry(key(here.number), key(there.number));
            }
        }
    }
}
