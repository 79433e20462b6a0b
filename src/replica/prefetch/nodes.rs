//! The interior pages of tables and indexes that a reader has read: the position of a page in the order of its keys.

use crate::replica::dbformat::btree;
use crate::replica::prefetch::Source;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// An interior page.
pub(super) struct Node {
    pub pgno: u32,
    /// The number of the file that has this version of the page.
    file: u32,
    /// In key order.
    pub children: Vec<u32>,
}

/// The numbers of the interior pages that were read last. Has no lock, so that a cached read hardly pays for it.
pub(super) struct Recent {
    pages: [AtomicU32; RECENT],
    /// How many were noted in total.
    count: AtomicU32,
}

const RECENT: usize = 128;

impl Recent {
    pub(super) fn new() -> Recent {
        Recent { pages: [const { AtomicU32::new(0) }; RECENT], count: AtomicU32::new(0) }
    }

    /// Notes an interior page. If two threads call this at once, one page number may be lost.
    #[inline]
    pub(super) fn note(&self, pgno: u32) {
        let count = self.count.load(Ordering::Relaxed);
        if self.at(count.wrapping_sub(1)) != pgno {
            self.pages[count as usize % RECENT].store(pgno, Ordering::Relaxed);
            self.count.store(count.wrapping_add(1), Ordering::Relaxed);
        }
    }

    fn at(&self, position: u32) -> u32 {
        self.pages[position as usize % RECENT].load(Ordering::Relaxed)
    }
}

/// The maximum number of children that are remembered.
const MAX_CHILDREN: usize = 16 << 10;

/// The known interior pages, each in the version that was read last, and the parent of each page.
#[derive(Default)]
pub(super) struct Nodes {
    known: HashMap<u32, Arc<Node>>,
    /// How many children those have.
    children: usize,
    /// By child. Only a hint, because a page may have moved since.
    parents: HashMap<u32, u32>,
    /// How many of the recent pages were processed.
    processed: u32,
}

impl Nodes {
    /// Returns an interior page as it is in the view, if it is known or in the cache.
    pub(super) fn get(&mut self, source: &Source<'_>, pgno: u32) -> Option<Arc<Node>> {
        let file = source.view.file_of(pgno)?.number;
        if let Some(node) = self.known.get(&pgno).filter(|node| node.file == file) {
            return Some(node.clone());
        }
        let page = source.peek(pgno)?;
        let children = btree::children(&page, pgno, source.view.commit())?;
        let node = Arc::new(Node { pgno, file, children });
        self.insert(node.clone());
        Some(node)
    }

    /// Remembers an interior page in place of its earlier version, whose children are still among those with parents.
    fn insert(&mut self, node: Arc<Node>) {
        if let Some(earlier) = self.known.remove(&node.pgno) {
            self.children -= earlier.children.len();
        }
        if self.children.max(self.parents.len()) + node.children.len() > MAX_CHILDREN {
            self.known.clear();
            self.parents.clear();
            self.children = 0;
        }
        self.children += node.children.len();
        self.parents.extend(node.children.iter().map(|child| (*child, node.pgno)));
        self.known.insert(node.pgno, node);
    }

    /// Adds the interior pages that were read since the last call.
    pub(super) fn update(&mut self, source: &Source<'_>, recent: &Recent) {
        let count = recent.count.load(Ordering::Relaxed);
        let unprocessed = count.wrapping_sub(self.processed) as usize;
        let first = if unprocessed > RECENT { count - RECENT as u32 } else { self.processed };
        (first..count).for_each(|position| drop(self.get(source, recent.at(position))));
        self.processed = count;
    }

    /// Returns the path to a page from its topmost known ancestor: each interior page, and the position of the next page
    /// among its children.
    pub(super) fn path(&mut self, source: &Source<'_>, pgno: u32) -> Vec<(Arc<Node>, usize)> {
        let (mut path, mut visited, mut child) = (Vec::new(), HashSet::from([pgno]), pgno);
        while let Some(parent) = self.parents.get(&child).copied().filter(|parent| visited.insert(*parent)) {
            let Some(node) = self.get(source, parent) else { break };
            let Some(position) = node.children.iter().position(|other| *other == child) else { break };
            path.push((node, position));
            child = parent;
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Target;
    use crate::ltx::{Encoder, Form, Header, Level, PageSize, Txid};
    use crate::replica::testing::one_page::name;
    use crate::replica::{CacheLimits, Replica};
    use crate::store::Memory;
    use std::time::Duration;

    const ROOT: u32 = 2;

    /// The root of a table with the children 3, 4 and 5.
    fn root(version: u64) -> [u8; 512] {
        let mut page = [0; 512];
        page[..16].copy_from_slice(&[5, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 5, 1, 0, 1, 8]);
        page[256..260].copy_from_slice(&3u32.to_be_bytes());
        page[264..268].copy_from_slice(&4u32.to_be_bytes());
        page[504..].copy_from_slice(&version.to_be_bytes());
        page
    }

    /// The file of a transaction. The first writes every page, the others only the root.
    fn file(txid: u64) -> Vec<u8> {
        let header = Header::plain(PageSize::new(512).expect("a page size"), 5, name(txid));
        let mut encoder = Encoder::new(header, Form::Block);
        let pages = if txid == 1 { 1..=5 } else { ROOT..=ROOT };
        pages.for_each(|pgno| encoder.page(pgno, &if pgno == ROOT { root(txid) } else { [0; 512] }));
        encoder.finish()
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_version_of_an_interior_page_replaces_the_earlier_one() {
        const VERSIONS: u64 = 20;
        let store = Arc::new(Memory::default());
        (1..=VERSIONS).for_each(|txid| store.insert(Level::ZERO, name(txid), file(txid)));
        let replica = Replica::new(store, CacheLimits { memory: 1 << 20, disk: 0 }, Duration::from_secs(1));
        replica.poll(Duration::ZERO).await.expect("a view");
        let mut nodes = Nodes::default();
        for txid in 1..=VERSIONS {
            let view = replica.view_of(Target::Txid(Txid(txid))).await.expect("a view").expect("a past state");
            replica.prefetch.page(&view, ROOT).await.expect("a page").expect("a page of the view");
            let node = nodes.get(&Source { shared: &replica.prefetch, view: &view }, ROOT).expect("an interior page");
            let file = view.file_of(ROOT).expect("a file").number;
            assert_eq!((node.file, &node.children[..]), (file, &[3, 4, 5][..]), "version {txid}");
            assert_eq!((nodes.known.len(), nodes.parents.len()), (1, 3), "version {txid}");
        }
    }

    /// Interior pages that name the same children, as in a damaged database.
    #[test]
    fn nodes_are_limited_by_their_children_even_if_they_share_them() {
        let mut nodes = Nodes::default();
        for pgno in 0..1000 {
            nodes.insert(Arc::new(Node { pgno, file: 0, children: vec![7; 100] }));
        }
        assert!(nodes.known.len() <= MAX_CHILDREN / 100, "{}", nodes.known.len());
    }
}
