//! Bytes that are wrong, in the store or on the way: they are found, and never served where they can be known to be wrong.

use crate::error::ErrorKind;
use crate::lock::Mutex;
use crate::ltx::{Encoder, FileName, Form, Header, Level, Txid, verify};
use crate::replica::prefetch::Prefetcher;
use crate::replica::{CacheLimits, Replica, View};
use crate::store::{Chunk, Listed, Memory, Store, StoreError, Version};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const PAGE_SIZE: usize = 512;
const PAGES: u32 = 1500;

/// Files in memory that are read with flipped bits.
#[derive(Debug, Default)]
struct Noisy {
    files: Memory,
    whole: Mutex<BTreeMap<(Level, FileName), Vec<u8>>>,
    /// A bit of a file that comes flipped, so many times.
    flip: Mutex<Option<(FileName, u64, u32)>>,
}

impl Noisy {
    fn insert(&self, level: Level, name: FileName, file: Vec<u8>) {
        self.files.insert(level, name, file.clone());
        self.whole.lock().insert((level, name), file);
    }

    /// Writes a file with one bit flipped in its place.
    fn damage(&self, level: Level, name: FileName, at: usize) {
        let mut file = self.whole.lock()[&(level, name)].clone();
        file[at] ^= 1;
        self.files.insert(level, name, file);
    }

    /// Flips a bit of some answers to come.
    fn flip(&self, name: FileName, at: u64, times: u32) {
        *self.flip.lock() = Some((name, at, times));
    }

    /// The bytes of a page's frame that only decide what is in the page: the last of them, which are literals.
    fn literal(&self, level: Level, name: FileName, pgno: u32) -> usize {
        let file = self.whole.lock()[&(level, name)].clone();
        let entries = verify(&file).expect("a sound file").entries;
        entries.iter().find(|entry| entry.pgno == pgno).expect("a page").range().end as usize - 20
    }
}

impl fmt::Display for Noisy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://noisy")
    }
}

#[async_trait]
impl Store for Noisy {
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
        let chunk = self.files.read(level, name, range.clone(), expected).await?;
        let mut flip = self.flip.lock();
        match &mut *flip {
            Some((file, at, times)) if *file == name && range.contains(at) && *times > 0 => {
                *times -= 1;
                let mut bytes = chunk.bytes.to_vec();
                bytes[(*at - range.start) as usize] ^= 1;
                Ok(Chunk { bytes: bytes.into(), ..chunk })
            }
            _ => Ok(chunk),
        }
    }
}

const SNAPSHOT: Level = Level::SNAPSHOT;

fn name(min: u64, max: u64) -> FileName {
    FileName { min: Txid(min), max: Txid(max) }
}

fn level(number: u8) -> Level {
    Level::new(number).expect("a level")
}

