//! Several writers of one replica, each with a store that fails, hangs, loses responses and carries out requests late or twice, while old
//! files are deleted. Writers are suspended for longer than that takes, and end in the middle of a commit.
//!
//! Each transaction appends an entry to a log in the database. In the end, the log has each entry whose commit succeeded, once and in order,
//! and none whose commit failed, except where it was reported as unknown.

mod clock;
mod gone;
mod journal;
mod store;

use crate::error::{Error, ErrorKind};
use crate::ltx::{Encoder, FileName, Form, Level, Txid, decode_page, verify};
use crate::replica::testing::header;
use crate::replica::testing::simulation::Random;
use crate::replica::write::Overlay;
use crate::replica::{CacheLimits, Replica, View};
use crate::store::{Memory, Store};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::Hostile;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const PAGE_SIZE: usize = 512;
/// The entries that a page of the log has room for.
const PER_PAGE: u32 = 60;
/// Where page 1 has the number of entries.
const COUNT: usize = 200;
const WRITERS: u32 = 3;
const ATTEMPTS: u32 = 25;
/// The age at which files of level 0 are deleted.
const RETENTION: Duration = Duration::from_secs(120);

/// How the attempts of a writer ended.
#[derive(Default, Debug)]
struct Outcomes {
    committed: Vec<u32>,
    failed: Vec<u32>,
    unknown: Vec<u32>,
}

fn number(page: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*page[at..].first_chunk().expect("four bytes"))
}

fn set(page: &mut [u8], at: usize, number: u32) {
    page[at..at + 4].copy_from_slice(&number.to_be_bytes());
}

fn first_page() -> Vec<u8> {
    let mut page = vec![0; PAGE_SIZE];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..20].copy_from_slice(&[2, 0, 1, 1]);
    page
}

async fn page(replica: &Replica, view: &Arc<View>, pgno: u32) -> Result<Vec<u8>, Error> {
    Ok(replica.pages.page(view, pgno).await?.map_or_else(|| vec![0; PAGE_SIZE], |page| page.to_vec()))
}

/// What SQLite keeps in its cache after commits: by the change counter that it has written, page 1 and the last page of the log.
#[derive(Default, Debug)]
struct CachedPages(BTreeMap<u32, (Vec<u8>, u32, Vec<u8>)>);

impl CachedPages {
    /// Checks that a view with such a counter has these pages: SQLite would not read them again.
    async fn check(&self, replica: &Replica, view: &Arc<View>) -> Result<(), Error> {
        let Some((page_1, pgno, log)) = self.0.get(&view.counter()) else { return Ok(()) };
        let found = (page(replica, view, 1).await?, page(replica, view, *pgno).await?);
        assert_eq!(
            number(&found.0, COUNT),
            number(page_1, COUNT),
            "another state has the counter that SQLite has written"
        );
        assert_eq!(found.1, *log, "another state has the counter that SQLite has written");
        Ok(())
    }
}

/// Appends an entry to the log, and to the journal if there is one.
async fn append(replica: &Arc<Replica>, cached: &mut CachedPages, writer: u32, attempt: u32) -> Result<(), Error> {
    let _lock = replica.writer.lock()?;
    let view = replica.head();
    replica.writer.prepare(view.as_deref(), false).await?;
    if let Some(view) = &view {
        cached.check(replica, view).await?;
    }
    let before = match &view {
        Some(view) => Some(page(replica, view, 1).await?),
        None => None,
    };
    let mut page_1 = before.clone().unwrap_or_else(first_page);
    let count = number(&page_1, COUNT);
    let pgno = 2 + count / PER_PAGE;
    let mut log = match &view {
        Some(view) if !count.is_multiple_of(PER_PAGE) => page(replica, view, pgno).await?,
        _ => vec![0; PAGE_SIZE],
    };
    let at = 8 + (count % PER_PAGE) as usize * 8;
    set(&mut log, at, writer);
    set(&mut log, at + 4, attempt);
    set(&mut page_1, COUNT, count + 1);
    set(&mut page_1, 28, pgno);
    let counter = view.as_ref().map_or(0, |view| view.counter()) + 1;
    [24, 92].into_iter().for_each(|at| set(&mut page_1, at, counter));
    let size = view.as_ref().map_or(0, |view| u64::from(view.commit()) * PAGE_SIZE as u64);
    let mut overlay = Overlay::new(Some(PAGE_SIZE as u32), size);
    let nothing = |_: u32, _: &mut [u8]| Ok(());
    overlay.write(&page_1, 0, &nothing)?;
    overlay.write(&log, u64::from(pgno - 1) * PAGE_SIZE as u64, &nothing)?;
    if let Some(journal) = replica.writer.journal() {
        replica.writer.commit_to_journal(&journal, view.as_deref(), before.as_deref(), &overlay)?;
    } else {
        let file = replica.writer.file(view.as_deref(), before.as_deref(), &overlay)?;
        replica.writer.put(view.as_ref(), file).await?;
    }
    cached.0.insert(counter, (page_1, pgno, log));
    Ok(())
}

