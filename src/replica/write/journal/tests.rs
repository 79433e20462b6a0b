//! What follows a transaction in the journal, and what is durable before the first.

use super::crash::CrashPoint;
use super::storage::{JOURNAL, JournalSteps, JournalStorage};
use super::{Journal, JournalLimits, JournalSettings};
use crate::error::{Error, ErrorKind};
use crate::replica::write::Overlay;
use crate::replica::{CacheLimits, Replica, View};
use crate::store::Memory;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

/// A process that writes an empty replica with a journal, which is never uploaded.
struct JournallingProcess {
    replica: Replica,
    journal: Arc<Journal>,
    _dir: TempDir,
}

impl JournallingProcess {
    fn start() -> JournallingProcess {
        JournallingProcess::with(CrashPoint::default())
    }

    fn with(steps: CrashPoint) -> JournallingProcess {
        let dir = tempfile::tempdir().expect("a directory");
        let settings = JournalSettings {
            directory: dir.path().join("journals"),
            place: "memory:".to_owned(),
            interval: SECOND,
            limits: JournalLimits::default(),
        };
        let replica = Replica::new(Arc::new(Memory::new()), CacheLimits { memory: 1 << 20, disk: 0 }, SECOND);
        let journal = Arc::new(Journal::with_crash_point(settings, steps));
        replica.writer.set_journal(Some(journal.clone()));
        JournallingProcess { replica, journal, _dir: dir }
    }

    async fn prepare(&self) {
        let base = self.replica.head();
        self.replica.writer.prepare(base.as_deref(), false).await.expect("the newest state");
    }

    /// Commits the first transaction of a database, after an empty replica.
    fn commit_first(&self) -> Result<Arc<View>, Error> {
        let mut page = vec![0; 512];
        page[..16].copy_from_slice(b"SQLite format 3\0");
        page[16..20].copy_from_slice(&[2, 0, 1, 1]);
        [24, 28, 92].into_iter().for_each(|at| page[at + 3] = 1);
        let mut overlay = Overlay::new(Some(512), 0);
        overlay.write(&page, 0, &|_, _| Ok(()))?;
        self.replica.writer.commit_to_journal(&self.journal, None, None, &overlay)
    }
}

/// Merging would unite the pages of states that do not follow each other.
#[tokio::test]
async fn no_transaction_follows_one_in_the_journal_whose_state_it_has_not_read() {
    let process = JournallingProcess::start();
    process.prepare().await;
    process.commit_first().expect("it is in the journal");
    process.replica.head.serve_journalled(None);
    let error = process.commit_first().expect_err("a transaction in the journal is newer");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(process.replica.writer.status().journal.transactions, 1);
}

/// The threads of the runtime are two.
#[test]
fn journals_whose_disks_hang_delay_no_other_replica() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let steps = CrashPoint::default();
    let processes: [_; 2] = std::array::from_fn(|_| JournallingProcess::with(steps.clone()));
    processes.iter().for_each(|process| runtime.block_on(process.prepare()));
    let gate = steps.gate();
    let hangs = gate.lock();
    thread::scope(|scope| {
        for process in &processes {
            let JournallingProcess { replica, journal, .. } = process;
            scope.spawn(|| process.commit_first().expect("it is in the journal when the disk works again"));
            while journal.state.try_lock().is_some() {
                thread::yield_now();
            }
            runtime.spawn(replica.writer.clone().upload_forever(journal.clone()));
        }
        let (sender, receiver) = channel();
        runtime.spawn(async move {
            sleep(SECOND / 10).await;
            sender.send(()).expect("the test waits");
        });
        let other = receiver.recv_timeout(30 * SECOND);
        let JournallingProcess { replica, journal, .. } = &processes[0];
        let flushed = runtime.block_on(replica.writer.flush(journal, SECOND / 5));
        let recovered = runtime.block_on(replica.writer.recover(journal, SECOND / 5));
        let status = replica.writer.status().journal;
        drop(hangs);
        other.expect("another task runs");
        let text = |limit: &str| {
            let path = journal.settings.directory.display();
            format!("the disk of the journal {path} has not responded for {limit}; check the disk of buffer_path")
        };
        for waited in [flushed, recovered] {
            assert_eq!(waited.expect_err("it hangs").to_string(), text("200ms"));
        }
        assert_eq!(status.failure, Some(text("1s")));
    });
}