/// The content of a page after a transaction, which hardly compresses.
fn content(pgno: u32, txid: u64) -> Vec<u8> {
    let mut state = u64::from(pgno) << 32 | txid << 1 | 1;
    let byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let mut page: Vec<u8> = std::iter::repeat_with(byte).take(PAGE_SIZE).collect();
    // As the last page of a long value, or one without tables.
    page[..4].fill(0);
    if pgno == 1 {
        page[32..36].fill(0);
        page[100..112].copy_from_slice(&[13, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
    }
    page
}

/// Transaction *n* writes each page whose number it divides, the first all of them.
fn content_at(pgno: u32, txid: u64) -> Vec<u8> {
    let last = (1..=txid).rev().find(|txid| u64::from(pgno).is_multiple_of(*txid));
    content(pgno, last.expect("the first writes every page"))
}

/// A file of these transactions.
fn file(name: FileName) -> Vec<u8> {
    let mut encoder = Encoder::new(header(name), Form::Block);
    let written = |pgno: &u32| (name.min.0..=name.max.0).any(|txid| u64::from(*pgno).is_multiple_of(txid));
    (1..=PAGES).filter(written).for_each(|pgno| encoder.page(pgno, &content_at(pgno, name.max.0)));
    encoder.finish()
}

fn header(name: FileName) -> Header {
    let page_size = crate::ltx::PageSize::new(PAGE_SIZE as u32).expect("a page size");
    Header {
        flags: Header::NO_CHECKSUMS,
        page_size,
        commit: PAGES,
        min_txid: name.min,
        max_txid: name.max,
        timestamp_ms: 0,
        pre_apply_checksum: 0,
        wal_offset: 0,
        wal_size: 0,
        wal_salt: [0, 0],
        node_id: 0,
    }
}

/// A replica of some files.
fn replica(files: &[(Level, FileName)]) -> (Arc<Noisy>, Arc<Replica>) {
    let store = Arc::new(Noisy::default());
    files.iter().for_each(|(level, name)| store.insert(*level, *name, file(*name)));
    let replica = another(&store);
    (store, replica)
}

fn another(store: &Arc<Noisy>) -> Arc<Replica> {
    Arc::new(Replica::new(store.clone(), CacheLimits { memory: 64 << 20, disk: 0 }, Duration::from_secs(1)))
}

/// What is read of a view: pages that are wrong, and pages that cannot be had.
#[derive(Default, Debug, PartialEq, Eq)]
struct Read {
    wrong: Vec<u32>,
    failed: Vec<u32>,
}

async fn read(replica: &Arc<Replica>, view: &Arc<View>, pages: impl IntoIterator<Item = u32>) -> Read {
    let (mut read, foresight) = (Read::default(), Prefetcher::new());
    for pgno in pages {
        let page = match replica.fetcher.cached(view, pgno) {
            Some(page) => Ok(Some(page)),
            None => replica.page(view, pgno, &foresight).await,
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
    // Until a poll that failed is forgotten.
    tokio::time::sleep(Duration::from_secs(1)).await;
    replica.poll(Duration::ZERO).await?;
    Ok(replica.head().expect("a view"))
}

const WELL: Read = Read { wrong: Vec::new(), failed: Vec::new() };

/// Lets tasks in the background end.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

const LATER: Level = SNAPSHOT;

/// All pages of the database, in an order without order.
fn shuffled() -> impl Iterator<Item = u32> {
    (0..PAGES).map(|turn| turn * 7919 % PAGES + 1)
}

#[tokio::test(start_paused = true)]
async fn a_file_is_verified_once_all_of_its_pages_came_in_any_order() {
    let (_, replica) = replica(&[(SNAPSHOT, name(1, 1)), (level(1), name(2, 3))]);
    let view = poll(&replica).await.expect("a view");
    let verified = |view: &View| view.files().map(|file| file.integrity.is_verified()).collect::<Vec<_>>();
    assert_eq!(verified(&view), [false, false]);
    // Page 1 brings the ends of the files.
    assert_eq!(read(&replica, &view, shuffled().take(600)).await, WELL);
    settle().await;
    assert_eq!(read(&replica, &view, shuffled()).await, WELL);
    settle().await;
    // The second file has over half of the pages: the snapshot is not read whole for the rest.
    assert_eq!(verified(&view), [false, true]);
}

#[tokio::test(start_paused = true)]
async fn the_few_pages_that_nobody_needs_are_fetched_to_verify_a_file() {
    let (_, replica) = replica(&[(SNAPSHOT, name(1, 1)), (level(1), name(20, 20))]);
    let view = poll(&replica).await;
    assert!(view.is_err() || replica.head().is_some_and(|view| view.txid() == Txid(1)), "a hole");
    let (store, replica) = self::replica(&[(SNAPSHOT, name(1, 19)), (level(1), name(20, 20))]);
    let view = poll(&replica).await.expect("a view");
    let reads = replica.files.store.counts();
    assert_eq!(read(&replica, &view, shuffled()).await, WELL);
    settle().await;
    assert!(view.files().all(|file| file.integrity.is_verified()));
    let size = file(name(1, 19)).len() as u64 + file(name(20, 20)).len() as u64;
    assert!(replica.files.store.counts().bytes - reads.bytes <= size * 9 / 8);

    // Damage in a page that no reader needs is no reason to fail, but the file is not believed.
    store.damage(SNAPSHOT, name(1, 19), store.literal(SNAPSHOT, name(1, 19), 20));
    let replica = another(&store);
    let view = poll(&replica).await.expect("a view");
    assert_eq!(read(&replica, &view, shuffled()).await.wrong, WELL.wrong);
    settle().await;
    assert!(view.is_spoiled());
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_that_decodes_is_found_by_a_full_scan() {
    let (store, _) = replica(&[(LATER, name(1, 1))]);
    for pgno in [1, 7, 700, PAGES] {
        store.damage(LATER, name(1, 1), store.literal(LATER, name(1, 1), pgno));
        for order in [shuffled().collect::<Vec<_>>(), (1..=PAGES).collect(), (1..=PAGES).rev().collect()] {
            let replica = another(&store);
            let view = poll(&replica).await.expect("a view");
            let first = read(&replica, &view, order.iter().copied()).await;
            settle().await;
            assert!(view.is_spoiled(), "{first:?}");
            // From now on nothing of it is served, to nobody, and it is said why.
            let all = read(&replica, &view, 1..=PAGES).await;
            assert_eq!((all.wrong, all.failed.len()), (Vec::new(), PAGES as usize));
            let error = another(&store).page(&view, 1, &Prefetcher::new()).await.expect_err("spoiled").to_string();
            assert!(error.contains(&name(1, 1).to_string()) && error.contains("checksum"), "{error}");
            let after = poll(&replica).await.expect("the view stays");
            assert_eq!(read(&replica, &after, 1..=PAGES).await.wrong, WELL.wrong);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_byte_that_was_wrong_on_the_way_condemns_no_file() {
    let (store, replica) = replica(&[(LATER, name(1, 1))]);
    let view = poll(&replica).await.expect("a view");
    let at = store.literal(LATER, name(1, 1), 700) as u64;
    store.flip(name(1, 1), at, 1);
    let first = read(&replica, &view, shuffled()).await;
    assert!(!first.wrong.is_empty() || !first.failed.is_empty());
    settle().await;
    assert!(!read(&replica, &view, [700]).await.failed.is_empty(), "the transaction cannot go on");
    // The next one finds another view, so that SQLite forgets what it has.
    let next = replica.head().expect("a view");
    assert_ne!(next.counter(), view.counter());
    assert_eq!(read(&replica, &next, shuffled()).await, WELL);
    assert!(next.files().all(|file| file.integrity.is_verified()));
}

/// A page that comes again after it left the cache is compared with what came first.
#[tokio::test(start_paused = true)]
async fn a_page_that_comes_again_with_other_bytes_is_found() {
    let (store, _) = replica(&[(LATER, name(1, 1))]);
    let cache = CacheLimits { memory: 32 << 10, disk: 0 };
    let replica = Arc::new(Replica::new(store.clone(), cache, Duration::from_secs(1)));
    let view = poll(&replica).await.expect("a view");
    assert_eq!(read(&replica, &view, 1..=PAGES).await, WELL);
    settle().await;
    store.flip(name(1, 1), store.literal(LATER, name(1, 1), 700) as u64, 1);
    let again = read(&replica, &view, 600..=800).await;
    assert_eq!(again.wrong, WELL.wrong);
    assert!(again.failed.contains(&700));
    let next = replica.head().expect("a view");
    assert_eq!(read(&replica, &next, 1..=PAGES).await, WELL);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_be_decoded_is_asked_for_once_more() {
    let (store, replica) = replica(&[(LATER, name(1, 1))]);
    let view = poll(&replica).await.expect("a view");
    // The page number in the head of its frame.
    let frame = verify(&file(name(1, 1))).expect("a sound file").entries[699].offset;
    store.flip(name(1, 1), frame, 1);
    assert_eq!(read(&replica, &view, [700]).await, WELL);
    let replica = another(&store);
    let view = poll(&replica).await.expect("a view");
    store.flip(name(1, 1), frame, 2);
    assert_eq!(read(&replica, &view, [700]).await.failed, [700]);
    assert_eq!(read(&replica, &view, 1..=PAGES).await, WELL, "it was wrong twice and is right now");
}

/// A page that decodes and makes no sense is fetched once more, and believed then: SQLite judges it.
#[tokio::test(start_paused = true)]
async fn a_page_that_makes_no_sense_is_asked_for_once_more() {
    let (store, replica) = replica(&[(LATER, name(1, 1))]);
    let view = poll(&replica).await.expect("a view");
    let entry = verify(&file(name(1, 1))).expect("a sound file").entries[699];
    // The second byte of the content, behind the head of the frame and the token of the block.
    let bytes = file(name(1, 1));
    let zeros = entry.range().find(|at| bytes[*at as usize..].starts_with(&content(700, 1)[..8])).expect("literals");
    store.flip(name(1, 1), zeros + 1, 1);
    assert_eq!(read(&replica, &view, [700]).await, WELL);
    settle().await;
    assert_eq!(read(&replica, &view, 1..=PAGES).await, WELL);
    assert!(view.files().all(|file| file.integrity.is_verified()));
}

/// What a damaged file holds is read from others if those give the same state.
#[tokio::test(start_paused = true)]
async fn damaged_files_are_planned_around() {
    let files = [(SNAPSHOT, name(1, 4)), (level(2), name(1, 3)), (level(1), name(4, 4)), (level(1), name(5, 6))];
    // Cut files are noticed at once; a flipped bit in a page only when the page comes.
    for damaged in [(SNAPSHOT, name(1, 4)), (level(2), name(1, 3))] {
        let (store, replica) = replica(&files);
        let whole = file(damaged.1);
        store.files.insert(damaged.0, damaged.1, whole[..whole.len() / 2].to_vec());
        let view = poll(&replica).await.expect("other files lead there");
        assert_eq!(view.txid(), Txid(6));
        assert_eq!(read(&replica, &view, 1..=PAGES).await, WELL);
        let told = replica.health.last_error().map(|(text, _)| text);
        let is_needed = damaged.0 == SNAPSHOT;
        assert_eq!(told.is_some(), is_needed, "{told:?}");
        assert!(told.is_none_or(|told| told.contains(&damaged.1.to_string()) && told.contains("is damaged")));
    }
    // Nothing else leads there: an error, and no older state.
    let (store, replica) = replica(&files);
    store.files.insert(level(1), name(5, 6), file(name(5, 6))[..300].to_vec());
    let error = poll(&replica).await.expect_err("damage");
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains(&name(5, 6).to_string()), "{error}");
    assert!(replica.head().is_none());
    let then = replica.view_of(crate::config::Target::Txid(Txid(4))).await.expect("it is whole");
    assert_eq!(read(&replica, &then.expect("a view"), 1..=PAGES).await, WELL);
    let error = replica.view_of(crate::config::Target::Txid(Txid(6))).await.expect_err("damage");
    assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains(&name(5, 6).to_string()), "{error}");
}

/// Damage that shows when the file is in use: the page comes from elsewhere, and the next view is of other files.
#[tokio::test(start_paused = true)]
async fn a_damaged_page_comes_from_another_file_and_a_spoiled_file_leaves_the_next_view() {
    let files = [(SNAPSHOT, name(1, 19)), (level(2), name(1, 10)), (level(1), name(11, 19)), (level(1), name(20, 21))];
    let (store, replica) = replica(&files);
    let frame = verify(&file(name(1, 19))).expect("a sound file").entries[702].offset as usize;
    store.damage(SNAPSHOT, name(1, 19), frame);
    let view = poll(&replica).await.expect("a view");
    assert_eq!(read(&replica, &view, 1..=PAGES).await, WELL);
    poll(&replica).await.expect("a view");
    let next = replica.head().expect("a view");
    assert!(next.files().all(|file| file.level != SNAPSHOT), "it is planned around");

    let replica = self::replica(&files);
    let (store, replica) = replica;
    store.damage(SNAPSHOT, name(1, 19), store.literal(SNAPSHOT, name(1, 19), 703));
    let view = poll(&replica).await.expect("a view");
    read(&replica, &view, 1..=PAGES).await;
    settle().await;
    assert!(!read(&replica, &view, [703]).await.failed.is_empty());
    let next = replica.head().expect("a view");
    assert!(next.counter() != view.counter() && next.txid() == Txid(21));
    assert_eq!(read(&replica, &next, 1..=PAGES).await, WELL);
    let (told, _) = replica.health.last_error().expect("it is told");
    assert!(told.contains(&name(1, 19).to_string()) && told.ends_with("from other files"), "{told}");
}

/// Every file is read whole before it is used.
#[tokio::test(start_paused = true)]
async fn with_verify_no_flipped_bit_is_ever_served() {
    let (store, _) = replica(&[(SNAPSHOT, name(1, 1)), (level(1), name(2, 3))]);
    for (level, name, pgno) in [(SNAPSHOT, name(1, 1), 701), (level(1), name(2, 3), 702), (level(1), name(2, 3), 1500)]
    {
        let at = store.literal(level, name, pgno);
        store.damage(level, name, at);
        let replica = another(&store);
        replica.files.loader.verify(true);
        let error = poll(&replica).await.expect_err("damage");
        assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains(&name.to_string()), "{error}");
        // Known for a while, so that each poll does not read it whole again.
        let before = replica.files.store.counts().bytes;
        assert!(poll(&replica).await.is_err());
        assert!(replica.files.store.counts().bytes - before < 1 << 20, "the ends of two files");
        store.insert(level, name, file(name));
        let view = poll(&replica).await.expect("it is repaired");
        assert!(view.files().all(|file| file.integrity.is_verified()));
        assert_eq!(read(&replica, &view, 1..=PAGES).await, WELL);
    }
}
