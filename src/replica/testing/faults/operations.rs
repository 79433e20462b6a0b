//! The operations, what each must show, and how long it may take.

use crate::config::Target;
use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::progress::Progress;
use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::prefetch::{Prefetcher, Source};
use crate::replica::testing::faults::journal::FaultJournal;
use crate::replica::testing::faults::sample::{CHANGED_BY_4, NEWEST, SAMPLE};
use crate::replica::testing::faults::store::Faulty;
use crate::replica::testing::faults::writes::{Commits, assert_page, compact};
use crate::replica::testing::key_and_value;
use crate::replica::write::journal::JournalLimits;
use crate::replica::{CacheLimits, Replica, RowDiff, View};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

pub(super) const SECOND: Duration = Duration::from_secs(1);
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Sizes with which the snapshot and its index are read in parts, and other files in two requests.
const SIZES: FetchSizes = FetchSizes {
    probe: 600,
    whole_sync: 2 << 10,
    kept_sync: 8 << 10,
    whole: 2 << 10,
    head: 1200,
    tail: 400,
    index: 1 << 10,
    partial_index: 300,
    index_block: 200,
    index_sample: 600,
};

/// A cache that is too small for the database, so that it is not fetched as a whole.
const SMALL_CACHE: CacheLimits = CacheLimits { memory: 24 << 10, disk: 0 };

const LARGE_CACHE: CacheLimits = CacheLimits { memory: 1 << 20, disk: 1 << 30 };

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    Open,
    Lookup,
    Scan,
    Poll,
    TimeTravel,
    Diff,
    Commit,
    Flush,
    Compaction,
    CacheFill,
    Hydration,
}

impl Operation {
    pub const ALL: [Operation; 11] = [
        Operation::Open,
        Operation::Lookup,
        Operation::Scan,
        Operation::Poll,
        Operation::TimeTravel,
        Operation::Diff,
        Operation::Commit,
        Operation::Flush,
        Operation::Compaction,
        Operation::CacheFill,
        Operation::Hydration,
    ];

    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Open => "open",
            Operation::Lookup => "cold lookup",
            Operation::Scan => "scan",
            Operation::Poll => "poll",
            Operation::TimeTravel => "time travel",
            Operation::Diff => "diff",
            Operation::Commit => "commit",
            Operation::Flush => "flush",
            Operation::Compaction => "compaction",
            Operation::CacheFill => "cache fill",
            Operation::Hydration => "hydration",
        }
    }

    /// How long the operation may take if `faults` of its requests meet one.
    pub fn deadline(self, faults: u64) -> Duration {
        match self {
            Operation::Open | Operation::Poll => OPEN_TIMEOUT,
            // Each response begins the time again.
            Operation::Lookup | Operation::Scan | Operation::TimeTravel | Operation::Diff => {
                READ_TIMEOUT * faults.max(1) as u32
            }
            // The deadline of each request before the commit, and that of the commit or of the flush.
            Operation::Commit | Operation::Flush => 11 * SECOND * faults.max(1) as u32 + 40 * SECOND,
            // The deadline of each request.
            Operation::Compaction => 11 * SECOND * faults.max(1) as u32,
            Operation::CacheFill => OPEN_TIMEOUT + READ_TIMEOUT * faults.max(1) as u32,
            Operation::Hydration => 600 * SECOND,
        }
    }

    /// Returns whether a replica is open when the operation begins.
    fn begins_opened(self) -> bool {
        !matches!(self, Operation::Open | Operation::CacheFill)
    }
}

/// A replica, and a process that has it open.
pub(super) struct FaultWorld {
    pub store: Arc<Faulty>,
    pub replica: Arc<Replica>,
    cache: Option<TempDir>,
    sizes: FetchSizes,
    pub commits: Commits,
    pub journal: Option<FaultJournal>,
}

impl FaultWorld {
    /// Starts a process. It reads each file as a whole, or in parts.
    pub async fn new(operation: Operation, reads_whole: bool) -> FaultWorld {
        let store = Arc::new(Faulty::default());
        SAMPLE.store(&store.files, NEWEST);
        let with_directory = matches!(operation, Operation::CacheFill | Operation::Hydration);
        let cache = with_directory.then(|| tempfile::tempdir().expect("a directory"));
        let sizes = if reads_whole { FetchSizes::USUAL } else { SIZES };
        let replica = open_replica(&store, sizes, cache.as_ref());
        let mut world = FaultWorld { store, replica, cache, sizes, commits: Commits::default(), journal: None };
        if operation.begins_opened() {
            world.open().await.expect("a healthy store");
        }
        if operation == Operation::Flush {
            world.journal = Some(FaultJournal::start(&world.replica, JournalLimits::default()));
        }
        if operation == Operation::Poll {
            SAMPLE.store_next(&world.store.files);
        }
        world
    }

    /// Starts another process.
    pub fn restart(&mut self) {
        self.replica = open_replica(&self.store, self.sizes, self.cache.as_ref());
    }

    async fn open(&self) -> Result<(), Error> {
        self.replica.open(Target::Latest, OPEN_TIMEOUT, true).await.map(drop)
    }

