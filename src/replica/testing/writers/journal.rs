//! Writers with journals, which are killed before any step on their disk and in any request.
//!
//! A transaction that was acknowledged is in the replica in the end, once and in order, and one that failed is not. If another writer was
//! first, a journal is frozen, and only what was known to be uploaded has to be there.

#[cfg(unix)]
mod disk;
mod last_entry;

use super::{CachedPages, Hostile, append, entries, open, retain};
use crate::error::ErrorKind;
use crate::replica::Replica;
use crate::replica::testing::simulation::Random;
use crate::replica::write::journal::crash::CrashPoint;
use crate::replica::write::journal::{Journal, JournalLimits, JournalSettings};
use crate::store::Memory;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const LIVES: u32 = 8;
const LIMIT: Duration = Duration::from_secs(600);

/// A process that writes with a journal.
struct Process {
    replica: Arc<Replica>,
    journal: Arc<Journal>,
    uploading: JoinHandle<()>,
    end: CrashPoint,
}

impl Process {
    /// Starts a process, which ends after so many steps on its disk.
    fn start(store: &Arc<Hostile>, directory: &Path, steps: Option<i64>) -> Process {
        let (replica, end) = (open(store), CrashPoint::new(steps));
        let settings = JournalSettings {
            directory: directory.to_owned(),
            place: "memory://hostile".to_owned(),
            interval: Duration::from_secs(1),
            limits: JournalLimits::default(),
        };
        let journal = Arc::new(Journal::with_crash_point(settings, end.clone()));
        replica.writer.set_journal(Some(journal.clone()));
        let uploading = tokio::spawn(replica.writer.clone().upload_forever(journal.clone()));
        Process { replica, journal, uploading, end }
    }

    /// Starts a process that uploads nothing.
    fn start_idle(store: &Arc<Hostile>, directory: &Path) -> Process {
        let process = Process::start(store, directory, None);
        process.uploading.abort();
        process
    }

    async fn flush(&self, limit: Duration) -> bool {
        let writer = &self.replica.writer;
        writer.recover(&self.journal, limit).await.is_ok() && writer.flush(&self.journal, limit).await.is_ok()
    }

    fn is_frozen(&self) -> bool {
        self.replica.writer.status().stopped.is_some() && !self.end.has_ended()
    }

    async fn kill(self) {
        self.uploading.abort();
        assert!(self.uploading.await.is_err_and(|error| error.is_cancelled()), "the upload task has failed");
        assert_eq!(Arc::strong_count(&self.replica), 1);
    }
}

/// Returns a store of no files whose requests all succeed.
fn calm_store() -> Arc<Hostile> {
    Arc::new(Hostile::new(Arc::default(), Arc::new(AtomicBool::new(true)), Random::new(1)))
}

/// Adds these attempts to a journal, of which nothing is uploaded. Returns where it is.
async fn leave(store: &Arc<Hostile>, directory: &Path, attempts: RangeInclusive<u32>) -> PathBuf {
    let process = Process::start_idle(store, directory);
    process.replica.writer.recover(&process.journal, LIMIT).await.expect("the journal can be used");
    let mut cached = CachedPages::default();
    for attempt in attempts {
        append(&process.replica, &mut cached, 0, attempt).await.expect("it is in the journal");
    }
    let path = process.replica.writer.status().journal.path.expect("an open journal");
    process.kill().await;
    path.into()
}

/// Uploads a journal, and returns the attempts that are in the replica then.
async fn uploaded(store: &Arc<Hostile>, directory: &Path) -> Vec<u32> {
    let process = Process::start(store, directory, None);
    assert!(process.flush(LIMIT).await, "{:?}", process.replica.writer.status());
    let found = entries(&process.replica).await;
    process.kill().await;
    found.into_iter().map(|(_, attempt)| attempt).collect()
}

/// The attempts of a writer.
#[derive(Default, Debug)]
struct Attempts {
    cached: CachedPages,
    last: u32,
    /// These must be in the replica.
    lasting: Vec<u32>,
    /// They were acknowledged, and may be only in the journal.
    journalled: Vec<u32>,
    failed: Vec<u32>,
    unknown: Vec<u32>,
    given_up: Vec<u32>,
}

impl Attempts {
    fn uploaded(&mut self) {
        self.lasting.append(&mut self.journalled);
    }

