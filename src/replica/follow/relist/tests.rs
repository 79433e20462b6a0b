use super::*;
use crate::ltx::{self, Encoder, FileName, Form, Header};
use crate::replica::testing::one_page::{file, name, of_two, written};
use crate::replica::{CacheLimits, Replica};
use crate::store::{Chunk, Memory, Store, Version};
use async_trait::async_trait;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

/// A store that can return an outdated listing, or one whose snapshots have vanished by the time they are read.
#[derive(Debug, Default)]
struct Forgetful {
    now: Memory,
    before: Memory,
    lists_before: AtomicBool,
    /// How many reads of snapshots find no file.
    misses: AtomicU32,
}

#[async_trait]
impl Store for Forgetful {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, crate::store::StoreError> {
        let listed = if self.lists_before.load(Ordering::Relaxed) { &self.before } else { &self.now };
        listed.list(level, from).await
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, crate::store::StoreError> {
        let one_less = |misses: u32| misses.checked_sub(1);
        let misses = || self.misses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
        if level == Level::SNAPSHOT && misses() {
            return Err(crate::store::StoreError::missing("memory://forgetful"));
        }
        self.now.read(level, name, range, expected).await
    }
}

impl fmt::Display for Forgetful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://forgetful")
    }
}

/// Three stale listings in a row once replaced a view by an older one (seed 3434 of the simulation).
#[tokio::test(start_paused = true)]
async fn stale_listings_do_not_move_the_view_back_while_its_file_exists() {
    let store = Arc::new(Forgetful::default());
    for txid in 1..=4 {
        store.now.insert(Level::ZERO, name(txid), file(txid));
        if txid < 3 {
            store.before.insert(Level::ZERO, name(txid), file(txid));
        }
    }
    let replica = Arc::new(Replica::new(store.clone(), CacheLimits { memory: 0, disk: 0 }, Duration::from_secs(1)));
    let txid = || replica.head().map(|view| view.txid());
    replica.poll(Duration::ZERO).await.expect("a view");
    assert_eq!(txid(), Some(Txid(4)));
    store.lists_before.store(true, Ordering::Relaxed);
    for _ in 0..50 {
        replica.poll(Duration::ZERO).await.expect("a poll");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(txid(), Some(Txid(4)));
    }
}

/// Polls, and compares the TXID of the newest state and the bytes of which its pages consist.
async fn follow_to(replica: &Arc<Replica>, txid: Txid, bytes: [u8; 2]) {
    replica.poll(Duration::ZERO).await.expect("a view");
    let view = replica.head().expect("a view");
    assert_eq!(view.txid(), txid);
    for (pgno, byte) in (1..).zip(bytes) {
        let page = replica.pages.page(&view, pgno).await.expect("a page").expect("a page of the view");
        assert_eq!(page[..], [byte; 512], "page {pgno}");
    }
}

/// A reader that was away as well has read the file of a suspended writer, which then ended before it withdrew the file.
#[tokio::test(start_paused = true)]
async fn no_page_of_a_file_that_lost_stays_when_compacted_files_follow() {
    for memory in [0, 1 << 20] {
        let store = Arc::new(Memory::new());
        let replica = Arc::new(Replica::new(store.clone(), CacheLimits { memory, disk: 0 }, Duration::from_secs(1)));
        store.insert(Level::ZERO, name(1), of_two(1, 1));
        replica.poll(Duration::ZERO).await.expect("a view");
        // The other writer's transaction 2 did not change page 2.
        let header = Header::parse(&written(2, 2, 2, 2, 1)).expect("a header");
        let mut lost = Encoder::new(Header { node_id: 1, ..header }, Form::Block);
        (1..=2).for_each(|pgno| lost.page(pgno, &[102; 512]));
        store.insert(Level::ZERO, name(2), lost.finish());
        replica.poll(Duration::ZERO).await.expect("a view");
        let compacted = FileName { min: Txid(1), max: Txid(2) };
        let header = Header::parse(&of_two(1, 2)[..Header::SIZE]).expect("a header");
        let mut encoder = Encoder::new(header, Form::Block);
        encoder.page(1, &[102; 512]);
        encoder.page(2, &[101; 512]);
        store.insert(Level::FIRST_COMPACTED, compacted, encoder.finish());
        store.insert(Level::FIRST_COMPACTED, FileName { min: Txid(3), max: Txid(4) }, of_two(3, 4));
        store.insert(Level::ZERO, name(4), of_two(4, 4));
        tokio::time::advance(Duration::from_secs(60)).await;
        follow_to(&replica, Txid(4), [104, 101]).await;
    }
}

