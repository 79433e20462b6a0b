//! Runs a whole replica against a model primary, a faulty store in memory and a clock that the test controls.
//!
//! A seed determines everything: what the primary commits, when it compacts, snapshots and deletes, what the store loses,
//! delays or lists late, and what readers read. Every view is compared byte for byte with an oracle that applies
//! transactions in order. A failing seed is printed; `LITESTREAM_VFS_SEEDS=17` or `=0..50000` runs other seeds.

mod oracle;
mod pages;
mod primary;
pub(in crate::replica) mod random;
mod world;

use crate::config::Target;
use crate::error::ErrorKind;
use crate::ltx::{Header, Txid};
use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::prefetch::Prefetcher;
use crate::replica::{CacheLimits, Page, Replica, View};
use oracle::OracleDatabase;
use pages::ModelSchema;
use primary::{PAGE_SIZE, Primary};
pub(in crate::replica) use random::Random;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use world::World;

const STEPS: u32 = 120;

/// The number of polls after which every change is detected: the longest pause between two listings of a replica without
/// newer files, then listings until another history is accepted.
const POLLS_TO_SETTLE: u32 = 40;

/// The seeds of the default run.
const SEEDS: std::ops::Range<u64> = 0..2000;

/// Other seeds that have failed before. The default run includes them.
const FAILED_ONCE: [u64; 2] = [1679, 3434];

#[test]
fn every_view_is_a_state_of_the_primary() {
    let seeds = seeds();
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = std::panic::catch_unwind(|| Simulation::new(seed).run());
            assert!(result.is_ok(), "seed {seed} fails; run it alone with LITESTREAM_VFS_SEEDS={seed}");
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run))));
}

fn seeds() -> Vec<u64> {
    let Ok(text) = std::env::var("LITESTREAM_VFS_SEEDS") else { return SEEDS.chain(FAILED_ONCE).collect() };
    let number = |text: &str| text.parse::<u64>().expect("LITESTREAM_VFS_SEEDS is a number or a range as 0..1000");
    match text.split_once("..") {
        Some((from, to)) => (number(from)..number(to)).collect(),
        None => vec![number(&text)],
    }
}

/// Returns the usual sizes, or ones so small that most files are fetched in parts and not kept in memory.
fn fetch_sizes(random: &mut Random) -> FetchSizes {
    if random.below(3) == 0 {
        return FetchSizes::USUAL;
    }
    let [probe, whole_sync, whole] = [2000, 3000, 3000].map(|most| random.below(most));
    let tail = random.below(300);
    FetchSizes {
        probe: 120 + probe,
        whole_sync,
        kept_sync: random.below(20_000),
        whole,
        head: Header::SIZE as u64 + 3 * tail,
        tail: 24 + tail,
        index: 2 + whole / 8,
        partial_index: random.below(300),
        index_block: 16 + random.below(100),
        index_sample: 40 + random.below(300),
    }
}

/// What a process opens the replica with.
struct ReplicaSettings {
    limits: CacheLimits,
    sizes: FetchSizes,
    cache_dir: Option<TempDir>,
}

impl ReplicaSettings {
    fn open(&self, world: &Arc<World>) -> Arc<Replica> {
        let directory = self.cache_dir.as_ref().map(|dir| {
            let directory = CacheDirectory::open(&dir.path().join("cache"), "simulation", self.limits.disk);
            Arc::new(directory.expect("a cache directory"))
        });
        Arc::new(Replica::with(world.clone(), self.limits, Duration::from_secs(1), self.sizes, directory))
    }

