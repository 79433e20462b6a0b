//! Large files with every page, whose index is read in parts.

use crate::error::ErrorKind;
use crate::ltx::{FileName, Level, Txid, index_range, verify};
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::prefetch::Prefetcher;
use crate::replica::testing::noisy::{Noisy, PAGES, content_at, file};
use crate::replica::{CacheLimits, Replica, View};
use std::sync::Arc;
use std::time::Duration;

const SNAPSHOT: (Level, FileName) = (Level::SNAPSHOT, FileName { min: Txid(1), max: Txid(19) });

/// Sizes for an index of 10 KB: about 40 blocks and 20 samples.
const SIZES: FetchSizes =
    FetchSizes { tail: 2000, partial_index: 1000, index_block: 256, index_sample: 500, ..FetchSizes::USUAL };

fn replica(store: &Arc<Noisy>) -> Arc<Replica> {
    let cache = CacheLimits { memory: 64 << 20, disk: 0 };
    Arc::new(Replica::with(store.clone(), cache, Duration::from_secs(1), SIZES, None))
}

fn snapshot() -> Arc<Noisy> {
    let store = Arc::new(Noisy::default());
    store.insert(SNAPSHOT.0, SNAPSHOT.1);
    store
}

async fn open(replica: &Arc<Replica>) -> Arc<View> {
    // The result of a failed poll is returned again for a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    replica.poll(Duration::ZERO).await.expect("a poll");
    replica.head().expect("a view")
}

async fn read(replica: &Arc<Replica>, view: &Arc<View>, pages: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let (mut failed, prefetcher) = (Vec::new(), Prefetcher::new());
    for pgno in pages {
        match replica.page(view, pgno, &prefetcher).await {
            Ok(page) => assert!(*page.expect("a page") == *content_at(pgno, view.txid().0), "page {pgno}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
                failed.push(pgno);
            }
        }
    }
    failed
}

