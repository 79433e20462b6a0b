//! Models: what several threads share, run in many orders of their steps. The scheduler can switch between the threads at each lock
//! of `crate::lock`. A model fails if an assertion fails, or if threads wait for each other forever.
//!
//! `scripts/sanitize models` runs them.

use crate::lock::Mutex;
use crate::ltx::{Level, Txid};
use crate::replica::dbformat::freelist::FreeList;
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::follow::head::Head;
use crate::replica::testing::one_page::{file, name, of_two};
use crate::replica::view::View;
use crate::replica::{CacheLimits, Replica};
use crate::store::Memory;
use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How many orders are tried.
const SCHEDULES: usize = 2000;

const LIMITS: CacheLimits = CacheLimits { memory: 1 << 20, disk: 0 };

/// Runs a model in many orders. Tasks of the runtime run only while the model drives it.
fn explore(model: impl Fn(&Runtime) + Send + Sync + 'static) {
    let run = move || {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let _entered = runtime.enter();
        model(&runtime);
    };
    shuttle::check_random(run, SCHEDULES);
}

/// Returns a replica of which every file is read in parts.
fn replica_in_parts(store: &Arc<Memory>) -> Arc<Replica> {
    let sizes = FetchSizes { whole_sync: 0, whole: 0, ..FetchSizes::USUAL };
    Arc::new(Replica::with(store.clone(), LIMITS, Duration::from_secs(1), sizes, None))
}

/// Returns the views of the first `count` transactions.
fn views(runtime: &Runtime, replica: &Replica, store: &Memory, count: u64) -> Vec<Arc<View>> {
    let mut view = |txid| {
        store.insert(Level::ZERO, name(txid), file(txid));
        runtime.block_on(replica.poll(Duration::ZERO)).expect("a poll");
        replica.head().expect("a view")
    };
    (1..=count).map(&mut view).collect()
}

/// The writer and the follower publish one after the other. Whoever waits for the last view gets it, and the page cache the memory that it
/// leaves.
#[test]
fn the_last_published_view_is_announced_last() {
    explore(|runtime| {
        let store = Arc::new(Memory::new());
        let replica = Arc::new(Replica::new(store.clone(), LIMITS, Duration::from_secs(1)));
        let views = views(runtime, &replica, &store, 3);
        let head = Arc::new(Head::new(replica.fetcher.clone(), LIMITS));
        head.publish(None, views[0].clone());
        let publishers = [0, 1].map(|before| {
            let (head, views) = (head.clone(), views.clone());
            thread::spawn(move || {
                while head.view().is_none_or(|view| !Arc::ptr_eq(&view, &views[before])) {
                    thread::yield_now();
                }
                assert!(Arc::ptr_eq(
                    &head.publish(Some(&views[before]), views[before + 1].clone()),
                    &views[before + 1]
                ));
            })
        });
        let mut newest = head.subscribe();
        block_on(newest.wait_for(|txid| *txid == Txid(3))).expect("the last transaction");
        publishers.map(|publisher| publisher.join().expect("no panic"));
        assert_eq!(*head.subscribe().borrow(), Txid(3));
        assert_eq!(replica.fetcher.cache().capacity(), LIMITS.memory - views[2].held());
    });
}

/// Readers that need the same pages share the requests, and each gets its page.
#[test]
fn each_page_is_fetched_once_by_concurrent_readers() {
    explore(|runtime| {
        let store = Arc::new(Memory::new());
        store.insert(Level::ZERO, name(1), of_two(1, 1));
        let replica = replica_in_parts(&store);
        runtime.block_on(replica.poll(Duration::ZERO)).expect("a poll");
        let view = replica.head().expect("a view");
        let before = replica.files.store.counts();
        let readers = [1, 2, 1, 2].map(|pgno| {
            let (replica, view) = (replica.clone(), view.clone());
            thread::spawn(move || {
                let page = block_on(replica.fetcher.page(&view, pgno, &FreeList::default()));
                assert_eq!(page.expect("a page").expect("a page of the view")[..], [101; 512]);
            })
        });
        readers.map(|reader| reader.join().expect("no panic"));
        assert_eq!(replica.fetcher.pages_in_flight(), 0);
        let requests = replica.files.store.counts().reads - before.reads;
        assert!(requests <= 2, "{requests} requests for two pages");
    });
}

/// A poll that a caller shares has begun after the call, so it shows what was written before.
#[test]
fn a_shared_poll_shows_what_was_written_before_the_call() {
    explore(|runtime| {
        let store = Arc::new(Memory::new());
        let replica = Arc::new(Replica::new(store.clone(), LIMITS, Duration::from_secs(1)));
        let (written, ended) = (Arc::new(Mutex::new(0)), Arc::new(AtomicUsize::new(0)));
        let callers = [(); 3].map(|()| {
            let (store, replica, written, ended) = (store.clone(), replica.clone(), written.clone(), ended.clone());
            thread::spawn(move || {
                let mut last = written.lock();
                *last += 1;
                let txid = *last;
                store.insert(Level::ZERO, name(txid), file(txid));
                drop(last);
                block_on(replica.follower.poll(Duration::ZERO)).expect("a poll");
                assert!(replica.head().expect("a view").txid() >= Txid(txid));
                ended.fetch_add(1, Ordering::SeqCst);
            })
        });
        while ended.load(Ordering::SeqCst) < callers.len() {
            runtime.block_on(tokio::task::yield_now());
            thread::yield_now();
        }
        callers.map(|caller| caller.join().expect("no panic"));
    });
}
