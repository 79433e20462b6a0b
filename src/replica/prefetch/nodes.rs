//! The inner pages of tables and indexes that a reader came by: where a page lies in the order of its keys.

use crate::replica::cache::PageKey;
use crate::replica::dbformat::btree;
use crate::replica::prefetch::Source;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// An inner page.
pub(super) struct Node {
    pub pgno: u32,
    /// In the order of their keys.
    pub children: Vec<u32>,
}

/// The inner pages read last, without a lock: noting one costs a warm read next to nothing.
pub(super) struct Recent {
    pages: [AtomicU32; RECENT],
    /// How many were noted.
    count: AtomicU32,
}

const RECENT: usize = 128;

impl Recent {
    pub(super) fn new() -> Recent {
        Recent { pages: [const { AtomicU32::new(0) }; RECENT], count: AtomicU32::new(0) }
    }

    /// Notes an inner page. One reader at a time; two would lose a note.
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

/// More children than this are not remembered at once.
const MOST_CHILDREN: usize = 16 << 10;

/// The inner pages that are known, and whose child each page is.
#[derive(Default)]
pub(super) struct Nodes {
    known: HashMap<PageKey, Arc<Node>>,
    /// By child. A page may have moved since it was noted, so this is no more than where to look.
    parents: HashMap<u32, u32>,
    /// How many of the recent pages were looked at.
    seen: u32,
}

impl Nodes {
    /// An inner page as it is in the view, if it is here.
    pub(super) fn get(&mut self, source: &Source<'_>, pgno: u32) -> Option<Arc<Node>> {
        let key = PageKey { file: source.view.locate(pgno)?.file.number, pgno };
        if let Some(node) = self.known.get(&key) {
            return Some(node.clone());
        }
        let page = source.fetcher.peek(source.view, pgno)?;
        let children = btree::children(&page, pgno, source.view.commit())?;
        if self.parents.len() + children.len() > MOST_CHILDREN {
            self.known.clear();
            self.parents.clear();
        }
        self.parents.extend(children.iter().map(|child| (*child, pgno)));
        let node = Arc::new(Node { pgno, children });
        self.known.insert(key, node.clone());
        Some(node)
    }

    /// Takes account of the inner pages that were read since the last call.
    pub(super) fn absorb(&mut self, source: &Source<'_>, recent: &Recent) {
        let count = recent.count.load(Ordering::Relaxed);
        let first = if count.wrapping_sub(self.seen) as usize > RECENT { count - RECENT as u32 } else { self.seen };
        (first..count).for_each(|position| drop(self.get(source, recent.at(position))));
        self.seen = count;
    }

    /// The way to a page from the topmost page above it that is known: each inner page, and which child is next.
    pub(super) fn path(&mut self, source: &Source<'_>, pgno: u32) -> Vec<(Arc<Node>, usize)> {
        let (mut path, mut passed, mut child) = (Vec::new(), HashSet::from([pgno]), pgno);
        while let Some(parent) = self.parents.get(&child).copied().filter(|parent| passed.insert(*parent)) {
            let Some(node) = self.get(source, parent) else { break };
            let Some(position) = node.children.iter().position(|other| *other == child) else { break };
            path.push((node, position));
            child = parent;
        }
        path.reverse();
        path
    }
}
