//! A replica in memory whose times are known, and asked for.

use crate::ltx::{Encoder, FileName, Form, Header, Level, PageSize};
use crate::replica::time_travel::*;
use crate::replica::{CacheLimits, Replica};
use crate::store::{Chunk, Counts, Memory, Version};
use async_trait::async_trait;
use proptest::prelude::*;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const BOUNDS: CacheLimits = CacheLimits { memory: 64 << 20, disk: 0 };

/// Files in memory with modification times, of which every one that a listing shows is counted.
#[derive(Default, Debug)]
struct DatedStore {
    files: Memory,
    modified: Mutex<HashMap<(Level, FileName), i64>>,
    /// At level 0.
    listed: AtomicU64,
    /// Whether every request fails.
    is_away: AtomicBool,
}

impl DatedStore {
    fn answer(&self) -> Result<(), store::StoreError> {
        match self.is_away.load(Ordering::Relaxed) {
            true => {
                Err(store::StoreError::new(store::StoreErrorKind::Unreachable, "memory://shelf", "it does not answer"))
            }
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Store for DatedStore {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, store::StoreError> {
        self.list_range(level, from..Txid(u64::MAX)).await
    }

    async fn list_range(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, store::StoreError> {
        self.answer()?;
        let mut files = self.files.list_range(level, range).await?;
        if level == Level::ZERO {
            self.listed.fetch_add(files.len() as u64, Ordering::Relaxed);
        }
        let modified = self.modified.lock();
        files.iter_mut().for_each(|file| file.modified_ms = modified[&(level, file.name)]);
        Ok(files)
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, store::StoreError> {
        self.answer()?;
        self.files.read(level, name, range, expected).await
    }
}

impl fmt::Display for DatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://shelf")
    }
}

/// A replica of a database of two pages, of which the first alone changes. Its transactions 1, 2, 3, … were written at
/// these times.
struct Model {
    shelf: Arc<DatedStore>,
    times: Vec<i64>,
    ends: Vec<u64>,
    /// A transaction that wrote both pages, if that is not the first.
    reset: u64,
}

fn header(name: FileName, ms: i64) -> Header {
    Header {
        flags: Header::NO_CHECKSUMS,
        page_size: PageSize::new(512).expect("a page size"),
        commit: 2,
        min_txid: name.min,
        max_txid: name.max,
        timestamp_ms: ms,
        pre_apply_checksum: 0,
        wal_offset: 0,
        wal_size: 0,
        wal_salt: [0, 0],
        node_id: 0,
    }
}

impl Model {
    fn new(times: Vec<i64>) -> Model {
        Model { shelf: Arc::default(), times, ends: Vec::new(), reset: 1 }
    }

    fn last(&self) -> u64 {
        self.times.len() as u64
    }

    /// A file, modified at that time by its store.
    fn put(&mut self, level: u8, min: u64, max: u64, ms: i64, modified: i64) {
        let (level, name) = (Level::new(level).expect("a level"), FileName { min: Txid(min), max: Txid(max) });
        let mut encoder = Encoder::new(header(name, ms), Form::Block);
        encoder.page(1, &[max as u8; 512]);
        if min == 1 || min == self.reset {
            encoder.page(2, &[0; 512]);
        }
        self.shelf.files.insert(level, name, encoder.finish());
        self.shelf.modified.lock().insert((level, name), modified);
        self.ends.push(max);
    }

    /// Files of transactions by the time of the last, as Litestream writes them.
    fn write(&mut self, level: u8, min: u64, max: u64) {
        let ms = self.times[max as usize - 1];
        self.put(level, min, max, ms, ms);
    }

    /// Level 0 whole, and levels 1 and 2 with 16 files of the level below in each.
    fn healthy(transactions: u64) -> Model {
        let mut model = Model::new((1..=transactions as i64).map(|number| number * 1000).collect());
        for txid in 1..=transactions {
            model.write(0, txid, txid);
            for (level, length) in [(1, 16), (2, 256)] {
                if txid % length == 0 {
                    model.write(level, txid - length + 1, txid);
                }
            }
        }
        model.put(9, 1, transactions / 2, transactions as i64 * 600, transactions as i64 * 600);
        model
    }

    async fn open(&self) -> Arc<Replica> {
        let replica = Arc::new(Replica::new(self.shelf.clone(), BOUNDS, Duration::from_secs(1)));
        replica.poll(Duration::ZERO).await.expect("a view");
        replica
    }

    /// The newest moment if this is its time, otherwise the last whose running maximum of times is at most this, by its
    /// definition. Files end at every moment that [`Model::ends`] says, and the earliest time that one gives is that of its
    /// transaction.
    fn oracle(&self, ms: i64) -> Option<Txid> {
        let mut ends = self.ends.clone();
        ends.sort_unstable();
        ends.dedup();
        if let Some(newest) = ends.last().filter(|newest| self.times[**newest as usize - 1] == ms) {
            return Some(Txid(*newest));
        }
        let until = ends.iter().take_while(|end| self.times[**end as usize - 1] <= ms);
        until.last().map(|end| Txid(*end))
    }
}

async fn at(replica: &Arc<Replica>, ms: i64) -> Option<Txid> {
    replica.view_of(Target::Time(ms)).await.ok().map(|view| view.expect("a moment of the past").txid())
}

fn since(replica: &Replica, before: Counts) -> u64 {
    let now = replica.files.store.counts();
    now.lists + now.reads - before.lists - before.reads
}

#[tokio::test]
async fn requests_grow_with_the_logarithm_of_the_files() {
    let mut costs = Vec::new();
    for transactions in [64, 4096] {
        let model = Model::healthy(transactions);
        let replica = model.open().await;
        model.shelf.listed.store(0, Ordering::Relaxed);
        let before = replica.files.store.counts();
        let middle = transactions / 3;
        assert_eq!(at(&replica, middle as i64 * 1000 + 999).await, Some(Txid(middle)));
        costs.push((since(&replica, before), model.shelf.listed.load(Ordering::Relaxed)));

        let before = replica.files.store.counts();
        assert_eq!(at(&replica, middle as i64 * 1000 + 999).await, Some(Txid(middle)), "and again");
        assert_eq!(replica.view_of(Target::Latest).await.expect("no question").map(|_| ()), None);
        assert!(replica.view_of(Target::Txid(Txid(middle))).await.is_ok());
        assert_eq!(since(&replica, before), 0, "back and forth");
    }
    // Recorded; 64 times as many files take twice as many requests.
    assert_eq!(costs, RECORDED);
}

/// Requests, and files of level 0 that listings showed, of 64 transactions and of 4096.
const RECORDED: [(u64, u64); 2] = [(37, 17), (58, 17)];

#[tokio::test]
async fn the_last_moments_of_a_day_are_told_without_listing_it() {
    let model = Model::healthy(86_400);
    let replica = model.open().await;
    model.shelf.listed.store(0, Ordering::Relaxed);
    let before = replica.files.store.counts();
    let mut history = MomentList::default();
    let rows = replica.time_travel.older(&mut history).await.expect("moments");
    let told: Vec<u64> = rows.iter().map(|row| row.txid.0).collect();
    assert_eq!(told, (86_400 - FIRST..=86_400).rev().collect::<Vec<_>>());
    assert!(
        rows.iter().all(|row| row.time_ms == row.txid.0 as i64 * 1000 && row.pages == 2 && row.level == Level::ZERO)
    );
    assert_eq!(model.shelf.listed.load(Ordering::Relaxed), 64);
    assert!(since(&replica, before) < 40);

    let mut all = told.len();
    loop {
        let rows = replica.time_travel.older(&mut history).await.expect("moments");
        let last = 86_400 - all as u64;
        assert!(rows.iter().zip((1..=last).rev()).all(|(row, expected)| row.txid == Txid(expected)));
        all += rows.len();
        if rows.is_empty() {
            break;
        }
    }
    assert_eq!(all, 86_400);
}

/// Behind the newest, in the first lot.
const FIRST: u64 = 15;

#[tokio::test]
async fn the_history_is_what_can_be_reached_whatever_level_holds_it() {
    // Level 0 is gone but for the end, and before its beginning nothing leads on to transactions 11 to 20.
    let mut model = Model::new((1..=300).map(|number| number * 10).collect());
    for (level, min, max) in [(9, 1, 10), (1, 15, 20), (9, 1, 40), (2, 41, 200), (1, 201, 216), (1, 217, 290)] {
        model.write(level, min, max);
    }
    (280..=300).for_each(|txid| model.write(0, txid, txid));
    let replica = model.open().await;
    let mut history = MomentList::default();
    let mut told = Vec::new();
    loop {
        let rows = replica.time_travel.older(&mut history).await.expect("moments");
        if rows.is_empty() {
            break;
        }
        told.extend(rows.iter().map(|row| (row.txid.0, row.level.number())));
    }
    let mut expected: Vec<(u64, u8)> = (290..=300).rev().map(|txid| (txid, 0)).collect();
    expected.extend([(216, 1), (200, 2), (40, 9), (10, 9)]);
    assert_eq!(told, expected);
    for (txid, _) in told {
        assert!(replica.view_of(Target::Txid(Txid(txid))).await.is_ok(), "{txid} is one that one can go to");
    }
}

#[tokio::test]
async fn level_0_alone_is_told_from_its_end() {
    let mut model = Model::new((1..=1000).collect());
    (1..=1000).for_each(|txid| model.write(0, txid, txid));
    let replica = model.open().await;
    model.shelf.listed.store(0, Ordering::Relaxed);
    let rows = replica.time_travel.older(&mut MomentList::default()).await.expect("moments");
    assert_eq!(rows.len(), 16);
    assert_eq!(model.shelf.listed.load(Ordering::Relaxed), 65);
}

async fn all(replica: &Replica) -> Vec<u64> {
    let (mut history, mut told) = (MomentList::default(), Vec::new());
    loop {
        let rows = replica.time_travel.older(&mut history).await.expect("moments");
        if rows.is_empty() {
            return told;
        }
        told.extend(rows.iter().map(|row| row.txid.0));
    }
}

/// The replica was lost and the primary was reset: there is no file of the first transaction, and one that is whole.
#[tokio::test]
async fn moments_begin_anew_with_a_whole_file_behind_a_hole() {
    for old in [0, 40] {
        let mut model = Model::new((1..=1000).map(|number| number * 10).collect());
        model.reset = 500;
        (1..=old).for_each(|txid| model.write(0, txid, txid));
        (500..=1000).for_each(|txid| model.write(0, txid, txid));
        for (level, min, max) in [(1, 500, 531), (1, 532, 563), (2, 500, 563)] {
            model.write(level, min, max);
        }
        let replica = model.open().await;
        let expected: Vec<u64> = (500..=1000).rev().chain((1..=old).rev()).collect();
        assert_eq!(all(&replica).await, expected);
        for ms in [5000, 5009, 5310, 5631, 7777, 10_000] {
            assert_eq!(at(&replica, ms).await, Some(Txid(ms as u64 / 10)), "at {ms}");
        }
        assert_eq!(at(&replica, 4999).await, (old > 0).then_some(Txid(old)));
        assert!(replica.view_of(Target::Txid(Txid(501))).await.is_ok());
        let error = replica.view_of(Target::Txid(Txid(300))).await.expect_err("no such moment").to_string();
        assert!(error.contains(&Txid(500).to_string()), "{error}");
    }
}

/// Retention deletes level 0 file by file, so the next one can hold every page (after VACUUM) while a file of level 1 bridges the
/// gap before it. The search by time once found a moment there that neither the history nor `litestream restore` knows.
#[tokio::test]
async fn a_whole_file_in_a_gap_that_another_bridges_is_no_moment() {
    let mut model = Model::new((1..=20).map(|number| number * 10).collect());
    model.reset = 12;
    for (level, min, max) in [(1, 1, 5), (1, 6, 10), (1, 11, 14), (0, 12, 12), (0, 13, 13), (0, 14, 14), (0, 15, 15)] {
        model.write(level, min, max);
    }
    let replica = model.open().await;
    assert_eq!(all(&replica).await, [15, 14, 10, 5]);
    for (ms, txid) in [(109, 10), (120, 10), (139, 10), (140, 14), (150, 15)] {
        assert_eq!(at(&replica, ms).await, Some(Txid(txid)), "at {ms}");
    }
}

#[tokio::test]
async fn edges_have_errors_that_name_what_there_is() {
    let mut model = Model::new((1..=30).map(|number| number * 1000).collect());
    for (level, min, max) in [(9, 1, 10), (1, 11, 20), (0, 21, 21), (0, 22, 22), (0, 25, 25)] {
        model.write(level, min, max);
    }
    let replica = model.open().await;
    let error = |target| {
        let replica = replica.clone();
        async move { replica.view_of(target).await.expect_err("no such moment").to_string() }
    };
    let early = error(Target::Time(9_999)).await;
    assert!(early.ends_with("the earliest it holds is of 1970-01-01T00:00:10.000Z"), "{early}");
    assert_eq!(at(&replica, 10_000).await, Some(Txid(10)));
    let [ten, twenty, newest] = [10, 20, 22].map(Txid);
    for (txid, text) in [
        (1, format!("the earliest is {ten}")),
        (15, format!("the nearest are {ten} below and {twenty} above")),
        (23, format!("the newest is {newest}")),
        // A file ends there, and nothing leads to it.
        (25, format!("the newest is {newest}")),
        (u64::MAX, format!("the newest is {newest}")),
    ] {
        let found = error(Target::Txid(Txid(txid))).await;
        assert!(found.contains(&format!("{}", Txid(txid))) && found.ends_with(&text), "{found}");
    }
}

/// The two views are the same one: their pages, their index and their place in SQLite's cache.
#[tokio::test]
async fn the_newest_moment_by_its_time_is_the_newest_view() {
    let model = Model::healthy(100);
    let replica = model.open().await;
    let found = replica.view_of(Target::Time(100_000)).await.expect("a moment").expect("of the past");
    assert!(Arc::ptr_eq(&found, &replica.head().expect("a view")));
}

/// A primary whose clock is ahead of this host's: every time that it wrote is one of the past.
#[tokio::test]
async fn the_future_begins_behind_the_newest_state() {
    let ahead = time::now_ms() + 3_600_000;
    let mut model = Model::new((1..=5).map(|number| ahead + number * 1000).collect());
    (1..=3).for_each(|txid| model.write(0, txid, txid));
    let replica = model.open().await;
    let found = async |target| replica.view_of(target).await.expect("a view").map(|view| view.txid().0);
    for (ms, txid) in [(1000, Some(1)), (1999, Some(1)), (2000, Some(2)), (3000, Some(3)), (3001, None)] {
        assert_eq!(found(Target::Time(ahead + ms)).await, txid, "{ms} ms");
    }
    assert_eq!(found(Target::Now).await, Some(3));
    let error = replica.view_of(Target::Time(ahead)).await.expect_err("before the first").to_string();
    assert!(error.contains("the earliest it holds is of"), "{error}");

    // Another process has seen what this one has not.
    model.write(0, 4, 4);
    assert_eq!(found(Target::Time(ahead + 4000)).await, Some(4));
    model.write(0, 5, 5);
    assert_eq!(found(Target::Now).await, Some(5));
    assert_eq!(found(Target::Latest).await, None);
}

/// The time of the newest state leads to it, however earlier states are stamped; so does `now`.
#[tokio::test]
async fn the_newest_state_is_found_by_its_time_after_a_clock_was_set_back() {
    let mut model = Model::new(vec![9000, 8000, 5000]);
    (1..=3).for_each(|txid| model.write(0, txid, txid));
    let replica = model.open().await;
    assert_eq!(at(&replica, 5000).await, Some(Txid(3)));
    assert_eq!(at(&replica, 8000).await, None, "no state of which no earlier one is later");
    assert_eq!(at(&replica, 9000).await, Some(Txid(3)));
    let now = replica.view_of(Target::Now).await.expect("a view").expect("a moment");
    assert_eq!(now.txid(), Txid(3));
}

#[tokio::test]
async fn now_is_the_newest_known_while_the_store_does_not_answer() {
    let mut model = Model::new(vec![1000]);
    model.write(0, 1, 1);
    let replica = model.open().await;
    model.shelf.is_away.store(true, Ordering::Relaxed);
    let now = replica.view_of(Target::Now).await.expect("a view").expect("a moment");
    assert_eq!(now.txid(), Txid(1));
}

fn run(test: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test)
}

proptest! {
    /// Few files, so that all are looked at: clocks may do what they like, modification times too.
    #[test]
    fn times_are_a_running_maximum(
        written in prop::collection::vec((0u8..3, 1u64..4, -40i64..60), 1..15),
        compacted: bool,
        snapshot in any::<prop::sample::Index>(),
        late in 0i64..500,
        modified in prop::collection::vec(0i64..2000, 20),
        asked in prop::collection::vec(500i64..1500, 10),
    ) {
        let mut model = Model::new(Vec::new());
        let (mut now, mut modified) = (1000, modified.into_iter());
        for (level, length, went) in written {
            let min = model.last() + 1;
            now += went;
            // All but the last of the transactions in a file leave no trace.
            model.times.resize((min + if compacted { length } else { 1 }) as usize - 1, now);
            let level = if compacted { 1 + level } else { 0 };
            model.put(level, min, model.last(), now, modified.next().expect("enough"));
        }
        if compacted {
            // A snapshot is stamped when it is made.
            let end = *snapshot.get(&model.ends);
            model.put(9, 1, end, model.times[end as usize - 1] + late, modified.next().expect("enough"));
        }
        run(async {
            let replica = model.open().await;
            let edges: Vec<i64> = model.times.iter().flat_map(|ms| [ms - 1, *ms, ms + 1]).collect();
            for ms in asked.into_iter().chain(edges) {
                prop_assert_eq!(at(&replica, ms).await, model.oracle(ms), "at {}", ms);
            }
            Ok(())
        })?;
    }

    /// Many files, written by a clock that goes forward, now and then not at all; modification times say anything.
    #[test]
    fn many_moments_are_searched_exactly(
        steps in prop::collection::vec((0i64..3, 0i64..1000), 1..600),
        kept in 0u64..600,
        snapshot in any::<prop::sample::Index>(),
        asked in prop::collection::vec(0i64..1300, 20),
    ) {
        let mut now = 100;
        let (times, modified): (Vec<i64>, Vec<i64>) = steps
            .into_iter()
            .map(|(went, modified)| {
                now += went;
                (now, modified)
            })
            .unzip();
        let mut model = Model::new(times);
        for txid in 1..=model.last() {
            let (ms, modified) = (model.times[txid as usize - 1], modified[txid as usize - 1]);
            // Retention has thinned what is old.
            if txid > kept / 8 * 8 || txid > model.last() / 8 * 8 {
                model.put(0, txid, txid, ms, modified);
            }
            if txid % 8 == 0 {
                model.put(1, txid - 7, txid, ms, modified);
            }
        }
        // Made long after its last transaction, of whose time another file tells.
        let end = *snapshot.get(&model.ends);
        model.put(9, 1, end, model.times[end as usize - 1] + 1000, 0);
        run(async {
            let replica = model.open().await;
            for ms in asked {
                prop_assert_eq!(at(&replica, ms).await, model.oracle(ms), "at {}", ms);
            }
            Ok(())
        })?;
    }

    /// A clock ran ahead for a while and was set back. Whoever asks for a time that it showed only then gets the state
    /// before, and whoever asks for one that it showed twice gets the first.
    #[test]
    fn a_clock_that_was_set_back_is_noticed(
        transactions in 100u64..400,
        start in 0.0f64..0.8,
        ahead in 100i64..100_000,
        intact: bool,
        asked in prop::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        let first = (transactions as f64 * start) as i64;
        let stretch = first..first + transactions as i64 / 5;
        let real = |number: i64| 1000 + number * 100;
        let shown = |number| real(number) + if stretch.contains(&number) { ahead } else { 0 };
        let mut model = Model::new((1..=transactions as i64).map(shown).collect());
        for txid in 1..=transactions {
            let ms = model.times[txid as usize - 1];
            let modified = if intact { ms } else { real(txid as i64) };
            model.put(0, txid, txid, ms, modified);
            if txid % 4 == 0 {
                model.put(1, txid - 3, txid, ms, modified);
            }
        }
        run(async {
            let replica = model.open().await;
            for ms in asked {
                let ms = model.times[ms.index(model.times.len())] + 50;
                let expected = model.oracle(ms);
                // What stands out for no longer than this may be overlooked.
                let first = expected.unwrap_or_default().0 as usize;
                let later = model.times[first..].iter().take_while(|shown| **shown > ms).count();
                if first + later == model.times.len() || later >= model.times.len() / 10 {
                    prop_assert_eq!(at(&replica, ms).await, expected, "at {}", ms);
                }
            }
            Ok(())
        })?;
    }
}
