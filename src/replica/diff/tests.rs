//! How much of the files between two states is in memory at once.

use crate::config::Target;
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::replica::testing::one_page;
use crate::replica::view::build::IN_FLIGHT;
use crate::replica::{CacheLimits, Replica};
use crate::store::{Chunk, Listed, Memory, Store, StoreError, Version};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A store in memory that counts how many of its responses are kept at once.
#[derive(Default, Debug)]
struct ResponseCounter {
    files: Memory,
    responses: Mutex<Vec<Weak<Bytes>>>,
    /// The maximum so far.
    most: AtomicUsize,
}

/// The bytes of a response. Dropped with the last slice of them.
struct CountedResponse(Arc<Bytes>);

impl AsRef<[u8]> for CountedResponse {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[async_trait]
impl Store for ResponseCounter {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        self.files.list(level, from).await
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let chunk = self.files.read(level, name, range, expected).await?;
        let response = Arc::new(chunk.bytes);
        let mut responses = self.responses.lock();
        responses.retain(|earlier| earlier.strong_count() > 0);
        responses.push(Arc::downgrade(&response));
        self.most.fetch_max(responses.len(), Ordering::Relaxed);
        Ok(Chunk { bytes: Bytes::from_owner(CountedResponse(response)), ..chunk })
    }
}

impl fmt::Display for ResponseCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://counted")
    }
}

#[tokio::test(start_paused = true)]
async fn the_files_between_two_states_are_read_a_few_at_a_time() {
    let store = Arc::new(ResponseCounter::default());
    let last = 4 * IN_FLIGHT as u64;
    (1..=last).for_each(|txid| store.files.insert(Level::ZERO, one_page::name(txid), one_page::file(txid)));
    let replica = Replica::new(store.clone(), CacheLimits { memory: 1 << 20, disk: 0 }, Duration::from_secs(1));
    replica.poll(Duration::ZERO).await.expect("a view");
    let newer = replica.head().expect("a view");
    assert_eq!(newer.txid(), Txid(last));
    let older = replica.view_of(Target::Txid(Txid(1))).await.expect("a view").expect("a past state");
    store.most.store(0, Ordering::Relaxed);
    let written = replica.diff.written_between(&older, &newer).await.expect("files");
    assert_eq!(written, Some(BTreeSet::from([1])));
    // The files of the two views are kept too.
    let most = store.most.load(Ordering::Relaxed);
    assert!((IN_FLIGHT..2 * IN_FLIGHT).contains(&most), "{most}");
}
