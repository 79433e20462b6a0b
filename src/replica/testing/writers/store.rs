//! The store of one writer, over files that all share.

use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::replica::testing::simulation::Random;
use crate::store::{Chunk, Creation, Listed, Memory, ObjectName, Store, StoreError, StoreErrorKind, Version};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::sleep;

#[derive(Debug)]
pub(super) struct Hostile {
    files: Arc<Memory>,
    /// Whether every request succeeds.
    calm: Arc<AtomicBool>,
    random: Mutex<Random>,
}

impl Hostile {
    pub(super) fn new(files: Arc<Memory>, calm: Arc<AtomicBool>, random: Random) -> Hostile {
        Hostile { files, calm, random: Mutex::new(random) }
    }

    fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    fn one_in(&self, chances: u64) -> bool {
        !self.is_calm() && self.random.lock().one_in(chances)
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.lock().below(bound)
    }

    /// Takes the time of a request or a response, which may fail, and in which the process may be suspended for a long time.
    async fn travel(&self) -> Result<(), StoreError> {
        if self.is_calm() {
            return Ok(());
        }
        sleep(Duration::from_millis(self.below(50))).await;
        if self.one_in(80) {
            sleep(Duration::from_secs(self.below(600))).await;
        }
        match self.one_in(15) {
            true => Err(StoreError::new(StoreErrorKind::Unreachable, "memory://hostile", "the connection was cut")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Store for Hostile {
    /// A listing is not one instant: of the files that are created meanwhile, it shows any.
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        self.travel().await?;
        let before = self.files.list(level, from).await?;
        self.travel().await?;
        let mut after = self.files.list(level, from).await?;
        after.retain(|file| before.contains(file) || !self.one_in(2));
        Ok(after)
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        self.travel().await?;
        let mut chunk = self.files.read(level, name, range, expected).await;
        self.travel().await?;
        if self.one_in(100) {
            return Err(StoreError::missing("memory://hostile"));
        }
        if self.one_in(100)
            && let Ok(chunk) = &mut chunk
        {
            chunk.bytes = chunk.bytes.iter().map(|byte| !byte).collect();
        }
        chunk
    }

    async fn create(&self, object: ObjectName, bytes: Bytes) -> Result<Creation, StoreError> {
        if self.one_in(25) {
            // The request is on its way while the client gives up.
            let (files, late, bytes) = (self.files.clone(), Duration::from_millis(self.below(20_000)), bytes.clone());
            tokio::spawn(async move {
                sleep(late).await;
                let _ = files.create(object, bytes).await;
            });
        }
        self.travel().await?;
        if self.one_in(100) {
            return Ok(Creation::Exists);
        }
        let mut created = self.files.create(object, bytes.clone()).await?;
        if self.one_in(20) {
            created = self.files.create(object, bytes).await?;
        }
        self.travel().await?;
        Ok(created)
    }

    async fn delete(&self, object: ObjectName) -> Result<(), StoreError> {
        self.travel().await?;
        self.files.delete(object).await?;
        self.travel().await
    }
}

impl fmt::Display for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://hostile")
    }
}
