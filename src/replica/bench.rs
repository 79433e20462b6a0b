//! Access to internals for the micro-benchmarks. Requires the feature `bench`, which no release enables.

use crate::ltx::{Encoder, FileName, Form, Header, Level, PageSize, Txid};
use crate::replica::files::ltx_file::LoadedFile;
use crate::replica::files::plan;
use crate::replica::prefetch::Prefetcher;
use crate::replica::view::{View, ViewBuilder, build};
use crate::replica::{CacheLimits, Page, Replica};
use crate::store::{Listed, Memory, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

const PAGE_SIZE: u32 = 512;

/// A replica in memory: a snapshot, and a later file that changes some of its pages.
pub struct Subject {
    runtime: Runtime,
    replica: Arc<Replica>,
    view: Arc<View>,
    next: Vec<LoadedFile>,
}

impl Subject {
    /// Creates a database of `pages` pages, of which the later file changes `changed`, evenly spread.
    ///
    /// # Panics
    ///
    /// Panics if `changed` is 0 or greater than `pages`, because the file could not be written.
    pub fn new(pages: u32, changed: u32) -> Subject {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let store = Arc::new(Memory::new());
        store.insert(Level::SNAPSHOT, name(1), file(1, pages, 1..=pages));
        let cache = CacheLimits { memory: 1 << 32, disk: 0 };
        let replica = Arc::new(Replica::new(store.clone(), cache, Duration::from_secs(1)));
        runtime.block_on(replica.poll(Duration::ZERO)).expect("the snapshot is read");
        let view = replica.head().expect("a snapshot is a view");
        store.insert(Level::ZERO, name(2), file(2, pages, (1..=pages).step_by((pages / changed) as usize)));
        let listed = runtime.block_on(store.list(Level::ZERO, Txid(2))).expect("memory is listed");
        let next = runtime.block_on(build::read_all(&replica.files.loader, &listed));
        Subject { next: next.expect("memory is read"), runtime, replica, view }
    }

    /// Locates a page, and returns the length of its frame.
    pub fn locate(&self, pgno: u32) -> Option<u32> {
        self.view.locate(pgno).map(|extent| extent.size)
    }

    /// Fetches a page and its neighbours.
    pub fn fetch(&self, pgno: u32) -> Option<Page> {
        self.runtime.block_on(self.replica.page(&self.view, pgno, &Prefetcher::new())).expect("memory is read")
    }

    /// Returns a page from the cache.
    pub fn cached(&self, pgno: u32) -> Option<Page> {
        self.replica.fetcher.cached(&self.view, pgno)
    }

    /// Builds the view with the later file applied.
    pub fn next_view(&self) -> View {
        let mut draft = ViewBuilder::from(&self.view);
        self.next.iter().for_each(|file| draft.apply(file));
        draft.finish(self.view.epoch(), None).expect("every page is there")
    }
}

/// Returns a listing as after a day: a snapshot, and later files of levels 0 and 1.
pub fn listing(level_0: u64, level_1: u64) -> Vec<Listed> {
    let listed = |level, min, max| Listed {
        level,
        name: FileName { min: Txid(min), max: Txid(max) },
        size: 1,
        version: None,
        modified_ms: 0,
    };
    let each = level_0 / level_1;
    let compacted = (0..level_1).map(|n| listed(Level::new(1).expect("a level"), n * each + 2, (n + 1) * each + 1));
    let synced = (2..level_0 + 2).map(|txid| listed(Level::ZERO, txid, txid));
    std::iter::once(listed(Level::SNAPSHOT, 1, 1)).chain(compacted).chain(synced).collect()
}

/// Returns how many files lead to the newest state of a listing.
pub fn plan(listed: &[Listed]) -> usize {
    plan::newest(listed).first().map_or(0, |chain| chain.files.len())
}

fn name(txid: u64) -> FileName {
    FileName::of(Txid(txid))
}

fn file(txid: u64, commit: u32, pages: impl Iterator<Item = u32>) -> Vec<u8> {
    let header = Header::plain(PageSize::new(PAGE_SIZE).expect("a page size"), commit, name(txid));
    let mut encoder = Encoder::new(header, Form::Block);
    let lock_page = header.page_size.lock_page();
    for pgno in pages.filter(|pgno| *pgno != lock_page) {
        encoder.page(pgno, &[pgno as u8; PAGE_SIZE as usize]);
    }
    encoder.finish()
}
