//! The interior pages of tables and indexes that a reader has read: the position of a page in the order of its keys.

use crate::replica::cache::PageKey;
use crate::replica::dbformat::btree;
use crate::replica::prefetch::Source;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// An interior page.
pub(super) struct Node {
    pub pgno: u32,
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

/// The known interior pages, and the parent of each page.
#[derive(Default)]
pub(super) struct Nodes {
    known: HashMap<PageKey, Arc<Node>>,
    /// By child. Only a hint, because a page may have moved since.
    parents: HashMap<u32, u32>,
    /// How many of the recent pages were processed.
    processed: u32,
}

impl Nodes {
    /// Returns an interior page as it is in the view, if it is known or in the cache.
    pub(super) fn get(&mut self, source: &Source<'_>, pgno: u32) -> Option<Arc<Node>> {
        let key = PageKey { file: source.view.file_of(pgno)?.number, pgno };
        if let Some(node) = self.known.get(&key) {
            return Some(node.clone());
        }
        let page = source.peek(pgno)?;
        let children = btree::children(&page, pgno, source.view.commit())?;
        if self.parents.len() + children.len() > MAX_CHILDREN {
            self.known.clear();
            self.parents.clear();
        }
        self.parents.extend(children.iter().map(|child| (*child, pgno)));
        let node = Arc::new(Node { pgno, children });
        self.known.insert(key, node.clone());
        Some(node)
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
