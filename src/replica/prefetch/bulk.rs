//! When waiting has cost as much as fetching all of it: the rest of a table, an index, a part of one, or the database.

use crate::replica::dbformat::btree;
use crate::replica::dbformat::btree::PageKind;
use crate::replica::fetch::Fetcher;
use crate::replica::prefetch::Source;
use crate::replica::prefetch::nodes::Node;
use crate::replica::prefetch::waits::{DATABASE, Paid};
use crate::replica::view::View;
use std::sync::Arc;

/// Waits for one leaf or two say nothing about their neighbours.
const FIRST_LEAVES: u32 = 3;

/// Pages looked at to estimate the length of many.
const SAMPLES: usize = 8;
const SAMPLES_OF_DATABASE: usize = 64;

/// Pages asked for at once, so that a large purchase takes its memory bit by bit.
const PORTION: usize = 16 << 10;

/// The reader waited for a page at the end of `path`: perhaps that was once too often.
pub(super) fn consider(source: &Source<'_>, path: &[(Arc<Node>, usize)], kind: PageKind) {
    let Source { fetcher, view } = *source;
    let worth = fetcher.round_trip();
    let (of_database, of_parts) = {
        let mut rents = fetcher.rents.lock();
        rents.redeem(source.reach());
        let parts: Vec<Paid> = path.iter().map(|(node, _)| rents.pay(node.pgno, kind)).collect();
        (rents.pay(DATABASE, kind), parts)
    };
    if consider_database(source, of_database) {
        return;
    }
    if kind != PageKind::Leaf {
        // How much lies below the way is known once it has been gone to its end.
        return;
    }
    for (level, (price, paid)) in prices(source, path).into_iter().zip(of_parts).enumerate() {
        if paid.leaves < FIRST_LEAVES || !paid.suffices(price.bytes, worth) || !fits(source, price.pages) {
            continue;
        }
        let price = with_gaps(source, path, price);
        let below: Vec<u32> = path[level..].iter().map(|(node, _)| node.pgno).collect();
        if paid.suffices(price, worth) && fetcher.rents.lock().buy(below.iter().copied(), price, most(source)) {
            return fetcher.spawn(buy(fetcher.clone(), view.clone(), below[0], below.len()));
        }
    }
}

/// Somebody begins to read: a small database comes at once. What was noted before counts, so that this is worth
/// one wait, however often page 1 changes.
pub(super) fn begin(source: &Source<'_>) {
    let paid = source.fetcher.rents.lock().begin(DATABASE);
    if let Some(paid) = paid {
        consider_database(source, paid);
    }
}

/// Fetches all of the database if that is paid.
fn consider_database(source: &Source<'_>, paid: Paid) -> bool {
    let Source { fetcher, view } = *source;
    if !fits(source, view.commit().into()) {
        return false;
    }
    let price = price_of_database(source);
    let credit = Paid { waits: credit(paid), ..paid };
    let bought = credit.suffices(price, fetcher.round_trip())
        && fetcher.rents.lock().buy([DATABASE].into_iter(), price, most(source));
    if bought {
        fetcher.spawn(buy_database(fetcher.clone(), view.clone()));
    }
    bought
}

/// How many round trips the bytes of the whole database may be worth. One at the first page, so that a small one comes at
/// once. Soon more than were waited for: it comes over several connections, and must be here before somebody who
/// downloaded it over one would have it.
fn credit(paid: Paid) -> u32 {
    let lookups = paid.leaves.max(1);
    (lookups + 1) * lookups.min(CONNECTIONS) / 2
}

/// Connections that together are believed to be at least half so many times as fast as one.
const CONNECTIONS: u32 = 6;

/// What lies below a page and is not here, about.
#[derive(Clone, Copy)]
struct Price {
    bytes: u64,
    pages: u64,
}

/// Whether the cache can take so many pages, keep some others, and keep these until they are read.
fn fits(source: &Source<'_>, pages: u64) -> bool {
    let page_size = source.view.page_size();
    pages.saturating_mul(page_size.into()) <= most(source) && pages <= source.fetcher.room(page_size)
}

