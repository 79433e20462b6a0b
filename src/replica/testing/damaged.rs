//! Wrong bytes in the store or in responses are detected, and not returned once they are.

use crate::error::ErrorKind;
use crate::ltx::{FileName, Level, LtxError, Txid};
#[cfg(unix)]
use crate::replica::cache::persistent::CacheDirectory;
#[cfg(unix)]
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::prefetch::Prefetcher;
use crate::replica::testing::noisy::{Noisy, PAGES, content_at, file, frame, literal};
use crate::replica::{CacheLimits, Replica, View};
use std::sync::Arc;
use std::time::Duration;

const SNAPSHOT: Level = Level::SNAPSHOT;

fn name(min: u64, max: u64) -> FileName {
    FileName { min: Txid(min), max: Txid(max) }
}

fn level(number: u8) -> Level {
    Level::new(number).expect("a level")
}

/// Returns a store with some files, and a replica that reads it.
fn replica(files: &[(Level, FileName)]) -> (Arc<Noisy>, Arc<Replica>) {
    let store = Arc::new(Noisy::default());
    files.iter().for_each(|(level, name)| store.insert(*level, *name));
    let replica = another(&store);
    (store, replica)
}

fn another(store: &Arc<Noisy>) -> Arc<Replica> {
    Arc::new(Replica::new(store.clone(), CacheLimits { memory: 64 << 20, disk: 0 }, Duration::from_secs(1)))
}

/// The result of reading some pages: those with wrong content, and those that failed.
#[derive(Default, Debug, PartialEq, Eq)]
struct Read {
    wrong: Vec<u32>,
    failed: Vec<u32>,
}

async fn read(replica: &Arc<Replica>, view: &Arc<View>, pages: impl IntoIterator<Item = u32>) -> Read {
    let (mut read, prefetcher) = (Read::default(), Prefetcher::new());
    for pgno in pages {
        let page = match replica.fetcher.cached(view, pgno) {
            Some(page) => Ok(Some(page)),
            None => replica.page(view, pgno, &prefetcher).await,
        };
        match page {
            Ok(Some(page)) if *page == *content_at(pgno, view.txid().0) => {}
            Ok(page) => {
                assert!(page.is_some(), "page {pgno} is missing");
                read.wrong.push(pgno);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
                read.failed.push(pgno);
            }
        }
    }
    read
}

async fn poll(replica: &Arc<Replica>) -> Result<Arc<View>, crate::error::Error> {
    // The result of a failed poll is returned again for a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    replica.poll(Duration::ZERO).await?;
    Ok(replica.head().expect("a view"))
}

const ALL_RIGHT: Read = Read { wrong: Vec::new(), failed: Vec::new() };

/// Waits until background tasks have finished.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// Returns all pages of the database in a scattered order.
fn shuffled() -> impl Iterator<Item = u32> {
    (0..PAGES).map(|position| position * 7919 % PAGES + 1)
}

#[tokio::test(start_paused = true)]
async fn a_file_is_verified_once_all_its_pages_were_read_in_any_order() {
    let (_, replica) = replica(&[(SNAPSHOT, name(1, 1)), (level(1), name(2, 3))]);
    let view = poll(&replica).await.expect("a view");
    let verified = |view: &View| view.files().map(|file| file.integrity.is_verified()).collect::<Vec<_>>();
    assert_eq!(verified(&view), [false, false]);
    // Reading page 1 also reads the ends of the files.
    assert_eq!(read(&replica, &view, shuffled().take(600)).await, ALL_RIGHT);
    settle().await;
    assert_eq!(read(&replica, &view, shuffled()).await, ALL_RIGHT);
    settle().await;
    // More than half of the pages are in the second file, so the rest of the snapshot is not read to verify it.
    assert_eq!(verified(&view), [false, true]);
}

