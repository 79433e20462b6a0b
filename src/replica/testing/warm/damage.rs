//! Wrong and damaged pages in the cache directory.

use super::hydration::{after, folder};
use super::*;
use crate::ltx::verify;
use crate::pread::{read_exact_at, write_all_at};
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::time::SystemTime;

/// The page that is damaged.
const DAMAGED: u32 = 100;

/// Where that page begins in a file of slots.
const SLOT: u64 = 4096 + 99 * 512;

/// Opens the only file of slots.
fn slots(replica: &SharedReplicaFiles) -> File {
    let entries = std::fs::read_dir(folder(replica)).expect("a folder").map(|entry| entry.expect("an entry").path());
    let pages: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().contains(".p-")).collect();
    assert_eq!(pages.len(), 1, "{pages:?}");
    OpenOptions::new().read(true).write(true).open(&pages[0]).expect("a file")
}

/// Hydrates, which fetches pages of the snapshot only. Then another process finds every page without the store.
async fn is_hydrated_from_the_snapshot(replica: &SharedReplicaFiles, one: &Arc<Replica>) {
    replica.store.take_requests();
    assert!(after(10 * SECOND, one).await.0.is_complete);
    let (requests, of_file) = (replica.store.take_requests(), format!("read 9 {}", name(1, 5)));
    assert!(!requests.is_empty() && requests.iter().all(|request| *request == of_file), "{requests:?}");
    replica.is_read_without_the_store(8).await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_page_is_fetched_again() {
    let replica = SharedReplicaFiles::up_to(8);
    let first = replica.opened().await;
    assert!(after(10 * SECOND, &first).await.0.is_complete);
    drop(first);
    let (file, mut byte) = (slots(&replica), [0]);
    read_exact_at(&file, &mut byte, SLOT + 7).expect("a byte");
    write_all_at(&file, &[byte[0] ^ 1], SLOT + 7).expect("a byte");
    let second = replica.opened().await;
    is_hydrated_from_the_snapshot(&replica, &second).await;
}

/// The trailer was written after those of the evicted pages were emptied, and before the pages were punched out.
#[tokio::test(start_paused = true)]
async fn a_page_whose_trailer_outlived_an_eviction_is_fetched_again() {
    let replica = SharedReplicaFiles::up_to(8);
    let one = replica.opened().await;
    assert!(after(10 * SECOND, &one).await.0.is_complete);
    write_all_at(&slots(&replica), &[0; 512], SLOT).expect("a page");
    assert_eq!(after(10 * SECOND, &one).await.0.present, PAGES, "nothing tells that it is damaged");
    let lock = folder(&replica).parent().expect("the folder of all replicas").join("lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(lock).expect("a file");
    lock.set_modified(SystemTime::UNIX_EPOCH + SECOND).expect("it is the time of an eviction");
    is_hydrated_from_the_snapshot(&replica, &one).await;
}

/// The content of the damaged page in the first snapshot of [`with_damaged_snapshot`].
fn wrong() -> Vec<u8> {
    let mut page = content(DAMAGED, 1, 0);
    page[511] ^= 1;
    page
}

/// A replica of 8 transactions whose snapshot has a page that is wrong and can be decoded.
fn with_damaged_snapshot() -> SharedReplicaFiles {
    let replica = SharedReplicaFiles::up_to(8);
    let snapshot = replica.store.files.get(Level::SNAPSHOT, name(1, 5)).expect("the snapshot");
    let entries = verify(&snapshot).expect("it is sound").entries;
    let frame = entries.iter().find(|entry| entry.pgno == DAMAGED).expect("its page").range();
    let mut damaged = snapshot.to_vec();
    // A block ends with the last bytes of its page.
    damaged[frame.end as usize - 1] ^= 1;
    replica.store.files.insert(Level::SNAPSHOT, name(1, 5), damaged);
    replica
}

/// Fetches one page of the snapshot, and has a sound snapshot replace it. Returns the process.
async fn carried_to_a_sound_snapshot(replica: &SharedReplicaFiles) -> Arc<Replica> {
    let one = replica.opened().await;
    let view = one.head().expect("a view");
    assert!(matches!(one.fetcher.hydrate(&view, &[DAMAGED]).await, Ok(1)));
    replica.write(Level::SNAPSHOT, 1, 8);
    replica.remove(Level::SNAPSHOT, 1, 5);
    one.follower.set_outdated();
    one.poll(Duration::ZERO).await.expect("a view");
    let view = one.head().expect("a view");
    assert!(view.files().all(|file| file.name == name(1, 8) && !file.integrity.is_verified()));
    assert!(one.fetcher.is_kept(view.file_of(DAMAGED).expect("its file"), DAMAGED), "it is carried over");
    one
}

#[tokio::test(start_paused = true)]
async fn a_wrong_page_that_was_carried_over_is_found_when_the_file_is_verified() {
    let replica = with_damaged_snapshot();
    let one = carried_to_a_sound_snapshot(&replica).await;
    let view = one.head().expect("a view");
    assert_eq!(*one.fetcher.peek(&view, DAMAGED).expect("it is cached"), *wrong());
    for pgno in (1..=PAGES).filter(|pgno| *pgno != DAMAGED) {
        // Those that are read after the page is found fail.
        let _ = one.page(&view, pgno, &Prefetcher::new()).await;
    }
    tokio::time::sleep(60 * SECOND).await;
    assert!(view.is_spoiled());
    let error = one.page(&view, DAMAGED, &Prefetcher::new()).await.expect_err("a transaction may have read it");
    assert_eq!(error.kind(), ErrorKind::Damaged);
    // The next transaction has another view, so that SQLite discards its cached pages.
    let next = one.head().expect("a view");
    assert!(next.counter() != view.counter() && next.is_verified());
    replica.read(&one, 8).await;
    let other = replica.opened().await;
    replica.read(&other, 8).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_read_whole_removes_wrong_pages_of_it_from_the_directory() {
    for is_damaged in [false, true] {
        let replica = if is_damaged { with_damaged_snapshot() } else { SharedReplicaFiles::up_to(8) };
        drop(carried_to_a_sound_snapshot(&replica).await);
        let other = replica.opened().await;
        let view = other.head().expect("a view");
        let file = view.file_of(DAMAGED).expect("its file");
        assert!(other.fetcher.is_intact(file, DAMAGED), "it is plausible");
        other.files.loader.check_whole(file).await.expect("a sound file");
        assert_eq!(other.fetcher.is_kept(file, DAMAGED), !is_damaged);
        replica.read(&other, 8).await;
    }
}