#[tokio::test]
async fn what_a_journal_had_is_no_longer_served_when_it_takes_transactions_again() {
    let process = JournallingProcess::start();
    process.prepare().await;
    process.commit_first().expect("it is in the journal");
    let JournallingProcess { replica, journal, .. } = &process;
    journal.state.lock().open.as_mut().expect("an open journal").stopped = Some(Error::internal("its disk has failed"));
    let served = thread::scope(|scope| {
        // A discard waits for this lock in between.
        let between = replica.writer.state.lock();
        scope.spawn(|| replica.writer.discard(journal).expect("it is stopped"));
        let next = scope.spawn(|| {
            while journal.status().1.is_some() {
                thread::yield_now();
            }
            replica.head()
        });
        thread::sleep(SECOND / 10);
        drop(between);
        next.join().expect("the state for the next transaction")
    });
    assert!(served.is_none(), "{:?}", served.map(|view| view.txid()));
}

/// Returns why a journal is not discarded.
fn refusal(process: &JournallingProcess) -> (ErrorKind, String) {
    let error = process.replica.writer.discard(&process.journal).expect_err("nothing to give up");
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn only_what_cannot_be_uploaded_is_discarded() {
    let process = JournallingProcess::start();
    let (kind, text) = refusal(&process);
    assert!(kind == ErrorKind::Config && text == "no journal is open", "{text}");
    process.prepare().await;
    process.commit_first().expect("it is in the journal");
    let (kind, text) = refusal(&process);
    assert!(kind == ErrorKind::Config && text.ends_with("upload it with litestream_flush()"), "{text}");
    process.journal.state.lock().is_uploading = true;
    let (kind, text) = refusal(&process);
    assert!(kind == ErrorKind::Busy && text.contains("may be in the replica soon"), "{text}");
    assert_eq!(process.replica.writer.status().journal.transactions, 1);
}

#[tokio::test]
async fn a_damaged_journal_is_discarded_and_transactions_are_committed_again() {
    let mut process = JournallingProcess::start();
    process.prepare().await;
    process.commit_first().expect("it is in the journal");
    let path = process.replica.writer.status().journal.path.expect("an open journal");
    process.replica.writer.set_journal(None);
    std::fs::write(Path::new(&path).join(JOURNAL), [7; 300]).expect("a file");
    process.journal = Arc::new(Journal::new(process.journal.settings.clone()));
    process.replica.writer.set_journal(Some(process.journal.clone()));
    let error = process.replica.writer.prepare(None, false).await.expect_err("it is damaged");
    assert!(
        error.kind() == ErrorKind::Damaged && error.to_string().contains("litestream_discard_journal()"),
        "{error}"
    );
    let renamed = process.replica.writer.discard(&process.journal).expect("it is renamed");
    let [renamed] = &renamed[..] else { panic!("{renamed:?}") };
    assert_eq!(std::fs::read(renamed).expect("a file"), [7; 300]);
    process.prepare().await;
    process.commit_first().expect("it is in the journal");
    assert_eq!(process.replica.writer.status().journal.transactions, 1);
}

/// Opens a journal, and appends a transaction. Returns the folders that were made durable before that.
fn folders_before_an_append(directory: &Path) -> Vec<PathBuf> {
    let steps = JournalSteps::default();
    let mut storage = JournalStorage::open(directory, "memory:", steps.clone()).expect("a journal");
    storage.append(b"a transaction").expect("space");
    steps.0.take_synced()
}

#[test]
fn every_folder_that_leads_to_a_journal_is_durable_before_its_first_transaction() {
    let dir = tempfile::tempdir().expect("a directory");
    let directory = dir.path().join("new").join("journals");
    let all = folders_before_an_append(&directory);
    let innermost = all.first().expect("the folder of the journal");
    assert_eq!(innermost.ancestors().nth(2), Some(&*directory));
    let expected: Vec<_> = innermost.ancestors().take_while(|folder| dir.path().parent() != Some(*folder)).collect();
    assert_eq!(all, expected);
    assert_eq!(folders_before_an_append(&directory), all[..3], "nothing above was created");
}
