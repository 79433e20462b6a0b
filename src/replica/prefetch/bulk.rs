//! Fetches the rest of a table, an index, a part of one, or the database, once waiting for single pages has cost as much.

use crate::replica::dbformat::btree;
use crate::replica::dbformat::btree::PageKind;
use crate::replica::prefetch::nodes::Node;
use crate::replica::prefetch::wait_costs::{DATABASE, Waits};
use crate::replica::prefetch::{SharedPrefetch, Source};
use crate::replica::view::View;
use std::collections::HashSet;
use std::sync::Arc;

/// A subtree is fetched after at least this many waits for its leaves. Fewer say nothing about the other leaves.
const MIN_LEAF_WAITS: u32 = 3;

/// How many frames are looked at to estimate the size of many.
const SAMPLES: usize = 8;
const DATABASE_SAMPLES: usize = 64;

/// The maximum number of pages that are requested at once, which bounds the memory for the plan of a large bulk fetch.
const BATCH: usize = 16 << 10;

/// Up to this many concurrent connections are assumed to transfer at least half as many times as much as one.
const CONNECTIONS: u32 = 6;

/// Counts a wait for the page at the end of `path`, and starts a bulk fetch if the waits have cost as much.
pub(super) fn on_wait(source: &Source<'_>, path: &[(Arc<Node>, usize)], kind: PageKind) {
    let round_trip_bytes = source.round_trip_bytes();
    let (database_waits, subtree_waits) = {
        let mut costs = source.shared.wait_costs.lock();
        costs.allow(source.neighbour_bytes());
        let subtrees: Vec<Waits> = path.iter().map(|(node, _)| costs.add(node.pgno, kind)).collect();
        (costs.add(DATABASE, kind), subtrees)
    };
    if fetch_database_if_due(source, database_waits) {
        return;
    }
    if kind != PageKind::Leaf {
        // The size of the subtrees is only known when the path ends at a leaf.
        return;
    }
    for (level, (rest, waits)) in subtree_sizes(source, path).into_iter().zip(subtree_waits).enumerate() {
        if waits.leaves < MIN_LEAF_WAITS
            || !waits.cost_as_much_as(rest.bytes, round_trip_bytes)
            || !fits(source, rest.pages)
        {
            continue;
        }
        let bytes = size_with_gaps(source, path, rest);
        let below: Vec<u32> = path[level..].iter().map(|(node, _)| node.pgno).collect();
        if waits.cost_as_much_as(bytes, round_trip_bytes) && start(source, &below, bytes) {
            let (shared, view) = (source.shared.clone(), source.view.clone());
            return source.shared.fetcher.spawn(fetch_subtree(shared, view, below[0], below.len()));
        }
    }
}

/// Counts the first read of a page 1 as a wait if there was none before, so that a small database is fetched at once. Later
/// reads of page 1 do not count, however often it changes.
pub(super) fn on_page_1(source: &Source<'_>) {
    let waits = source.shared.wait_costs.lock().add_first(DATABASE);
    if let Some(waits) = waits {
        fetch_database_if_due(source, waits);
    }
}

/// Starts to fetch the whole database if the waits have cost as much. Returns true if it did.
fn fetch_database_if_due(source: &Source<'_>, waits: Waits) -> bool {
    if !fits(source, source.view.commit().into()) {
        return false;
    }
    let bytes = database_size(source);
    let weighted = Waits { total: weighted_database_waits(waits), ..waits };
    // In a full cache directory nothing is missing.
    let is_due =
        bytes > 0 && weighted.cost_as_much_as(bytes, source.round_trip_bytes()) && start(source, &[DATABASE], bytes);
    if is_due {
        source.shared.fetcher.spawn(fetch_database(source.shared.clone(), source.view.clone()));
    }
    is_due
}

/// Returns how many round trips fetching the database may cost: one at the first page, so that a small database is fetched
/// at once. It soon exceeds the number of waits, because the database comes over several connections, and must be complete
/// before a download over one connection would be.
fn weighted_database_waits(waits: Waits) -> u32 {
    let lookups = waits.leaves.max(1);
    (lookups + 1) * lookups.min(CONNECTIONS) / 2
}

/// Counts a bulk fetch. Returns false if too much was fetched in bulk recently.
fn start(source: &Source<'_>, below: &[u32], bytes: u64) -> bool {
    source.shared.wait_costs.lock().start_bulk_fetch(below.iter().copied(), bytes, max_bytes(source))
}

