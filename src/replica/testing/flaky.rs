//! A store for tests that responds after a round trip, hangs, fails, or omits versions from its listings.

use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::store::{Chunk, Listed, Memory, Store, StoreError, StoreErrorKind, Version};
use async_trait::async_trait;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a response takes.
pub(in crate::replica) const ROUND_TRIP: Duration = Duration::from_millis(20);

/// After this time a request without a response fails, as in every store.
pub(in crate::replica) const DEADLINE: Duration = Duration::from_secs(10);

/// The state of the store.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::replica) enum FlakyState {
    #[default]
    Healthy,
    /// No request gets a response.
    Hanging,
    /// Every request fails at once.
    Down,
    /// No files are found.
    Empty,
}

/// A store in memory whose state can be changed.
#[derive(Default, Debug)]
pub(in crate::replica) struct Flaky {
    pub files: Memory,
    state: Mutex<FlakyState>,
    /// Listings contain no versions.
    pub untagged: bool,
    requests: Mutex<Vec<String>>,
    /// So many reads find no file, although it is there.
    misses: AtomicU32,
    /// After so many reads, the files are written again, as by a program that sets their times.
    until_rewritten: AtomicU32,
}

impl Flaky {
    pub fn new(untagged: bool) -> Arc<Flaky> {
        Arc::new(Flaky { untagged, ..Flaky::default() })
    }

    pub fn set_state(&self, state: FlakyState) {
        *self.state.lock() = state;
    }

    /// Has the next `reads` find no file.
    pub fn miss(&self, reads: u32) {
        self.misses.store(reads, Ordering::Relaxed);
    }

    /// Has all files be written again after so many reads.
    pub fn rewrite_after(&self, reads: u32) {
        self.until_rewritten.store(reads + 1, Ordering::Relaxed);
    }

    async fn rewrite(&self) {
        for level in Level::all() {
            for Listed { name, .. } in self.files.list(level, Txid(1)).await.expect("files in memory") {
                self.files.insert(level, name, self.files.get(level, name).expect("a listed file"));
            }
        }
    }

    /// Returns the requests since the last call: `list 0`, `read 0 <name>`.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock())
    }

    /// Logs a request and waits for its response. Returns false if no files are found.
    async fn respond(&self, request: String) -> Result<bool, StoreError> {
        self.requests.lock().push(request);
        let (started, state) = (Instant::now(), || *self.state.lock());
        sleep(ROUND_TRIP).await;
        while state() == FlakyState::Hanging && started.elapsed() < DEADLINE {
            sleep(ROUND_TRIP).await;
        }
        match state() {
            FlakyState::Healthy => Ok(true),
            FlakyState::Empty => Ok(false),
            FlakyState::Hanging => {
                Err(StoreError::new(StoreErrorKind::Unreachable, "memory://flaky", "it did not respond in time"))
            }
            FlakyState::Down => Err(StoreError::new(StoreErrorKind::Unreachable, "memory://flaky", "it is down")),
        }
    }
}

#[async_trait]
impl Store for Flaky {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        if !self.respond(format!("list {level}")).await? {
            return Ok(Vec::new());
        }
        let mut files = self.files.list(level, from).await?;
        if self.untagged {
            files.iter_mut().for_each(|file| file.version = None);
        }
        Ok(files)
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let one_less = |misses: u32| misses.checked_sub(1);
        let is_there = self.respond(format!("read {level} {name}")).await?;
        if !is_there || self.misses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return Err(StoreError::new(StoreErrorKind::NotFound, "memory://flaky", "there is no such file"));
        }
        if self.until_rewritten.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) == Ok(1) {
            self.rewrite().await;
        }
        self.files.read(level, name, range, expected).await
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://flaky")
    }
}