#[tokio::test(start_paused = true)]
async fn the_few_unread_pages_of_a_file_are_fetched_to_verify_it() {
    let (_, replica) = replica(&[(SNAPSHOT, name(1, 1)), (level(1), name(20, 20))]);
    let view = poll(&replica).await;
    assert!(view.is_err() || replica.head().is_some_and(|view| view.txid() == Txid(1)), "a hole");
    let (store, replica) = self::replica(&[(SNAPSHOT, name(1, 19)), (level(1), name(20, 20))]);
    let view = poll(&replica).await.expect("a view");
    let reads = replica.files.store.counts();
    assert_eq!(read(&replica, &view, shuffled()).await, ALL_RIGHT);
    settle().await;
    assert!(view.files().all(|file| file.integrity.is_verified()));
    let size = file(name(1, 19)).len() as u64 + file(name(20, 20)).len() as u64;
    assert!(replica.files.store.counts().bytes - reads.bytes <= size * 9 / 8);

    // Damage in a page that no reader needs fails no read, but the file is not trusted.
    store.damage(SNAPSHOT, name(1, 19), literal(name(1, 19), 20));
    let replica = another(&store);
    let view = poll(&replica).await.expect("a view");
    assert_eq!(read(&replica, &view, shuffled()).await.wrong, ALL_RIGHT.wrong);
    settle().await;
    assert!(view.is_spoiled());
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_that_decodes_is_detected_by_a_full_scan() {
    let (store, _) = replica(&[(SNAPSHOT, name(1, 1))]);
    for pgno in [1, 7, 700, PAGES] {
        store.damage(SNAPSHOT, name(1, 1), literal(name(1, 1), pgno));
        for order in [shuffled().collect::<Vec<_>>(), (1..=PAGES).collect(), (1..=PAGES).rev().collect()] {
            let replica = another(&store);
            let view = poll(&replica).await.expect("a view");
            let first = read(&replica, &view, order.iter().copied()).await;
            settle().await;
            assert!(view.is_spoiled(), "{first:?}");
            // From now on every read of the file fails, and the error contains the cause.
            let all = read(&replica, &view, 1..=PAGES).await;
            assert_eq!((all.wrong, all.failed.len()), (Vec::new(), PAGES as usize));
            let error = another(&store).page(&view, 1, &Prefetcher::new()).await.expect_err("spoiled").to_string();
            assert!(error.contains(&name(1, 1).to_string()) && error.contains("checksum"), "{error}");
            let after = poll(&replica).await.expect("the view stays");
            assert_eq!(read(&replica, &after, 1..=PAGES).await.wrong, ALL_RIGHT.wrong);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_used_again_after_a_transport_error() {
    let (store, replica) = replica(&[(SNAPSHOT, name(1, 1))]);
    let view = poll(&replica).await.expect("a view");
    let at = literal(name(1, 1), 700);
    store.flip(name(1, 1), at, 1);
    let first = read(&replica, &view, shuffled()).await;
    assert!(!first.wrong.is_empty() || !first.failed.is_empty());
    settle().await;
    assert!(!read(&replica, &view, [700]).await.failed.is_empty(), "the transaction must fail");
    // The next transaction has another view, so that SQLite discards its cached pages.
    let next = replica.head().expect("a view");
    assert_ne!(next.counter(), view.counter());
    assert_eq!(read(&replica, &next, shuffled()).await, ALL_RIGHT);
    assert!(next.files().all(|file| file.integrity.is_verified()));
}

/// SQLite may have cached a wrong page, and keeps it as long as the counter stays the same.
#[tokio::test(start_paused = true)]
async fn a_state_shows_another_counter_once_wrong_bytes_were_read_of_it() {
    let (store, replica) = replica(&[(SNAPSHOT, name(1, 19)), (level(1), name(20, 20))]);
    let view = poll(&replica).await.expect("a view");
    let before = view.counter();
    store.flip(name(1, 19), literal(name(1, 19), 701), 1);
    assert_eq!(read(&replica, &view, [701]).await.wrong, [701]);
    assert_eq!(view.counter(), before, "nobody knows yet");
    read(&replica, &view, shuffled().filter(|pgno| pgno % 20 != 0).take(1300)).await;
    settle().await;
    assert!(view.is_spoiled());
    let after = view.counter();
    assert!(after != before && after == view.counter(), "{before}, {after}, {}", view.counter());
    assert_eq!(read(&replica, &view, [701]).await.failed, [701]);
    let next = replica.head().expect("a view");
    assert!(![before, after].contains(&next.counter()));
    assert_eq!(read(&replica, &next, 1..=PAGES).await, ALL_RIGHT);
}

/// The states have the same pages, but SQLite may have read wrong ones under the number that they share.
#[tokio::test(start_paused = true)]
async fn the_counter_changes_with_every_file_of_which_wrong_bytes_are_found_also_of_an_earlier_view() {
    let (store, replica) = replica(&[(SNAPSHOT, name(1, 1)), (level(2), name(2, 3))]);
    let first = poll(&replica).await.expect("a view");
    store.insert(SNAPSHOT, name(1, 3));
    replica.follower.set_outdated();
    let second = poll(&replica).await.expect("a view");
    assert!(first.counter() == second.counter() && second.files().count() == 1);
    let mut counters = vec![second.counter()];
    for file in first.files().chain(second.files()) {
        file.integrity.spoil(LtxError::PageDiffers(1));
        let counter = second.counter();
        assert!(!counters.contains(&counter) && second.counter() == counter, "{counters:?}, {counter}");
        counters.push(counter);
    }
    assert_eq!((first.spoiled_files(), second.spoiled_files(), counters.len()), (2, 3, 4));
}

/// A page that is fetched again after its eviction is compared with the first fetch.
#[tokio::test(start_paused = true)]
async fn a_page_that_is_fetched_again_with_other_bytes_is_detected() {
    let (store, _) = replica(&[(SNAPSHOT, name(1, 1))]);
    let cache = CacheLimits { memory: 32 << 10, disk: 0 };
    let replica = Arc::new(Replica::new(store.clone(), cache, Duration::from_secs(1)));
    let view = poll(&replica).await.expect("a view");
    assert_eq!(read(&replica, &view, 1..=PAGES).await, ALL_RIGHT);
    settle().await;
    store.flip(name(1, 1), literal(name(1, 1), 700), 1);
    let again = read(&replica, &view, 600..=800).await;
    assert_eq!(again.wrong, ALL_RIGHT.wrong);
    assert!(again.failed.contains(&700));
    let next = replica.head().expect("a view");
    assert_eq!(read(&replica, &next, 1..=PAGES).await, ALL_RIGHT);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_be_decoded_is_requested_a_second_time() {
    let (store, replica) = replica(&[(SNAPSHOT, name(1, 1))]);
    let view = poll(&replica).await.expect("a view");
    // The page number at the beginning of the frame.
    let at = frame(name(1, 1), 700).start;
    store.flip(name(1, 1), at, 1);
    assert_eq!(read(&replica, &view, [700]).await, ALL_RIGHT);
    let replica = another(&store);
    let view = poll(&replica).await.expect("a view");
    store.flip(name(1, 1), at, 2);
    assert_eq!(read(&replica, &view, [700]).await.failed, [700]);
    assert_eq!(read(&replica, &view, 1..=PAGES).await, ALL_RIGHT, "the third response is right");
}

/// An implausible page is requested a second time and then accepted, so that SQLite decides.
#[tokio::test(start_paused = true)]
async fn an_implausible_page_is_requested_a_second_time() {
    let (store, replica) = replica(&[(SNAPSHOT, name(1, 1))]);
    let view = poll(&replica).await.expect("a view");
    // The second byte of the content, after the frame header and the token of the block.
    let (bytes, content) = (file(name(1, 1)), content_at(700, 1));
    let at = frame(name(1, 1), 700).find(|at| bytes[*at..].starts_with(&content[..8])).expect("literals");
    store.flip(name(1, 1), at + 1, 1);
    assert_eq!(read(&replica, &view, [700]).await, ALL_RIGHT);
    settle().await;
    assert_eq!(read(&replica, &view, 1..=PAGES).await, ALL_RIGHT);
    assert!(view.files().all(|file| file.integrity.is_verified()));
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn an_implausible_page_is_hydrated_from_a_second_response() {
    let (store, directory) = (Arc::new(Noisy::default()), tempfile::tempdir().expect("a directory"));
    store.insert(SNAPSHOT, name(1, 1));
    let cache = CacheDirectory::open(&directory.path().join("cache"), "damaged", 1 << 30).expect("a directory");
    let (limits, second) = (CacheLimits { memory: 1 << 20, disk: 1 << 30 }, Duration::from_secs(1));
    let replica = Replica::with(store.clone(), limits, second, FetchSizes::USUAL, Some(Arc::new(cache)));
    let replica = Arc::new(replica);
    let view = poll(&replica).await.expect("a view");
    let (bytes, content) = (file(name(1, 1)), content_at(700, 1));
    let at = frame(name(1, 1), 700).find(|at| bytes[*at..].starts_with(&content[..8])).expect("literals");
    store.flip(name(1, 1), at + 1, 1);
    let task = tokio::spawn(replica.hydration.clone().run_forever());
    settle().await;
    task.abort();
    assert!(store.has_flipped() && replica.hydration.progress().is_complete);
    assert_eq!(read(&replica, &view, 1..=PAGES).await, ALL_RIGHT);
}

/// The index of a file is read together with the pages before it.
#[tokio::test(start_paused = true)]
async fn an_implausible_page_that_was_read_with_the_index_is_requested_a_second_time() {
    let (store, replica) = replica(&[(SNAPSHOT, name(1, 1))]);
    let (bytes, content) = (file(name(1, 1)), content_at(PAGES, 1));
    let at = frame(name(1, 1), PAGES).find(|at| bytes[*at..].starts_with(&content[..8])).expect("literals");
    store.flip(name(1, 1), at + 1, 1);
    let view = poll(&replica).await.expect("a view");
    assert!(store.has_flipped(), "the page was read with the index");
    assert_eq!(read(&replica, &view, [PAGES]).await, ALL_RIGHT);
    assert_eq!(read(&replica, &view, 1..=PAGES).await, ALL_RIGHT);
}

/// A damaged file is replaced by others that lead to the same state.
#[tokio::test(start_paused = true)]
async fn other_files_replace_a_damaged_one() {
    let files = [(SNAPSHOT, name(1, 4)), (level(2), name(1, 3)), (level(1), name(4, 4)), (level(1), name(5, 6))];
    // A truncated file is detected when it is opened; a flipped bit in a page only when the page is read.
    for damaged in [(SNAPSHOT, name(1, 4)), (level(2), name(1, 3))] {
        let (store, replica) = replica(&files);
        let whole = file(damaged.1);
        store.files.insert(damaged.0, damaged.1, whole[..whole.len() / 2].to_vec());
        let view = poll(&replica).await.expect("other files lead there");
        assert_eq!(view.txid(), Txid(6));
        assert_eq!(read(&replica, &view, 1..=PAGES).await, ALL_RIGHT);
        let message = replica.health.last_error().map(|(text, _)| text);
        let is_needed = damaged.0 == SNAPSHOT;
        assert_eq!(message.is_some(), is_needed, "{message:?}");
        assert!(
            message.is_none_or(|message| message.contains(&damaged.1.to_string()) && message.contains("is damaged"))
        );
    }
    // No other files lead to the newest state: this is an error, and no older state is published.
    let (store, replica) = replica(&files);
    store.files.insert(level(1), name(5, 6), file(name(5, 6))[..300].to_vec());
    let error = poll(&replica).await.expect_err("damage");
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains(&name(5, 6).to_string()), "{error}");
    assert!(replica.head().is_none());
    let then = replica.view_of(crate::config::Target::Txid(Txid(4))).await.expect("it is whole");
    assert_eq!(read(&replica, &then.expect("a view"), 1..=PAGES).await, ALL_RIGHT);
    let error = replica.view_of(crate::config::Target::Txid(Txid(6))).await.expect_err("damage");
    assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains(&name(5, 6).to_string()), "{error}");
}

/// If damage is detected while a file is in use, the page is read from another file, and the next view has other files.
#[tokio::test(start_paused = true)]
async fn a_damaged_page_is_read_from_another_file_and_the_next_view_replaces_the_file() {
    let files = [(SNAPSHOT, name(1, 19)), (level(2), name(1, 10)), (level(1), name(11, 19)), (level(1), name(20, 21))];
    let (store, replica) = replica(&files);
    store.damage(SNAPSHOT, name(1, 19), frame(name(1, 19), 703).start);
    let view = poll(&replica).await.expect("a view");
    assert_eq!(read(&replica, &view, 1..=PAGES).await, ALL_RIGHT);
    poll(&replica).await.expect("a view");
    let next = replica.head().expect("a view");
    assert!(next.files().all(|file| file.level != SNAPSHOT), "the view does not use the damaged file");

    let (store, replica) = self::replica(&files);
    store.damage(SNAPSHOT, name(1, 19), literal(name(1, 19), 703));
    let view = poll(&replica).await.expect("a view");
    read(&replica, &view, 1..=PAGES).await;
    settle().await;
    assert!(!read(&replica, &view, [703]).await.failed.is_empty());
    let next = replica.head().expect("a view");
    assert!(next.counter() != view.counter() && next.txid() == Txid(21));
    assert_eq!(read(&replica, &next, 1..=PAGES).await, ALL_RIGHT);
    let (message, _) = replica.health.last_error().expect("an error");
    assert!(message.contains(&name(1, 19).to_string()) && message.ends_with("from other files"), "{message}");
}

/// With `verify`, every file is read completely before it is used.
#[tokio::test(start_paused = true)]
async fn with_verify_no_flipped_bit_is_returned() {
    let (store, _) = replica(&[(SNAPSHOT, name(1, 1)), (level(1), name(2, 3))]);
    for (level, name, pgno) in [(SNAPSHOT, name(1, 1), 701), (level(1), name(2, 3), 702), (level(1), name(2, 3), 1500)]
    {
        let at = literal(name, pgno);
        store.damage(level, name, at);
        let replica = another(&store);
        replica.files.loader.verify(true);
        let error = poll(&replica).await.expect_err("damage");
        assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains(&name.to_string()), "{error}");
        // The result is remembered for a while, so that not every poll reads the file again.
        let before = replica.files.store.counts().bytes;
        assert!(poll(&replica).await.is_err());
        assert!(replica.files.store.counts().bytes - before < 1 << 20, "the ends of two files");
        store.insert(level, name);
        let view = poll(&replica).await.expect("it is repaired");
        assert!(view.files().all(|file| file.integrity.is_verified()));
        assert_eq!(read(&replica, &view, 1..=PAGES).await, ALL_RIGHT);
    }
}

/// The ends of a file are read before the whole file is verified, by other requests.
#[tokio::test(start_paused = true)]
async fn with_verify_pages_that_were_read_with_the_index_are_not_used() {
    let (store, replica) = replica(&[(SNAPSHOT, name(1, 1))]);
    replica.files.loader.verify(true);
    store.flip(name(1, 1), literal(name(1, 1), 2), 1);
    let view = poll(&replica).await.expect("a verified file");
    assert_eq!(read(&replica, &view, 1..=3).await, ALL_RIGHT);
}