/// Returns true if the cache has room for `pages` pages beside some others, and keeps them until they are read.
fn fits(source: &Source<'_>, pages: u64) -> bool {
    let bytes = pages.saturating_mul(source.view.page_size().into());
    bytes <= max_bytes(source) && pages <= source.speculative_room()
}

/// Returns the maximum size of a bulk fetch in bytes.
fn max_bytes(source: &Source<'_>) -> u64 {
    source.shared.fetcher.cache().room(source.view.page_size()) / 4 * 3
}

/// The estimated size of the pages of a subtree that are not in the cache.
#[derive(Clone, Copy)]
struct RestSize {
    bytes: u64,
    pages: u64,
}

/// Returns the size of the subtree below each page of a path, from the top. It is measured for the last page; above, each
/// child is assumed to be as large as the one on the path.
fn subtree_sizes(source: &Source<'_>, path: &[(Arc<Node>, usize)]) -> Vec<RestSize> {
    let mut size = RestSize { bytes: 0, pages: 1 };
    let mut sizes: Vec<RestSize> = Vec::with_capacity(path.len());
    for (node, _) in path.iter().rev() {
        let children = node.children.len() as u64;
        size.bytes = match sizes.len() {
            0 => missing_bytes(source, children, &sample(&node.children, SAMPLES)),
            _ => size.bytes.saturating_mul(children),
        };
        size.pages = size.pages.saturating_mul(children);
        sizes.push(size);
    }
    sizes.reverse();
    sizes
}

/// Returns the bytes of a subtree together with the gaps between its pages that requests read too.
fn size_with_gaps(source: &Source<'_>, path: &[(Arc<Node>, usize)], size: RestSize) -> u64 {
    let Some((parent, _)) = path.last() else { return size.bytes };
    let missing: Vec<u32> = parent.children.iter().copied().filter(|pgno| source.is_missing(*pgno)).collect();
    let without_gaps: u64 = missing.iter().filter_map(|pgno| source.frame_size(*pgno)).map(u64::from).sum();
    let with_gaps = source.shared.fetcher.request_bytes(source.view, &missing, &source.shared.free_list());
    (u128::from(size.bytes) * u128::from(with_gaps) / u128::from(without_gaps.max(1))) as u64
}

fn database_size(source: &Source<'_>) -> u64 {
    let commit = u64::from(source.view.commit());
    let step = commit.div_ceil(DATABASE_SAMPLES as u64).max(1);
    let pages: Vec<u32> = (1..=source.view.commit()).step_by(step as usize).collect();
    missing_bytes(source, commit, &pages)
}

fn sample(pages: &[u32], count: usize) -> Vec<u32> {
    pages.iter().step_by(pages.len().div_ceil(count).max(1)).copied().collect()
}

/// Estimates how many bytes of `count` pages are not in the cache, from a sample of them.
fn missing_bytes(source: &Source<'_>, count: u64, sample: &[u32]) -> u64 {
    let missing = sample.iter().filter(|pgno| source.is_missing(**pgno));
    let bytes: u64 = missing.filter_map(|pgno| source.frame_size(*pgno)).map(u64::from).sum();
    bytes.saturating_mul(count) / sample.len().max(1) as u64
}

/// Fetches the subtree below a page: all interior pages of each depth at once, then the leaves.
async fn fetch_subtree(shared: Arc<SharedPrefetch>, view: Arc<View>, top: u32, depth: usize) {
    let mut pages = vec![top];
    for _ in 0..depth {
        fetch_batches(&shared, &view, &pages).await;
        let children = |pgno: &u32| btree::children(&shared.fetcher.peek(&view, *pgno)?, *pgno, view.commit());
        // A page has one parent, unless the database is damaged.
        let mut seen = HashSet::new();
        pages = pages.iter().filter_map(children).flatten().filter(|pgno| seen.insert(*pgno)).collect();
    }
    fetch_batches(&shared, &view, &pages).await;
}

/// Fetches every page of the database that is not free.
async fn fetch_database(shared: Arc<SharedPrefetch>, view: Arc<View>) {
    shared.clone().load_free_list(view.clone()).await;
    let mut first = 1;
    while first <= view.commit() {
        let pages: Vec<u32> = (first..=view.commit()).take(BATCH).collect();
        fetch_batches(&shared, &view, &pages).await;
        first = first.saturating_add(BATCH as u32);
    }
}

async fn fetch_batches(shared: &SharedPrefetch, view: &View, pages: &[u32]) {
    for pages in pages.chunks(BATCH) {
        let free = shared.free_list();
        let pages: Vec<u32> = pages.iter().copied().filter(|pgno| !free.contains(*pgno)).collect();
        shared.fetcher.fetch_missing(view, &pages, &free).await;
    }
}
