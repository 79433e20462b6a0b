//! Writes transactions to the replica.
//!
//! A transaction becomes one file of level 0, under the name of the next transaction. The store creates each name once, so of two writers
//! one wins, and the other's transaction is rolled back.
//!
//! | module | contents |
//! |---|---|
//! | `overlay` | the pages that a transaction has written |
//! | `transaction` | makes the file of a transaction from them |
//! | `author` | who has written the newest transaction, and who writes the next one |
//! | `commit` | puts the file, until it is known whether it won, and publishes its state |
//! | `fate` | finds out whether a file that was put has won |
//! | `base` | finds out whether the replica still has the state before it |
//! | `status` | what was done, and whether nothing may be written any more |
//! | `lock` | one writer at a time in this process |
//! | `journal` | commits that are uploaded later |
//! | `lease` | tells writers in other processes of this one |
//! | `compaction` | compactions, snapshots and retention, which Litestream's daemon does otherwise |

mod author;
mod base;
mod commit;
pub(in crate::replica) mod compaction;
mod fate;
pub(in crate::replica) mod journal;
pub(in crate::replica) mod lease;
mod lock;
mod overlay;
mod status;
mod transaction;

pub use lock::WriteLock;
pub use overlay::{BasePage, Overlay};
pub use status::WriterStatus;

use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::ltx::Txid;
use crate::random;
use crate::replica::View;
use crate::replica::files::{Files, listing};
use crate::replica::follow::Follower;
use crate::replica::follow::head::Head;
use crate::replica::follow::history::Histories;
use crate::replica::follow::view_loader::ViewLoader;
use crate::replica::view::Epoch;
use crate::store::{Store, probe_create};
use author::LastFile;
use compaction::{CompactionSettings, Compactor};
use journal::{Journal, is_same_state};
use lease::Lease;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::{OnceCell, watch};
use transaction::TransactionBase;
pub(in crate::replica) use transaction::TransactionFile;

/// How long a transaction waits for what an earlier process has left in the journal.
const PREPARE_LIMIT: Duration = Duration::from_secs(30);

/// The writer of a replica in this process.
pub(in crate::replica) struct Writer {
    files: Arc<Files>,
    views: Arc<ViewLoader>,
    histories: Arc<Histories>,
    head: Arc<Head>,
    follower: Arc<Follower>,
    /// Identifies this process in the files that it writes.
    node_id: u64,
    /// Whether a connection is writing.
    locked: AtomicBool,
    /// Set once the store has refused to create an object twice.
    probed: OnceCell<()>,
    /// Whether a transaction of this process may write.
    has_begun: watch::Sender<bool>,
    /// The journal, if the connections of this process write with one.
    journal: Mutex<Option<Arc<Journal>>>,
    state: Mutex<WriterState>,
}

#[derive(Default)]
struct WriterState {
    /// Why nothing may be written any more.
    stopped: Option<Error>,
    /// The last file at level 0 of the last state that was checked and not built from that file.
    last_file: Option<(Epoch, Txid, LastFile)>,
    conflicts: u64,
    last_conflict: Option<(String, i64)>,
    /// Why the last run of all levels failed, and then why the last one of the first level did.
    compaction_errors: [Option<String>; 2],
    lease: Option<Arc<Lease>>,
}

impl Writer {
    pub(in crate::replica) fn new(
        files: Arc<Files>,
        views: Arc<ViewLoader>,
        histories: Arc<Histories>,
        head: Arc<Head>,
        follower: Arc<Follower>,
    ) -> Writer {
        Writer {
            files,
            views,
            histories,
            head,
            follower,
            // Never 0, which means that the writer is unknown.
            node_id: random::number() | 1,
            locked: AtomicBool::new(false),
            probed: OnceCell::new(),
            has_begun: watch::Sender::new(false),
            journal: Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// Checks that a transaction may write after the state `base`, the newest of the replica; None if the replica is empty.
    ///
    /// Fails with [`ErrorKind::Conflict`] if the state is known not to be the newest, and with [`ErrorKind::ReadOnly`] if this process must
    /// not write. Does I/O only once for each state that this process has not written, and usually not then.
    pub(in crate::replica) async fn prepare(&self, base: Option<&View>, takeover: bool) -> Result<(), Error> {
        if let Some(journal) = self.journal() {
            self.recover(&journal, PREPARE_LIMIT).await?;
            if !journal.takes_commits() {
                self.flush(&journal, PREPARE_LIMIT).await?;
            }
        }
        if let Some(stopped) = &self.state.lock().stopped {
            return Err(stopped.clone());
        }
        if !is_same_state(self.head.served().as_deref(), base) {
            return Err(self.outdated());
        }
        self.probed.get_or_try_init(|| probe_create(&*self.files.store)).await?;
        match base {
            Some(base) => self.check_author(base, takeover).await?,
            // That there is no view can have another reason.
            None if !listing::all(&*self.files.store).await?.is_empty() => return Err(self.outdated()),
            None => {}
        }
        self.has_begun.send_if_modified(|begun| !std::mem::replace(begun, true));
        Ok(())
    }

    /// Compacts the replica from the first transaction on that this process may write: before it, a daemon may do that. Never returns.
    pub(in crate::replica) async fn compact_forever(self: Arc<Self>, settings: CompactionSettings) {
        // The sender is part of `self`, so it exists.
        let _ = self.has_begun.subscribe().wait_for(|begun| *begun).await;
        let store: Arc<dyn Store> = self.files.store.clone();
        let lease = Arc::new(Lease::new(store.clone(), format!("litestream-vfs {:016x}", self.node_id)));
        self.state.lock().lease = Some(lease.clone());
        let compactor = Compactor::new(store, settings);
        compactor.run_forever(&lease, || !self.is_stopped(), |run| self.record_compaction(run)).await;
    }

    /// The error of a transaction that began with another state than the newest.
    pub(in crate::replica) fn outdated(&self) -> Error {
        let message = format!("the replica {} has a newer state than this transaction", self.files.store);
        Error::new(ErrorKind::Conflict, message).remedy("run the transaction again")
    }

    /// Makes the file of a transaction that began with `base`, after [`Writer::prepare`] has checked that state. `page_1` is that of
    /// `base`, as the replica has it.
    pub(in crate::replica) fn file(
        &self,
        base: Option<&View>,
        page_1: Option<&[u8]>,
        overlay: &Overlay,
    ) -> Result<TransactionFile, Error> {
        TransactionFile::new(overlay, TransactionBase { view: base, page_1 }, self.author(base)?)
    }

    /// As [`Writer::file`], for a transaction that changes nothing.
    pub(in crate::replica) fn unchanged_file(&self, base: &View, page_1: &[u8]) -> Result<TransactionFile, Error> {
        Ok(TransactionFile::unchanged(base, page_1, self.author(Some(base))?))
    }

    /// Returns the journal, if the connections of this process write with one.
    pub(in crate::replica) fn journal(&self) -> Option<Arc<Journal>> {
        self.journal.lock().clone()
    }

    /// Sets the journal that the connections of this process write with, or ends its use.
    pub(in crate::replica) fn set_journal(&self, journal: Option<Arc<Journal>>) {
        let before = std::mem::replace(&mut *self.journal.lock(), journal);
        // This can wait for a disk.
        before.into_iter().for_each(|before| self.close(&before));
    }
}