    /// Changes a random byte of every other file in the cache directory.
    fn damage(&self, random: &mut Random) {
        let files = self.cache_dir.as_ref().map(|dir| files_below(dir.path())).unwrap_or_default();
        for path in files {
            // Eviction may have removed it.
            let Ok(mut bytes) = std::fs::read(&path) else { continue };
            if random.one_in(2) && !bytes.is_empty() {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
                std::fs::write(&path, bytes).expect("a file can be written");
            }
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    let below = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    entries.into_iter().flat_map(below).collect()
}

struct Simulation {
    random: Random,
    world: Arc<World>,
    primary: Primary,
    settings: ReplicaSettings,
    replica: Arc<Replica>,
    prefetcher: Prefetcher,
    /// The views that readers hold.
    pinned: Vec<Arc<View>>,
    /// The schema that a reader's statements were compiled for, by the cookie in page 1.
    compiled: HashMap<u32, ModelSchema>,
    /// The newest view that was checked.
    head: Option<Arc<View>>,
    /// Its history and its transaction.
    seen: Option<(usize, Txid)>,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut random = Random::new(seed);
        let world = Arc::new(World::new(random.fork()));
        let memory = random.below(40) * 1024;
        // Half of the replicas also have a disk cache, for some or all pages.
        let disk = [0, 0, 7 * PAGE_SIZE as u64, 1 << 20][memory as usize / 1024 % 4];
        // Some of those use a cache directory instead of a temporary file.
        let cache_dir = cfg!(unix) && disk > 0 && random.one_in(2);
        let settings = ReplicaSettings {
            limits: CacheLimits { memory, disk },
            sizes: fetch_sizes(&mut random),
            cache_dir: cache_dir.then(|| tempfile::tempdir().expect("a directory")),
        };
        let primary = Primary::new(world.clone(), random.fork());
        Simulation {
            primary,
            random,
            replica: settings.open(&world),
            settings,
            world,
            prefetcher: Prefetcher::new(),
            pinned: Vec::new(),
            compiled: HashMap::new(),
            head: None,
            seen: None,
        }
    }

    fn run(mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            for _ in 0..STEPS {
                self.step().await;
            }
            self.world.calm();
            self.settle().await;
        });
    }

    async fn step(&mut self) {
        if self.settings.cache_dir.is_some() && self.random.below(20) == 0 {
            self.restart();
        }
        match self.random.below(11) {
            0..=4 => self.primary.act(),
            10 => self.travel().await,
            5..=6 => self.poll().await,
            7 => self.pin(),
            8 => self.read_pinned().await,
            _ => drop(self.pinned.pop()),
        }
    }

    /// Replaces the process by another one, which has the same cache directory.
    fn restart(&mut self) {
        if self.random.one_in(3) {
            self.settings.damage(&mut self.random);
        }
        self.replica = self.settings.open(&self.world);
        self.prefetcher = Prefetcher::new();
        self.pinned.clear();
        self.compiled.clear();
        (self.head, self.seen) = (None, None);
    }

    async fn poll(&mut self) {
        // A poll may fail while the store has faults, but it must not publish a wrong view.
        let _ = match self.random.one_in(2) {
            true => self.replica.follower.take_turn().await,
            false => self.replica.poll(Duration::ZERO).await,
        };
        tokio::time::advance(Duration::from_secs(1)).await;
        let Some(view) = self.replica.head() else { return };
        if self.head.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &view)) {
            return;
        }
        let now = Some((self.check(&view).await, view.txid()));
        assert!(self.seen <= now, "from {:?} back to {now:?}", self.seen);
        (self.head, self.seen) = (Some(view), now);
    }

    fn pin(&mut self) {
        self.pinned.extend(self.replica.head());
    }

    /// Opens a view of another moment, if that is available.
    async fn travel(&mut self) {
        let Some(head) = self.replica.head() else { return };
        let txid = Txid(1 + self.random.below(head.txid().0));
        if let Ok(Some(view)) = self.replica.view_of(Target::Txid(txid)).await {
            self.check(&view).await;
            self.pinned.push(view);
        }
    }

    async fn read_pinned(&mut self) {
        if let Some(view) = self.random.choose(&self.pinned).cloned() {
            self.check(&view).await;
        }
    }

    /// Compares every page of a view with the oracle, and returns the history that the view belongs to. A page that is
    /// unavailable is an error, and its content is not compared.
    async fn check(&mut self, view: &Arc<View>) -> usize {
        let mut pages = Vec::new();
        for pgno in 1..=view.commit() {
            match self.replica.page(view, pgno, &self.prefetcher).await {
                Ok(Some(page)) => pages.push(Some(page)),
                Ok(None) => panic!("page {pgno} is missing at TXID {}", view.txid()),
                Err(error) if self.may_fail(error.kind()) => pages.push(None),
                Err(error) => panic!("page {pgno} at TXID {}: {error}", view.txid()),
            }
        }
        let page_size = view.page_size() as usize;
        let is_equal = |state: &OracleDatabase| {
            let is_same = |(page, content): (&Option<Page>, &pages::PageContent)| {
                page.as_ref().is_none_or(|page| **page == *content.bytes(page_size))
            };
            let has_size = state.page_size == page_size && state.pages.len() == pages.len();
            has_size && pages.iter().zip(&state.pages).all(is_same)
        };
        let mut states = self.primary.oracle().states(view.txid());
        let Some((history, state)) = states.find(|(_, state)| is_equal(state)) else {
            panic!("the view at TXID {} is not a state of the primary", view.txid());
        };
        let schema = state.pages[0].schema().expect("page 1 has a schema");
        drop(states);
        if let Some(page_1) = &pages[0] {
            self.check_cookie(view, page_1, schema).await;
        }
        history
    }

    /// Asserts that page 1 shows different cookies for different schemas, because statements stay compiled while the cookie
    /// stays the same.
    async fn check_cookie(&mut self, view: &Arc<View>, page_1: &Page, schema: ModelSchema) {
        match self.replica.schemas.read_cookie(view, page_1).await {
            Ok(cookie) => {
                let compiled = *self.compiled.entry(cookie).or_insert(schema);
                assert_eq!(compiled, schema, "cookie {cookie} at TXID {}", view.txid());
                assert_eq!(view.schema_cookie(), Some(cookie));
            }
            Err(error) => assert!(self.may_fail(error.kind()), "the schema at TXID {}: {error}", view.txid()),
        }
    }

    fn may_fail(&self, kind: ErrorKind) -> bool {
        kind == ErrorKind::TooOld || kind == ErrorKind::Unreachable && !self.world.is_calm()
    }

    /// Asserts that a store without faults is followed to the newest state within a few polls, and that every page is read.
    async fn settle(&mut self) {
        self.primary.ensure_base();
        for _ in 0..POLLS_TO_SETTLE {
            self.poll().await;
        }
        let (newest, why) =
            (self.primary.oracle().newest(), (self.replica.health.stall_reason(), self.replica.health.last_error()));
        assert_eq!(self.seen, newest, "the follower is stuck: {why:?}");
        assert!(self.replica.lag() < Some(Duration::from_secs(5)), "the newest state is not confirmed");
        let view = self.replica.head();
        for pgno in view.iter().flat_map(|view| 1..=view.commit()) {
            let page = self.replica.page(view.as_ref().expect("a view"), pgno, &self.prefetcher).await;
            assert!(matches!(page, Ok(Some(_))), "page {pgno} of the newest state cannot be read: {page:?}");
        }
    }
}
