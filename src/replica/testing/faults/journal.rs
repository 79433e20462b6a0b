//! A journal whose uploads meet faults: its limits, and what a flush returns that does not succeed.

use crate::error::{Error, ErrorKind};
use crate::ltx::{FileName, Level, Txid};
use crate::replica::Replica;
use crate::replica::testing::faults::fault::Fault;
use crate::replica::testing::faults::operations::{FaultWorld, Operation, SECOND};
use crate::replica::testing::faults::sample::{NEWEST, SAMPLE};
use crate::replica::testing::faults::store::FaultPlan;
use crate::replica::write::journal::{Journal, JournalLimits, JournalSettings};
use crate::store::Store;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long a flush waits, as that of a connection.
const FLUSH_LIMIT: Duration = Duration::from_secs(30);

/// The journal of a process, which is uploaded when that is wanted.
pub(super) struct FaultJournal {
    journal: Arc<Journal>,
    uploading: JoinHandle<()>,
    _dir: TempDir,
}

impl FaultJournal {
    /// Has a process that has the replica open write with a journal.
    pub fn start(replica: &Replica, limits: JournalLimits) -> FaultJournal {
        let dir = tempfile::tempdir().expect("a directory");
        let settings = JournalSettings {
            directory: dir.path().join("journals"),
            place: "memory://faulty".to_owned(),
            interval: Duration::from_secs(3600),
            limits,
        };
        let journal = Arc::new(Journal::new(settings));
        replica.writer.set_journal(Some(journal.clone()));
        let uploading = tokio::spawn(replica.writer.clone().upload_forever(journal.clone()));
        FaultJournal { journal, uploading, _dir: dir }
    }
}

impl Drop for FaultJournal {
    fn drop(&mut self) {
        self.uploading.abort();
    }
}

impl FaultWorld {
    /// Commits a transaction to the journal, and flushes it.
    pub(super) async fn commit_and_flush(&mut self) -> Result<(), Error> {
        self.commit().await?;
        self.flush(FLUSH_LIMIT).await
    }

    async fn flush(&self, limit: Duration) -> Result<(), Error> {
        let journal = &self.journal.as_ref().expect("a journal").journal;
        self.replica.writer.flush(journal, limit).await
    }

    /// Starts a process with a journal, in which one transaction was committed and uploaded.
    async fn with_journal(limits: JournalLimits) -> FaultWorld {
        let mut world = FaultWorld::new(Operation::Commit, false).await;
        world.journal = Some(FaultJournal::start(&world.replica, limits));
        world.commit_and_flush().await.expect("a healthy store");
        world
    }

    /// Lets every request meet a fault from now on.
    fn meet(&self, fault: Fault) {
        self.store.set_plan(Some(FaultPlan { fault, first: 1, lasts: true }));
    }

    fn pending(&self) -> (u64, u64) {
        let status = self.replica.writer.status().journal;
        (status.transactions, status.bytes)
    }
}

