//! The operations that write.

use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::replica::files::{listing, plan};
use crate::replica::testing::faults::operations::FaultWorld;
use crate::replica::testing::faults::sample::{NEWEST, NEXT, PAGE_SIZE, SAMPLE};
use crate::replica::testing::faults::store::Faulty;
use crate::replica::write::Overlay;
use crate::replica::{CacheLimits, CompactionSettings, Compactor, Replica};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The page that commits write. Attempt *n* changes the *n*th byte from its end.
const WRITTEN: u32 = 40;

/// The bytes that up to 20 attempts change.
const ATTEMPTS: Range<usize> = PAGE_SIZE - 20..PAGE_SIZE;

/// The fields of page 1 that a commit changes.
const COUNTERS: [Range<usize>; 2] = [24..28, 92..100];

/// How the attempts to commit ended.
#[derive(Default, Debug)]
pub(super) struct Commits {
    attempts: usize,
    committed: Vec<usize>,
    unknown: Vec<usize>,
}

/// Compares a page with that of the primary. If the replica was written, those bytes are left out that commits change.
pub(super) fn assert_page(txid: Txid, pgno: u32, page: &[u8]) {
    let is_same = |state: Txid| {
        let (mut page, mut expected) = (page.to_vec(), SAMPLE.state(state)[pgno as usize - 1].clone());
        let changed = match pgno {
            1 if state == NEWEST => &COUNTERS[..],
            WRITTEN if state == NEWEST => std::slice::from_ref(&ATTEMPTS),
            _ => &[],
        };
        for bytes in changed.iter().filter(|_| txid > NEWEST) {
            page[bytes.clone()].fill(0);
            expected[bytes.clone()].fill(0);
        }
        page == expected
    };
    assert!(is_same(txid.min(NEWEST)) || txid == NEXT && is_same(NEXT), "page {pgno} at {txid}");
}

impl FaultWorld {
    /// Tries to commit a transaction.
    pub(super) async fn commit(&mut self) -> Result<(), Error> {
        self.commits.attempts += 1;
        let attempt = self.commits.attempts;
        let committed = change(&self.replica, attempt).await;
        match &committed {
            Ok(()) => self.commits.committed.push(attempt),
            Err(error) if error.kind() == ErrorKind::Unconfirmed => self.commits.unknown.push(attempt),
            Err(_) => {}
        }
        committed
    }

    /// Checks that the newest state has each transaction whose commit succeeded, and none whose commit failed. Returns how many it has.
    pub(super) async fn check_commits(&self) -> u64 {
        self.replica.poll(Duration::ZERO).await.expect("a healthy store");
        let view = self.head();
        let page = self.replica.pages.page(&view, WRITTEN).await.expect("a healthy store").expect("a page");
        let before = &SAMPLE.state(NEWEST)[WRITTEN as usize - 1];
        let is_there = |attempt: usize| page[PAGE_SIZE - attempt] != before[PAGE_SIZE - attempt];
        for attempt in 1..=self.commits.attempts {
            let (committed, unknown) =
                (self.commits.committed.contains(&attempt), self.commits.unknown.contains(&attempt));
            assert!(unknown || committed == is_there(attempt), "attempt {attempt} of {:?}", self.commits);
        }
        (1..=self.commits.attempts).filter(|attempt| is_there(*attempt)).count() as u64
    }
}

/// Commits a transaction that changes one byte, as `BEGIN IMMEDIATE` and `COMMIT` do.
async fn change(replica: &Arc<Replica>, attempt: usize) -> Result<(), Error> {
    let _lock = replica.writer.lock()?;
    let view = replica.head().expect("a view");
    replica.writer.prepare(Some(&view), true).await?;
    let page = async |pgno| replica.pages.page(&view, pgno).await;
    let before = page(1).await?.expect("page 1").to_vec();
    let mut written = page(WRITTEN).await?.expect("a page").to_vec();
    written[PAGE_SIZE - attempt] ^= 0xff;
    let mut page_1 = before.clone();
    let counter = view.counter() + 1;
    [24, 92].into_iter().for_each(|at| page_1[at..at + 4].copy_from_slice(&counter.to_be_bytes()));
    let mut overlay = Overlay::new(Some(PAGE_SIZE as u32), u64::from(view.commit()) * PAGE_SIZE as u64);
    let nothing = |_: u32, _: &mut [u8]| Ok(());
    overlay.write(&page_1, 0, &nothing)?;
    overlay.write(&written, u64::from(WRITTEN - 1) * PAGE_SIZE as u64, &nothing)?;
    if let Some(journal) = replica.writer.journal() {
        return replica.writer.commit_to_journal(&journal, Some(&view), Some(&before), &overlay).map(drop);
    }
    let file = replica.writer.file(Some(&view), Some(&before), &overlay)?;
    replica.writer.put(Some(&view), file).await.map(drop)
}

/// Does all compactions that are due. All files are old.
pub(super) async fn compact(store: &Arc<Faulty>) -> Result<(), Error> {
    let now = 1_700_006_400_000;
    store.shows_times.store(true, Ordering::Relaxed);
    let report = Compactor::with_clock(store.clone(), CompactionSettings::default(), move || now).run_once().await?;
    report.failures.into_iter().next().map_or(Ok(()), Err)
}

/// Reads every state of the replica that its files lead to, and the newest. Returns the names of the files.
pub(super) async fn check_states(store: &Arc<Faulty>) -> Vec<String> {
    let files = listing::all(&**store).await.expect("a healthy store");
    let replica =
        Arc::new(Replica::new(store.clone(), CacheLimits { memory: 1 << 20, disk: 0 }, Duration::from_secs(1)));
    replica.poll(Duration::ZERO).await.expect("a state");
    assert_eq!(replica.head().map(|head| head.txid()), Some(NEWEST));
    for txid in files.iter().map(|file| file.name.max) {
        if !plan::at(&files, txid).is_ok_and(|chain| chain.start() == Txid(1)) {
            continue;
        }
        let state = replica.view_of(crate::config::Target::Txid(txid)).await.expect("a state").expect("a past state");
        for pgno in 1..=state.commit() {
            let page = replica.pages.page(&state, pgno).await.expect("a page").expect("a page");
            assert_page(txid, pgno, &page);
        }
    }
    files.iter().map(|file| format!("{} {}", file.level, file.name)).collect()
}