    /// Runs an operation, and compares the rows that it shows with those of the primary.
    pub async fn run(&mut self, operation: Operation) -> Result<(), Error> {
        match operation {
            Operation::Open => self.open().await,
            Operation::Lookup => within_read_timeout(self.read([40])).await,
            Operation::Scan => within_read_timeout(self.scan()).await,
            Operation::Poll => self.replica.follower.freshen(SECOND / 1000).await,
            Operation::TimeTravel => within_read_timeout(self.travel()).await,
            Operation::Diff => within_read_timeout(self.diff()).await,
            Operation::Commit => self.commit().await,
            Operation::Flush => self.commit_and_flush().await,
            Operation::Compaction => compact(&self.store).await,
            Operation::CacheFill => {
                self.open().await?;
                within_read_timeout(self.scan()).await
            }
            Operation::Hydration => self.hydrate().await,
        }
    }

    pub fn head(&self) -> Arc<View> {
        self.replica.head().expect("a view")
    }

    async fn scan(&self) -> Result<(), Error> {
        self.read(1..=self.head().commit()).await
    }

    /// Reads pages of the newest view.
    async fn read(&self, pages: impl IntoIterator<Item = u32>) -> Result<(), Error> {
        read(&self.replica, &self.head(), pages).await
    }

    /// Reads the whole newest state, which must be that of a transaction.
    pub async fn check(&self, txid: Txid) {
        let started = Instant::now();
        while self.head().txid() != txid {
            self.replica.poll(Duration::ZERO).await.expect("a healthy store");
            assert!(started.elapsed() < 60 * SECOND, "the newest state is {}, not {txid}", self.head().txid());
            sleep(SECOND).await;
        }
        self.scan().await.expect("a healthy store");
    }

    async fn travel(&self) -> Result<(), Error> {
        let view = self.replica.view_of(Target::Time(4500)).await?.expect("a past state");
        assert!(view.txid() == Txid(4) || self.store.hides_files(), "{} instead of 4", view.txid());
        read(&self.replica, &view, [1, 20, 40, 60]).await
    }

    async fn diff(&self) -> Result<(), Error> {
        let state = async |txid| self.replica.view_of(Target::Txid(Txid(txid))).await;
        let (older, newer) = (state(3).await?.expect("a past state"), state(4).await?.expect("a past state"));
        let pages = self.replica.diff.changes(older.clone(), newer.clone()).await?;
        let differing = (1..).zip(SAMPLE.state(Txid(3)).iter().zip(SAMPLE.state(Txid(4))));
        let differing = differing.filter(|(pgno, (old, new))| *pgno > 1 && old != new).count() as u64;
        let found = pages.iter().filter(|change| change.name.as_deref() == Some("note")).map(|change| change.pages);
        assert_eq!(found.sum::<u64>(), differing);
        let pair = self.replica.diff.table("note", older, newer).await?;
        let (mut diff, mut rows) = (RowDiff::new(pair, key_and_value()), Vec::new());
        loop {
            let batch = self.replica.diff.next_rows(&mut diff).await?;
            if batch.is_empty() {
                break;
            }
            rows.extend(batch);
        }
        assert_eq!(rows.len(), CHANGED_BY_4);
        Ok(())
    }

    /// Hydrates as a process does, until it is done or reports why it cannot go on.
    async fn hydrate(&self) -> Result<(), Error> {
        let hydration = &self.replica.hydration;
        let task = tokio::spawn(hydration.clone().run_forever());
        let result = loop {
            sleep(SECOND).await;
            if hydration.progress().is_complete {
                break Ok(());
            }
            if let Some(obstacle) = hydration.obstacle() {
                break Err(Error::new(ErrorKind::Unreachable, obstacle));
            }
        };
        task.abort();
        result
    }
}

fn open_replica(store: &Arc<Faulty>, sizes: FetchSizes, cache: Option<&TempDir>) -> Arc<Replica> {
    let directory = cache.map(|cache| {
        let directory = CacheDirectory::open(&cache.path().join("cache"), "faults", LARGE_CACHE.disk);
        Arc::new(directory.expect("a directory"))
    });
    let is_small = directory.is_none() && sizes.whole < FetchSizes::USUAL.whole;
    let limits = if is_small { SMALL_CACHE } else { LARGE_CACHE };
    Arc::new(Replica::with(store.clone(), limits, SECOND, sizes, directory))
}

/// Reads pages as one connection does, and compares them with those of the primary.
async fn read(replica: &Arc<Replica>, view: &Arc<View>, pages: impl IntoIterator<Item = u32>) -> Result<(), Error> {
    let (prefetcher, source) = (Prefetcher::new(), Source { shared: &replica.prefetch, view });
    for pgno in pages {
        let page = match replica.fetcher.cached(view, pgno) {
            Some(page) => {
                prefetcher.on_hit(source, pgno, &page);
                page
            }
            None => replica.page(view, pgno, &prefetcher).await?.expect("a page of the view"),
        };
        assert_page(view.txid(), pgno, &page);
    }
    Ok(())
}

/// Waits for a job as a connection does.
async fn within_read_timeout(job: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let (progress, mut arrived, mut last) = (Progress::default(), 0, Instant::now());
    let mut job = pin!(progress.track(job));
    loop {
        if let Either::Left((result, _)) = select(job.as_mut(), pin!(sleep(SECOND / 20))).await {
            return result;
        }
        if progress.count() > arrived {
            (arrived, last) = (progress.count(), Instant::now());
        }
        if last.elapsed() >= READ_TIMEOUT {
            return Err(Error::new(ErrorKind::Unreachable, "the store has sent nothing for 30s"));
        }
    }
}