    async fn make(&mut self, process: &Process, writer: u32, random: &mut Random) {
        self.last += 1;
        let patience = Duration::from_millis(if random.one_in(8) { random.below(400) } else { 10_000_000 });
        match timeout(patience, append(&process.replica, &mut self.cached, writer, self.last)).await {
            Ok(Ok(())) => {
                self.journalled.push(self.last);
                // The process reads its own transaction at once.
                let calm = timeout(Duration::from_millis(1), entries(&process.replica)).await;
                if let Ok(found) = calm {
                    assert_eq!(found.last(), Some(&(writer, self.last)));
                }
            }
            Ok(Err(error)) if process.end.has_ended() || error.kind() == ErrorKind::Unconfirmed => {
                self.unknown.push(self.last);
            }
            // Nothing is waited for after the transaction is in the journal.
            Ok(Err(_)) | Err(_) => self.failed.push(self.last),
        }
        if process.is_frozen() && process.replica.writer.discard(&process.journal).is_ok() {
            self.given_up.append(&mut self.journalled);
        }
    }
}

async fn write(files: Arc<Memory>, calm: Arc<AtomicBool>, writer: u32, mut random: Random) -> Attempts {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(Hostile::new(files, calm.clone(), random.fork()));
    let mut attempts = Attempts::default();
    for _ in 0..LIVES {
        let steps = (!random.one_in(3)).then(|| random.below(60) as i64);
        let process = Process::start(&store, directory.path(), steps);
        let _ = process.replica.poll(Duration::ZERO).await;
        for _ in 0..random.below(10) {
            attempts.make(&process, writer, &mut random).await;
            if process.end.has_ended() {
                break;
            }
            if random.one_in(4) && process.flush(Duration::from_millis(random.below(60_000))).await {
                attempts.uploaded();
            }
            sleep(Duration::from_millis(random.below(2000))).await;
        }
        process.kill().await;
    }
    calm.store(true, Ordering::Relaxed);
    // Requests that were carried out late have ended.
    sleep(Duration::from_secs(1000)).await;
    let process = Process::start(&store, directory.path(), None);
    process.replica.poll(Duration::ZERO).await.expect("a state");
    match process.flush(Duration::from_secs(600)).await {
        true => attempts.uploaded(),
        false => {
            assert!(process.is_frozen(), "nothing else prevents the upload: {:?}", process.replica.writer.status());
            attempts.given_up.append(&mut attempts.journalled);
        }
    }
    process.kill().await;
    attempts
}

async fn run(seed: u64, writers: u32) -> Vec<Attempts> {
    let (files, mut random) = (Arc::new(Memory::new()), Random::new(seed));
    let retention = tokio::spawn(retain(files.clone()));
    let running: Vec<_> =
        (0..writers).map(|writer| tokio::spawn(write(files.clone(), Arc::default(), writer, random.fork()))).collect();
    let mut all = Vec::new();
    for writer in running {
        all.push(writer.await.unwrap_or_else(|error| panic!("seed {seed}: {error}")));
    }
    retention.abort();
    let replica = open(&Arc::new(Hostile::new(files, Arc::new(AtomicBool::new(true)), random)));
    replica.poll(Duration::ZERO).await.expect("the newest state");
    let found = entries(&replica).await;
    for (writer, attempts) in all.iter().enumerate() {
        let own: Vec<u32> = found.iter().filter(|(by, _)| *by == writer as u32).map(|(_, attempt)| *attempt).collect();
        assert!(own.is_sorted_by(|one, next| one < next), "seed {seed}: writer {writer} appended {own:?}");
        let is_there = |attempt: &&u32| own.contains(attempt);
        let lost: Vec<_> = attempts.lasting.iter().filter(|attempt| !is_there(attempt)).collect();
        let wrong: Vec<_> = attempts.failed.iter().filter(is_there).collect();
        assert!(lost.is_empty() && wrong.is_empty(), "seed {seed}: writer {writer} lost {lost:?}, {wrong:?} failed");
    }
    all
}

async fn simulate(writers: u32) -> [usize; 4] {
    let seeds = std::env::var("JOURNAL_SEEDS").map_or(40, |seeds| seeds.parse().expect("a number of seeds"));
    let mut totals = [0; 4];
    for seed in 0..seeds {
        for attempts in run(seed, writers).await {
            let counts = [&attempts.lasting, &attempts.failed, &attempts.unknown, &attempts.given_up].map(Vec::len);
            totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        }
    }
    println!("{totals:?}: in the replica, failed, unknown, given up");
    totals
}

#[tokio::test(start_paused = true)]
async fn a_writer_alone_loses_nothing() {
    let [lasting, _, unknown, given_up] = simulate(1).await;
    assert!(lasting > 400 && unknown > 40, "{lasting}, {unknown}");
    assert_eq!(given_up, 0, "nobody else was first");
}

#[tokio::test(start_paused = true)]
async fn of_several_writers_one_wins_and_the_others_know() {
    let [lasting, _, _, given_up] = simulate(2).await;
    assert!(lasting > 200 && given_up > 40, "{lasting}, {given_up}");
}
