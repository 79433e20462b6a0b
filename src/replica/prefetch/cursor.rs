//! A position in the key order of a table's or an index's pages, and the steps from it in either direction.

use crate::replica::prefetch::Source;
use crate::replica::prefetch::nodes::{Node, Nodes};
use std::sync::Arc;

/// The direction in which a reader goes through the keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

/// The position of a page, as the path to it.
#[derive(Clone)]
pub(super) struct ScanCursor {
    /// Never empty.
    path: Vec<(Arc<Node>, usize)>,
}

/// The result of a step.
pub(super) enum CursorStep {
    /// The next page, at the same depth.
    Page(u32),
    /// The next page is below an interior page that is not in the cache, which is given by its parent and its position among
    /// the parent's children. The cursor has not moved.
    Unknown(Arc<Node>, usize),
    /// There is no next page.
    End,
}

impl Direction {
    /// Returns up to `count` children of a page, beginning at a position.
    pub(super) fn children(self, node: &Node, from: Option<usize>, count: usize) -> impl Iterator<Item = u32> {
        let positions = std::iter::successors(from, move |position| self.next(*position));
        positions.map_while(|position| node.children.get(position).copied()).take(count)
    }

    fn next(self, position: usize) -> Option<usize> {
        match self {
            Direction::Ascending => position.checked_add(1),
            Direction::Descending => position.checked_sub(1),
        }
    }

    fn first_of(self, node: &Node) -> usize {
        match self {
            Direction::Ascending => 0,
            Direction::Descending => node.children.len() - 1,
        }
    }
}

impl ScanCursor {
    /// Returns a cursor at the end of a path, or None if the path is empty.
    pub(super) fn at(path: Vec<(Arc<Node>, usize)>) -> Option<ScanCursor> {
        (!path.is_empty()).then_some(ScanCursor { path })
    }

    /// Returns the interior pages above the page, from the top.
    pub(super) fn path(&self) -> &[(Arc<Node>, usize)] {
        &self.path
    }

    /// Moves to the next page.
    pub(super) fn step(&mut self, direction: Direction, source: &Source<'_>, nodes: &mut Nodes) -> CursorStep {
        let depth = self.path.len();
        let turn = self.path.iter().enumerate().rev().find_map(|(level, (node, position))| {
            let next = direction.next(*position).filter(|next| *next < node.children.len())?;
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
            let first = direction.first_of(&node);
            page = node.children[first];
            below.push((node, first));
        }
        self.path.truncate(level);
        self.path.extend(below);
        CursorStep::Page(page)
    }

    /// Returns the interior pages that are needed to know the next `bytes`, at most `max` at each depth. `page_size` is the
    /// length of a page's frame at the depth of the cursor.
    pub(super) fn interior_ahead(&self, direction: Direction, bytes: u64, page_size: u64, max: usize) -> Vec<u32> {
        let (mut known, mut below, mut interior) = (0u64, page_size.max(1), Vec::new());
        for (level, (node, position)) in self.path.iter().enumerate().rev() {
            let remaining = match direction {
                Direction::Ascending => node.children.len() - 1 - position,
                Direction::Descending => *position,
            };
            known = known.saturating_add(below.saturating_mul(remaining as u64));
            below = below.saturating_mul(node.children.len() as u64);
            let Some((parent, position)) = level.checked_sub(1).map(|above| &self.path[above]) else { break };
            if let Some(unknown) = bytes.checked_sub(known) {
                let count = usize::try_from(1 + unknown / below).unwrap_or(max).min(max);
                interior.extend(direction.children(parent, direction.next(*position), count));
            }
        }
        interior
    }
}
