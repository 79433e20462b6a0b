//! A place in the order of a table's or an index's pages, and the steps from it in either direction.

use crate::replica::prefetch::Source;
use crate::replica::prefetch::nodes::{Node, Nodes};
use std::sync::Arc;

/// Which way a reader goes through the keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Up,
    Down,
}

/// A page, by the way to it.
#[derive(Clone)]
pub(super) struct ScanCursor {
    /// Never empty.
    path: Vec<(Arc<Node>, usize)>,
}

/// What a step leads to.
pub(super) enum CursorStep {
    /// The next page, at the same depth.
    Page(u32),
    /// An inner page that is not here, without which the next page cannot be known, by its parent and which child of it
    /// it is. The cursor stays.
    Unknown(Arc<Node>, usize),
    /// There is none.
    End,
}

impl Way {
    /// Up to `count` children of a page, from one on.
    pub(super) fn children(self, node: &Node, from: Option<usize>, count: usize) -> impl Iterator<Item = u32> {
        let positions = std::iter::successors(from, move |position| self.from(*position));
        positions.map_while(|position| node.children.get(position).copied()).take(count)
    }

    fn from(self, position: usize) -> Option<usize> {
        match self {
            Way::Up => position.checked_add(1),
            Way::Down => position.checked_sub(1),
        }
    }

    fn first_of(self, node: &Node) -> usize {
        match self {
            Way::Up => 0,
            Way::Down => node.children.len() - 1,
        }
    }
}

impl ScanCursor {
    /// At the end of a way; None for a page above which nothing is known.
    pub(super) fn at(path: Vec<(Arc<Node>, usize)>) -> Option<ScanCursor> {
        (!path.is_empty()).then_some(ScanCursor { path })
    }

    /// The inner pages above it, from the top.
    pub(super) fn path(&self) -> &[(Arc<Node>, usize)] {
        &self.path
    }

    /// Goes to the next page.
    pub(super) fn step(&mut self, way: Way, source: &Source<'_>, nodes: &mut Nodes) -> CursorStep {
        let depth = self.path.len();
        let turn = self.path.iter().enumerate().rev().find_map(|(level, (node, position))| {
            let next = way.from(*position).filter(|next| *next < node.children.len())?;
            Some((level, next))
        });
        let Some((level, next)) = turn else { return CursorStep::End };
        let mut below = vec![(self.path[level].0.clone(), next)];
        let mut page = self.path[level].0.children[next];
        while level + below.len() < depth {
            let Some(node) = nodes.get(source, page) else {
                return match below.pop() {
                    Some((parent, position)) => CursorStep::Unknown(parent, position),
                    None => CursorStep::End,
                };
            };
            let first = way.first_of(&node);
            page = node.children[first];
            below.push((node, first));
        }
        self.path.truncate(level);
        self.path.extend(below);
        CursorStep::Page(page)
    }

    /// The inner pages without which nobody sees `bytes` ahead, up to `most` at each depth; `page` is the length of a page
    /// at the depth of the cursor.
    pub(super) fn inner_ahead(&self, way: Way, bytes: u64, page: u64, most: usize) -> Vec<u32> {
        let (mut known, mut below, mut inner) = (0, page.max(1), Vec::new());
        for (level, (node, position)) in self.path.iter().enumerate().rev() {
            let remaining = match way {
                Way::Up => node.children.len() - 1 - position,
                Way::Down => *position,
            };
            known += remaining as u64 * below;
            below = below.saturating_mul(node.children.len() as u64);
            let Some((parent, position)) = level.checked_sub(1).map(|above| &self.path[above]) else { break };
            if let Some(unknown) = bytes.checked_sub(known) {
                let count = usize::try_from(1 + unknown / below).unwrap_or(most).min(most);
                inner.extend(way.children(parent, way.from(*position), count));
            }
        }
        inner
    }
}