fn open(store: &Arc<Hostile>) -> Arc<Replica> {
    let cache = CacheLimits { memory: 1 << 20, disk: 0 };
    Arc::new(Replica::new(store.clone(), cache, Duration::from_secs(1)))
}

/// Opens a replica that also polls now and then while a transaction is committed, until the task is aborted.
fn open_and_follow(store: &Arc<Hostile>, mut random: Random) -> (Arc<Replica>, JoinHandle<()>) {
    let replica = open(store);
    let following = replica.clone();
    let task = tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(random.below(20_000))).await;
            let _ = following.poll(Duration::ZERO).await;
        }
    });
    (replica, task)
}

async fn write(files: Arc<Memory>, calm: Arc<AtomicBool>, writer: u32, mut random: Random) -> Outcomes {
    let store = Arc::new(Hostile::new(files, calm, random.fork()));
    let (mut replica, mut following) = open_and_follow(&store, random.fork());
    let (mut cached, mut outcomes) = (CachedPages::default(), Outcomes::default());
    for attempt in 1..=ATTEMPTS {
        if replica.head().is_none() || random.one_in(2) {
            let _ = replica.poll(Duration::ZERO).await;
        }
        // Most commits have all the time that they need.
        let patience = Duration::from_millis(if random.one_in(8) { random.below(400) } else { 10_000_000 });
        match timeout(patience, append(&replica, &mut cached, writer, attempt)).await {
            Ok(Ok(())) => outcomes.committed.push(attempt),
            Ok(Err(error)) if error.kind() == ErrorKind::Unconfirmed => outcomes.unknown.push(attempt),
            Ok(Err(_)) => outcomes.failed.push(attempt),
            Err(_) => {
                outcomes.unknown.push(attempt);
                following.abort();
                (replica, following) = open_and_follow(&store, random.fork());
            }
        }
        sleep(Duration::from_millis(random.below(2000))).await;
    }
    following.abort();
    outcomes
}

/// Makes snapshots, and deletes the files of level 0 that they contain once these are old enough, but not the newest.
async fn retain(files: Arc<Memory>) {
    let mut seen: BTreeMap<Txid, Instant> = BTreeMap::new();
    loop {
        sleep(Duration::from_secs(30)).await;
        let listed = files.list(Level::ZERO, Txid(1)).await.expect("memory");
        for file in &listed {
            seen.entry(file.name.max).or_insert_with(Instant::now);
        }
        let Some(newest) = listed.last().map(|last| last.name.max) else { continue };
        let Some(end) = listed.iter().map(|file| file.name.max).filter(|txid| txid.0 + 2 < newest.0).max() else {
            continue;
        };
        // Files that a stalled writer has created once more are not part of the state.
        let Some(snapshot) = state(&files, end).await else { continue };
        files.insert(Level::SNAPSHOT, FileName { min: Txid(1), max: end }, snapshot);
        for file in listed.iter().filter(|file| file.name.max < end && seen[&file.name.max].elapsed() > RETENTION) {
            files.remove(Level::ZERO, file.name);
        }
    }
}