/// Returns the offset in the file of the index entry of a page.
fn entry(pgno: u32) -> usize {
    let bytes = file(SNAPSHOT.1);
    let range = index_range(bytes.len() as u64, &bytes).expect("an index");
    let entries = verify(&bytes).expect("an undamaged file").entries;
    let entry = entries.iter().find(|entry| entry.pgno == pgno).expect("a page");
    let mut number = Vec::new();
    let mut rest = entry.offset;
    while rest >= 0x80 {
        number.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    number.push(rest as u8);
    let index = &bytes[range.start as usize..range.end as usize];
    let at = index.windows(number.len()).position(|bytes| bytes == number).expect("an entry");
    range.start as usize + at
}

fn unlocated(view: &View) -> usize {
    (1..=view.commit()).filter(|pgno| view.is_unlocated(*pgno)).count()
}

#[tokio::test(start_paused = true)]
async fn only_the_needed_parts_of_an_index_are_read() {
    let replica = replica(&snapshot());
    let view = open(&replica).await;
    let before = unlocated(&view);
    assert!(before > PAGES as usize / 2, "{before}");
    assert_eq!(view.files().count(), 1);
    assert!(read(&replica, &view, [700]).await.is_empty());
    let after = unlocated(&view);
    assert!(after < before && after > before - 150, "{before}, then {after}");
    // Another view of the same file shares what is known.
    replica.follower.set_outdated();
    let view = open(&replica).await;
    assert_eq!(unlocated(&view), after);
    assert!(replica.page(&view, PAGES + 1, &Prefetcher::new()).await.expect("no error").is_none());
    // Every page is read, and its content compared, in a scattered order. Then the file has been verified.
    let shuffled = (0..PAGES).map(|position| position * 7919 % PAGES + 1);
    assert!(read(&replica, &view, shuffled).await.is_empty());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(unlocated(&view), 0);
    assert!(view.is_verified());
}

/// Later files change some pages and the size of the database.
#[tokio::test(start_paused = true)]
async fn pages_of_later_files_lie_over_those_of_the_snapshot() {
    let store = snapshot();
    store.insert(Level::new(1).expect("a level"), FileName { min: Txid(20), max: Txid(21) });
    let replica = replica(&store);
    let view = open(&replica).await;
    assert_eq!((view.txid(), view.files().count()), (Txid(21), 2));
    assert!(read(&replica, &view, 1..=PAGES).await.is_empty());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let verified: Vec<bool> = view.files().map(|file| file.integrity.is_verified()).collect();
    assert_eq!(verified, [true, true]);
    // The same files in another listing are the same view, and no part of the index is read again.
    let reads = replica.files.store.counts().reads;
    replica.follower.set_outdated();
    let next = open(&replica).await;
    assert_eq!(next.counter(), view.counter());
    assert_eq!((unlocated(&next), next.base().is_some()), (0, true));
    assert!(replica.files.store.counts().reads - reads <= 6, "the ends of two files");
}

/// A wrong bit in a response is noticed, and the part is requested a second time.
#[tokio::test(start_paused = true)]
async fn a_transport_error_in_the_index_is_not_believed() {
    for pgno in [1, 700, PAGES] {
        let store = snapshot();
        let replica = replica(&store);
        store.flip(SNAPSHOT.1, entry(pgno), 1);
        let view = open(&replica).await;
        assert!(view.base().is_some_and(|(_, index)| index.is_trusted()), "page {pgno}");
        assert!(read(&replica, &view, 1..=PAGES).await.is_empty());
    }
}

/// If the part stays wrong, the whole index is read. That succeeds if the store returns the right bytes then, and the current
/// transaction goes on.
#[tokio::test(start_paused = true)]
async fn the_whole_index_is_read_if_a_part_of_it_is_wrong_twice() {
    let store = snapshot();
    let replica = replica(&store);
    let view = open(&replica).await;
    store.flip(SNAPSHOT.1, entry(700), 2);
    assert!(read(&replica, &view, [700]).await.is_empty());
    let next = open(&replica).await;
    assert!(next.base().is_none() && unlocated(&next) == 0);
    assert!(read(&replica, &next, 1..=PAGES).await.is_empty());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(next.is_verified());
}

/// Also if the ends of the index cannot be proven when the file is opened.
#[tokio::test(start_paused = true)]
async fn the_whole_index_is_read_if_its_ends_are_wrong_twice() {
    let store = snapshot();
    let replica = replica(&store);
    store.flip(SNAPSHOT.1, entry(2), 2);
    let view = open(&replica).await;
    assert!(view.base().is_none() && unlocated(&view) == 0);
    assert!(read(&replica, &view, 1..=PAGES).await.is_empty());
}

/// A damaged index is an error, unless other files give the same state.
#[tokio::test(start_paused = true)]
async fn a_damaged_index_is_replaced_by_other_files() {
    let others = [(2, 1, 10), (1, 11, 19)]
        .map(|(level, min, max)| (Level::new(level).expect("a level"), FileName { min: Txid(min), max: Txid(max) }));
    for has_others in [true, false] {
        let store = Arc::new(Noisy::default());
        store.damage(SNAPSHOT.0, SNAPSHOT.1, entry(700));
        let replica = replica(&store);
        let view = open(&replica).await;
        assert!(view.base().is_some(), "nothing is known of the damage yet");
        if has_others {
            others.iter().for_each(|(level, name)| store.insert(*level, *name));
        }
        assert_eq!(read(&replica, &view, [700]).await, if has_others { vec![] } else { vec![700] });
        assert!(read(&replica, &view, [1, PAGES]).await.is_empty());
        if has_others {
            let next = open(&replica).await;
            assert!(next.files().all(|file| file.level != SNAPSHOT.0));
            assert!(read(&replica, &next, 1..=PAGES).await.is_empty());
        }
    }
}