/// The most bytes to buy.
fn most(source: &Source<'_>) -> u64 {
    source.fetcher.cache().room(source.view.page_size()) / 4 * 3
}

/// What is missing below each page of a way, from the top: measured at its end, and where there are several such parts, as
/// many times as there are.
fn prices(source: &Source<'_>, path: &[(Arc<Node>, usize)]) -> Vec<Price> {
    let mut price = Price { bytes: 0, pages: 1 };
    let mut prices: Vec<Price> = Vec::with_capacity(path.len());
    for (node, _) in path.iter().rev() {
        let children = node.children.len() as u64;
        price.bytes = match prices.len() {
            0 => estimate(source, children, &sample(&node.children, SAMPLES)),
            _ => price.bytes * children,
        };
        price.pages *= children;
        prices.push(price);
    }
    prices.reverse();
    prices
}

/// The price with what lies between the pages and has to be fetched along.
fn with_gaps(source: &Source<'_>, path: &[(Arc<Node>, usize)], price: Price) -> u64 {
    let Some((parent, _)) = path.last() else { return price.bytes };
    let missing = parent.children.iter().filter(|pgno| source.fetcher.is_missing(source.view, **pgno));
    let missing: Vec<u32> = missing.copied().collect();
    let alone: u64 = missing.iter().filter_map(|pgno| Some(u64::from(source.view.locate(*pgno)?.size))).sum();
    let together = source.fetcher.cost(source.view, &missing);
    (u128::from(price.bytes) * u128::from(together) / u128::from(alone.max(1))) as u64
}

fn price_of_database(source: &Source<'_>) -> u64 {
    let commit = u64::from(source.view.commit());
    let step = commit.div_ceil(SAMPLES_OF_DATABASE as u64).max(1);
    let pages: Vec<u32> = (1..=source.view.commit()).step_by(step as usize).collect();
    estimate(source, commit, &pages)
}

fn sample(pages: &[u32], count: usize) -> Vec<u32> {
    pages.iter().step_by(pages.len().div_ceil(count).max(1)).copied().collect()
}

/// The bytes that are missing of `all` pages, from a look at some.
fn estimate(source: &Source<'_>, all: u64, some: &[u32]) -> u64 {
    let missing = some.iter().filter(|pgno| source.fetcher.is_missing(source.view, **pgno));
    let bytes: u64 = missing.filter_map(|pgno| Some(u64::from(source.view.locate(*pgno)?.size))).sum();
    bytes * all / some.len().max(1) as u64
}

/// Fetches what lies below a page: the inner pages of each depth at once, then the leaves.
async fn buy(fetcher: Arc<Fetcher>, view: Arc<View>, top: u32, depth: usize) {
    let mut pages = vec![top];
    for _ in 0..depth {
        bring(&fetcher, &view, &pages).await;
        let children = |pgno: &u32| btree::children(&fetcher.peek(&view, *pgno)?, *pgno, view.commit());
        pages = pages.iter().filter_map(children).flatten().collect();
    }
    bring(&fetcher, &view, &pages).await;
}

/// Fetches every page that holds anything.
async fn buy_database(fetcher: Arc<Fetcher>, view: Arc<View>) {
    fetcher.clone().learn_free(view.clone()).await;
    let mut first = 1;
    while first <= view.commit() {
        let pages: Vec<u32> = (first..=view.commit()).take(PORTION).collect();
        bring(&fetcher, &view, &pages).await;
        first = first.saturating_add(PORTION as u32);
    }
}

async fn bring(fetcher: &Arc<Fetcher>, view: &View, pages: &[u32]) {
    for pages in pages.chunks(PORTION) {
        let pages: Vec<u32> = pages.iter().copied().filter(|pgno| !fetcher.is_free(*pgno)).collect();
        fetcher.bring(view, &pages).await;
    }
}