/// Runs a test on a clock of its own.
fn run(test: impl Future<Output = ()>) {
    LazyLock::force(&SAMPLE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(test);
}

/// Commits until the journal is full. Returns the error of the first commit for which it has no room.
async fn fill(world: &mut FaultWorld) -> Error {
    loop {
        let before = world.pending();
        if let Err(error) = world.commit().await {
            assert_eq!(world.pending(), before, "nothing of the transaction is there");
            return error;
        }
        assert_eq!(world.pending().0, before.0 + 1);
    }
}

#[test]
fn a_full_journal_refuses_transactions_until_it_is_uploaded() {
    run(async {
        let mut world = FaultWorld::with_journal(JournalLimits { bytes: 1 << 20, transactions: 4 }).await;
        for round in 1..=2 {
            world.meet(Fault::Status403);
            world.commit().await.expect("it is in the journal");
            world.flush(SECOND).await.expect_err("the store refuses it");
            let error = fill(&mut world).await;
            let (count, bytes) = world.pending();
            assert_eq!((error.kind(), count), (ErrorKind::TooLarge, 4));
            let text = error.to_string();
            let parts = [
                "has no room for a transaction of ".to_owned(),
                "it holds at most 4 transactions with 1048576 bytes, and ".to_owned(),
                format!("4 transactions with {bytes} bytes are not uploaded"),
                "because the last upload failed: memory://faulty: the server denies access".to_owned(),
                "upload them with litestream_flush()".to_owned(),
            ];
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            world.store.set_plan(None);
            world.flush(FLUSH_LIMIT).await.expect("a healthy store");
            assert_eq!(world.pending(), (0, 0));
            world.commit_and_flush().await.expect("commits go on");
            assert_eq!(world.check_commits().await, 1 + 5 * round, "what was acknowledged is there, and nothing else");
        }
    });
}

/// Returns the TXIDs at level 0.
async fn written(world: &FaultWorld) -> Vec<Txid> {
    let files = world.store.files.list(Level::ZERO, Txid(1)).await.expect("files in memory");
    files.into_iter().map(|file| file.name.max).collect()
}

#[test]
fn a_journal_is_frozen_if_the_state_that_it_follows_was_deleted() {
    run(async {
        let mut world = FaultWorld::with_journal(JournalLimits::default()).await;
        world.commit().await.expect("it is in the journal");
        let before = written(&world).await;
        let last = *before.last().expect("a file");
        assert!(world.store.files.remove(Level::ZERO, FileName::of(last)));
        let mut flushed = Ok(());
        for _ in 0..5 {
            sleep(60 * SECOND).await;
            flushed = world.flush(FLUSH_LIMIT).await;
        }
        let text = flushed.expect_err("its state was deleted").to_string();
        assert!(text.contains("1 transactions are only in the journal"), "{text}");
        assert!(text.contains(&format!("TXID {last}")) || text.contains(&format!("TXID {}", last.next())), "{text}");
        assert_eq!(written(&world).await, before[..before.len() - 1], "nothing follows it");
        let journal = &world.journal.as_ref().expect("a journal").journal;
        assert_eq!(world.replica.writer.discard(journal).expect("it is frozen").len(), 1);
        world.commit_and_flush().await.expect("commits go on");
        assert_eq!(written(&world).await, before);
    });
}

/// The length that counts is that of the files of the transactions. One that is larger than the limit is accepted alone.
#[test]
fn the_bytes_of_a_journal_are_limited() {
    run(async {
        let mut world = FaultWorld::with_journal(JournalLimits { bytes: 1, transactions: 100 }).await;
        world.meet(Fault::Refused);
        let error = fill(&mut world).await;
        assert_eq!((error.kind(), world.pending().0), (ErrorKind::TooLarge, 1));
        let bytes = world.pending().1;
        world.store.set_plan(None);
        world.flush(FLUSH_LIMIT).await.expect("a healthy store");

        let mut world = FaultWorld::with_journal(JournalLimits { bytes: 6 * bytes, transactions: 100 }).await;
        world.meet(Fault::Refused);
        assert_eq!(fill(&mut world).await.kind(), ErrorKind::TooLarge);
        let (count, held) = world.pending();
        assert!((4..=7).contains(&count) && held <= 6 * bytes, "{count} transactions with {held} bytes of {bytes}");
        world.store.set_plan(None);
        world.flush(FLUSH_LIMIT).await.expect("a healthy store");
        assert_eq!(world.check_commits().await, 1 + count);
    });
}

#[test]
fn a_flush_that_takes_too_long_says_what_is_pending_and_why() {
    const REMEDY: &str =
        "they are uploaded when the store can be reached, also by the next process that writes with this journal";
    run(async {
        let mut world = FaultWorld::with_journal(JournalLimits::default()).await;
        world.meet(Fault::Hang);
        for _ in 0..2 {
            world.commit().await.expect("it is in the journal");
        }
        for (limit, cause) in [
            (SECOND, "it takes longer than 1s"),
            (FLUSH_LIMIT, "memory://faulty: no response within 10 seconds; check the endpoint and the network"),
        ] {
            let started = Instant::now();
            let error = world.flush(limit).await.expect_err("no response");
            assert!(started.elapsed() <= limit + SECOND / 10, "{:?}", started.elapsed());
            let (count, bytes) = world.pending();
            let path = world.replica.writer.status().journal.path.expect("an open journal");
            assert_eq!(error.kind(), ErrorKind::Unreachable);
            assert_eq!(
                error.to_string(),
                format!(
                    "{count} transactions with {bytes} bytes are not uploaded, and stay in the journal {path}: {cause}; {REMEDY}"
                )
            );
            assert_eq!(count, 2);
        }
        world.store.set_plan(None);
        world.flush(FLUSH_LIMIT).await.expect("a healthy store");
        assert_eq!(world.check_commits().await, 3);
        assert_eq!(world.head().txid().0, NEWEST.0 + 2, "both as one file");
    });
}
