//! A store for tests that answers after a round trip, stops answering, fails, or leaves versions out of its listings.

use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::store::{Chunk, Listed, Memory, Store, StoreError, StoreErrorKind, Version};
use async_trait::async_trait;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long an answer takes.
pub(in crate::replica) const ROUND_TRIP: Duration = Duration::from_millis(20);

/// After this a request without an answer fails, as in every store.
pub(in crate::replica) const DEADLINE: Duration = Duration::from_secs(10);

/// How the store is doing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::replica) enum Mood {
    #[default]
    Well,
    /// No request gets an answer.
    Hanging,
    /// Every request fails at once.
    Down,
    /// Nothing is there.
    Vanished,
}

/// Files in memory, behind a connection.
#[derive(Default, Debug)]
pub(in crate::replica) struct Flaky {
    pub files: Memory,
    pub mood: Mutex<Mood>,
    /// Listings do not tell versions.
    pub untagged: bool,
    requests: Mutex<Vec<String>>,
}

impl Flaky {
    pub fn new(untagged: bool) -> Arc<Flaky> {
        Arc::new(Flaky { untagged, ..Flaky::default() })
    }

    pub fn is(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    /// What was asked for since the last call of this: `list 0`, `read 0 <name>`.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock())
    }

    /// Notes a request and waits for what becomes of it. Answers whether the files are there.
    async fn answer(&self, request: String) -> Result<bool, StoreError> {
        self.requests.lock().push(request);
        let (started, mood) = (Instant::now(), || *self.mood.lock());
        sleep(ROUND_TRIP).await;
        while mood() == Mood::Hanging && started.elapsed() < DEADLINE {
            sleep(ROUND_TRIP).await;
        }
        match mood() {
            Mood::Well => Ok(true),
            Mood::Vanished => Ok(false),
            Mood::Hanging => {
                Err(StoreError::new(StoreErrorKind::Unreachable, "memory://flaky", "it did not answer in time"))
            }
            Mood::Down => Err(StoreError::new(StoreErrorKind::Unreachable, "memory://flaky", "it is down")),
        }
    }
}

#[async_trait]
impl Store for Flaky {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        if !self.answer(format!("list {level}")).await? {
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
        if !self.answer(format!("read {level} {name}")).await? {
            return Err(StoreError::new(StoreErrorKind::NotFound, "memory://flaky", "there is no such file"));
        }
        self.files.read(level, name, range, expected).await
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://flaky")
    }
}