/// Returns a snapshot of the state after a transaction. None if level 0 does not lead to it from the newest snapshot.
async fn state(files: &Memory, end: Txid) -> Option<Vec<u8>> {
    let snapshots = files.list(Level::SNAPSHOT, Txid(1)).await.expect("memory");
    let base = snapshots.iter().map(|file| file.name).filter(|name| name.max <= end).max_by_key(|name| name.max);
    let mut names: Vec<_> = base.map(|name| (Level::SNAPSHOT, name)).into_iter().collect();
    let first = base.map_or(1, |base| base.max.0 + 1);
    names.extend((first..=end.0).map(|txid| (Level::ZERO, FileName::of(Txid(txid)))));
    let (mut pages, mut commit) = (BTreeMap::new(), 0);
    for (level, name) in names {
        let file = files.get(level, name)?;
        let verified = verify(&file).expect("a correct file");
        commit = verified.header.commit;
        for entry in verified.entries {
            let mut page = vec![0; PAGE_SIZE];
            decode_page(&file[entry.range().start as usize..entry.range().end as usize], entry.pgno, &mut page)
                .expect("a correct page");
            pages.insert(entry.pgno, page);
        }
    }
    let mut encoder = Encoder::new(header(PAGE_SIZE, commit, Txid(1), end), Form::Block);
    pages.iter().filter(|(pgno, _)| **pgno <= commit).for_each(|(pgno, page)| encoder.page(*pgno, page));
    Some(encoder.finish())
}

/// Returns the entries of the log.
async fn entries(replica: &Replica) -> Vec<(u32, u32)> {
    let Some(view) = replica.head() else { return Vec::new() };
    let count = number(&page(replica, &view, 1).await.expect("page 1"), COUNT);
    let mut found = Vec::new();
    for entry in 0..count {
        let log = page(replica, &view, 2 + entry / PER_PAGE).await.expect("a page of the log");
        let at = 8 + (entry % PER_PAGE) as usize * 8;
        found.push((number(&log, at), number(&log, at + 4)));
    }
    found
}

async fn run(seed: u64) -> [usize; 3] {
    let (files, calm, mut random) = (Arc::new(Memory::new()), Arc::new(AtomicBool::new(false)), Random::new(seed));
    let retention = tokio::spawn(retain(files.clone()));
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(files.clone(), calm.clone(), writer, random.fork()))).collect();
    let mut outcomes = Vec::new();
    for writer in writers {
        outcomes.push(writer.await.unwrap_or_else(|error| panic!("seed {seed}: {error}")));
    }
    // Requests that were carried out late have ended.
    sleep(Duration::from_secs(1000)).await;
    retention.abort();
    calm.store(true, Ordering::Relaxed);
    let replica = open(&Arc::new(Hostile::new(files, calm, random)));
    replica.poll(Duration::ZERO).await.expect("the newest state");
    let found = entries(&replica).await;
    let txid = replica.head().map_or(0, |view| view.txid().0);
    assert_eq!(found.len() as u64, txid, "each transaction has appended an entry");
    for (writer, outcomes) in outcomes.iter().enumerate() {
        let own: Vec<u32> = found.iter().filter(|(by, _)| *by == writer as u32).map(|(_, attempt)| *attempt).collect();
        assert!(own.is_sorted_by(|one, next| one < next), "seed {seed}: writer {writer} appended {own:?}");
        let is_there = |attempt: &&u32| own.contains(attempt);
        let lost: Vec<_> = outcomes.committed.iter().filter(|attempt| !is_there(attempt)).collect();
        let wrong: Vec<_> = outcomes.failed.iter().filter(is_there).collect();
        assert!(
            lost.is_empty() && wrong.is_empty(),
            "seed {seed}: writer {writer} lost {lost:?}, and {wrong:?} failed"
        );
    }
    let total = |of: fn(&Outcomes) -> &Vec<u32>| outcomes.iter().map(|outcomes| of(outcomes).len()).sum();
    [total(|all| &all.committed), total(|all| &all.failed), total(|all| &all.unknown)]
}

#[tokio::test(start_paused = true)]
async fn no_transaction_is_lost_and_none_that_failed_is_there() {
    let seeds = std::env::var("WRITER_SEEDS").map_or(250, |seeds| seeds.parse().expect("a number of seeds"));
    let mut totals = [0; 3];
    // The last one has found a writer that built on a file which another suspended writer had created too late.
    for seed in (0..seeds).chain([416]) {
        for (total, run) in totals.iter_mut().zip(run(seed).await) {
            *total += run;
        }
    }
    let [committed, failed, unknown] = totals;
    println!("{committed} committed, {failed} failed, {unknown} unknown");
    assert!(committed > 10 * seeds as usize && failed > seeds as usize && unknown > seeds as usize, "{totals:?}");
}
