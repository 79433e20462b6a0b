//! Waits for what other processes that share the cache directory fetch, instead of fetching it too.

use crate::progress;
use crate::replica::cache::persistent::{Announcement, CacheDirectory, RENEWAL};
use crate::replica::fetch::Fetcher;
use crate::replica::fetch::in_flight::FetchedPage;
use crate::replica::fetch::run::{self, FetchRun};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How often it looks whether the others have finished.
const LOOK: Duration = Duration::from_millis(2);

/// A response that comes sooner is not worth waiting for another process.
const WORTHWHILE: Duration = Duration::from_millis(2);

/// The maximum wait, for any number of other processes.
const LONGEST: Duration = Duration::from_secs(5);

impl Fetcher {
    /// Waits while other processes fetch what a run is for. Then removes the frames whose pages they have put into the cache directory, and
    /// returns the page on demand if it is among those.
    ///
    /// A process that has ended or hangs is waited for as long as its announcement holds. A wait counts as progress, because it is not the
    /// store that is silent.
    pub(super) async fn wait_for_others(&self, run: &mut FetchRun) -> Vec<FetchedPage> {
        let Some(directory) = self.shared_directory(run) else { return Vec::new() };
        let (file, wanted, began) = (run.file.number, run.wanted(), Instant::now());
        let range = run::span(wanted);
        if !directory.is_announced(file, &range) {
            return Vec::new();
        }
        let has_arrived = || wanted.iter().all(|frame| self.cache.contains(run.key(frame)));
        while began.elapsed() < LONGEST && !has_arrived() && directory.is_announced(file, &range) {
            sleep(LOOK).await;
            progress::arrived();
        }
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
        self.shared_directory(run)?.announce(run.file.number, &run.range())
    }

    /// Returns the directory through which pages of a run are exchanged with other processes, if that is worthwhile.
    fn shared_directory(&self, run: &FetchRun) -> Option<&Arc<CacheDirectory>> {
        let is_worthwhile = !run.is_retry && !self.outage.is_on() && self.pace.latency() >= WORTHWHILE;
        self.cache.directory().filter(|_| is_worthwhile)
    }

    /// Waits for the response to a request, and has other processes wait as well.
    pub(super) async fn announced<T>(announcement: &mut Option<Announcement>, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        loop {
            match timeout(RENEWAL, &mut request).await {
                Ok(response) => return response,
                Err(_) => announcement.iter_mut().for_each(Announcement::renew),
            }
        }
    }
}
