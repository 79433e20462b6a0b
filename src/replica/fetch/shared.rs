//! Waits for what other processes that share the cache directory fetch, instead of fetching it too.

use crate::progress;
use crate::replica::cache::persistent::{Announcement, CacheDirectory};
use crate::replica::fetch::Fetcher;
use crate::replica::fetch::in_flight::FetchedPage;
use crate::replica::fetch::run::{FetchRun, FrameRange};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often it looks whether the others have finished.
const LOOK: Duration = Duration::from_millis(2);

/// A response that comes sooner is not worth waiting for another process.
const WORTHWHILE: Duration = Duration::from_millis(2);

/// Added to twice the expected time of a request. If it takes longer, other processes send their own.
const RESERVE: Duration = Duration::from_secs(1);

impl Fetcher {
    /// Waits while other processes fetch what a run is for. Then removes the frames whose pages they have put into the cache directory, and
    /// returns the page on demand if it is among those.
    pub(super) async fn wait_for_others(&self, run: &mut FetchRun) -> Vec<FetchedPage> {
        let Some(directory) = self.shared_directory(run) else { return Vec::new() };
        let (file, wanted, began) = (run.file.number, run.wanted(), Instant::now());
        let range = wanted.first().map_or(0, |first| first.offset)..wanted.last().map_or(0, FrameRange::end);
        // What is announced later is not waited for.
        let Some(time) = directory.announced_for(file, &range) else { return Vec::new() };
        let has_arrived = || wanted.iter().all(|frame| self.cache.contains(run.key(frame)));
        while began.elapsed() < time && !has_arrived() && directory.announced_for(file, &range).is_some() {
            sleep(LOOK).await;
        }
        progress::arrived();
        let mut found = Vec::new();
        for frame in std::mem::take(&mut run.frames) {
            let key = run.key(&frame);
            match frame.on_demand.then(|| self.cache.get(key)).flatten() {
                Some(page) => found.push(FetchedPage { pgno: frame.pgno, page: Ok(page) }),
                None if !frame.on_demand && self.cache.contains(key) => {}
                None => run.frames.push(frame),
            }
        }
        found
    }

    /// Has other processes wait while this one fetches a run.
    pub(super) fn announce(&self, run: &FetchRun) -> Option<Announcement> {
        let directory = self.shared_directory(run)?;
        directory.announce(run.file.number, &(run.start()..run.end()), self.pace.expected(run.len()) * 2 + RESERVE)
    }

    /// Returns the directory through which pages of a run are exchanged with other processes, if that is worthwhile.
    fn shared_directory(&self, run: &FetchRun) -> Option<&Arc<CacheDirectory>> {
        let is_worthwhile = !run.is_retry && !self.outage.is_on() && self.pace.expected(0) >= WORTHWHILE;
        self.cache.directory().filter(|_| is_worthwhile)
    }
}
