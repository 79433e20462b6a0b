//! How much of what came last was fetched before anybody asked for it and was not read yet.
//!
//! A page that is not read is pushed out after as many bytes have come as such pages may take. Some stay longer, where nothing
//! pushes them out. They take no room from those that come, so only what came last counts.

use crate::replica::cache::{Page, weight};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts in two turns, of which each is half of what pushes a page out. What came before them is not counted.
#[derive(Default)]
pub(super) struct Unread {
    /// Weight of all pages of this turn.
    came: AtomicU64,
    /// Weight of those that were not read, of this turn and of the one before.
    now: AtomicU64,
    before: AtomicU64,
}

impl Unread {
    /// Takes account of a page that comes; `cold` is how many bytes push out a page that is not read.
    pub(super) fn note(&self, page: &Page, cold: u64) {
        let weight = weight(page);
        if self.came.fetch_add(weight, Ordering::Relaxed) + weight > cold / 2 {
            self.came.store(0, Ordering::Relaxed);
            self.before.store(self.now.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
        if page.is_unread() {
            self.now.fetch_add(weight, Ordering::Relaxed);
        }
    }

    /// A page is read. Most are read in the order in which they came.
    pub(super) fn less(&self, weight: u64) {
        let less = |unread: u64| unread.checked_sub(weight);
        let was_before = self.before.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if was_before.is_err() {
            let _ = self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// What was not read.
    pub(super) fn weight(&self) -> u64 {
        self.now.load(Ordering::Relaxed) + self.before.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(guess: u32) -> Page {
        Page::new(512, guess, |_| Ok::<(), ()>(())).expect("a page")
    }

    #[test]
    fn what_came_last_counts_until_it_is_read() {
        let (unread, one) = (Unread::default(), weight(&page(0)));
        let cold = 8 * one;
        (0..3).for_each(|_| unread.note(&page(7), cold));
        unread.note(&page(0), cold);
        assert_eq!(unread.weight(), 3 * one);
        unread.less(one);
        assert_eq!(unread.weight(), 2 * one);
        // A turn later they count, after two they do not.
        (0..4).for_each(|_| unread.note(&page(0), cold));
        assert_eq!(unread.weight(), 2 * one);
        (0..8).for_each(|_| unread.note(&page(0), cold));
        assert_eq!(unread.weight(), 0);
        unread.less(one);
        assert_eq!(unread.weight(), 0);
    }
}