/// A suspended writer has created the file of transaction 2, whose name was free again, after another one was compacted.
#[tokio::test(start_paused = true)]
async fn a_file_that_the_next_one_contradicts_is_not_part_of_the_state() {
    let after = |txid: u64, previous: &[u8], pages: &[(u32, u8)]| {
        let previous = ltx::verify(previous).expect("a correct file").trailer.file_checksum;
        let header = Header::parse(&of_two(txid, txid)).expect("a header");
        let header = Header { wal_offset: 32, wal_size: 0, wal_salt: [0, 0], node_id: 1, previous, ..header };
        let mut encoder = Encoder::new(header, Form::Block);
        pages.iter().for_each(|(pgno, byte)| encoder.page(*pgno, &[*byte; 512]));
        encoder.finish()
    };
    let first = of_two(1, 1);
    let second = after(2, &first, &[(1, 2), (2, 2)]);
    for (is_relisted, memory) in [(false, 0), (true, 0), (false, 1 << 20), (true, 1 << 20)] {
        let store = Arc::new(Memory::new());
        let limits = CacheLimits { memory, disk: 0 };
        let replica = Arc::new(Replica::new(store.clone(), limits, Duration::from_secs(1)));
        store.insert(Level::ZERO, name(1), first.clone());
        replica.poll(Duration::ZERO).await.expect("a view");
        store.insert(Level::ZERO, name(2), after(2, &first, &[(1, 9)]));
        store.insert(Level::ZERO, name(3), after(3, &second, &[(1, 3)]));
        let mut compacted = Encoder::new(Header::parse(&of_two(1, 2)).expect("a header"), Form::Block);
        (1..=2).for_each(|pgno| compacted.page(pgno, &[2; 512]));
        store.insert(Level::FIRST_COMPACTED, FileName { min: Txid(1), max: Txid(2) }, compacted.finish());
        if is_relisted {
            tokio::time::advance(Duration::from_secs(60)).await;
        }
        follow_to(&replica, Txid(3), [3, 2]).await;
    }
}

/// If every poll was late, each of them once led to a listing, and none requested the next file.
#[tokio::test(start_paused = true)]
async fn late_polls_request_the_next_file_too() {
    let store = Arc::new(Forgetful::default());
    for txid in 1..=2 {
        store.now.insert(Level::ZERO, name(txid), file(txid));
        store.before.insert(Level::ZERO, name(txid), file(txid));
    }
    let interval = Duration::from_millis(50);
    let replica = Arc::new(Replica::new(store.clone(), CacheLimits { memory: 0, disk: 0 }, interval));
    replica.poll(Duration::ZERO).await.expect("a view");
    store.lists_before.store(true, Ordering::Relaxed);
    (3..=4).for_each(|txid| store.now.insert(Level::ZERO, name(txid), file(txid)));
    for _ in 0..20 {
        tokio::time::advance(interval * 20).await;
        replica.follower.take_turn().await.expect("a poll");
    }
    assert_eq!(replica.head().map(|view| view.txid()), Some(Txid(4)));
}

/// After such a failure, the view was once confirmed with the files that have vanished.
#[tokio::test(start_paused = true)]
async fn a_view_whose_files_have_vanished_is_built_from_others_although_the_first_plans_fail() {
    // More misses than one poll has listings let it fail.
    for misses in [1, 4, 5, 7] {
        let store = Arc::new(Forgetful::default());
        (1..=2).for_each(|txid| store.now.insert(Level::ZERO, name(txid), of_two(txid, txid)));
        let replica = Arc::new(Replica::new(store.clone(), CacheLimits { memory: 0, disk: 0 }, Duration::from_secs(1)));
        replica.poll(Duration::ZERO).await.expect("a view");
        let snapshot = FileName { min: Txid(1), max: Txid(2) };
        store.now.insert(Level::SNAPSHOT, snapshot, of_two(1, 2));
        store.misses.store(misses, Ordering::Relaxed);
        replica.follower.set_outdated();
        let is_renewed = || replica.head().is_some_and(|view| view.files().all(|file| file.name == snapshot));
        let mut polls = 1;
        assert_eq!(replica.poll(Duration::ZERO).await.is_err(), misses >= 5);
        while !is_renewed() {
            assert!(polls < 10, "{misses} misses");
            tokio::time::advance(Duration::from_secs(1)).await;
            let _ = replica.poll(Duration::ZERO).await;
            polls += 1;
        }
        assert_eq!(polls > 1, misses >= 5, "{misses} misses, {polls} polls");
    }
}
