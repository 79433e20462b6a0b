//! Counts the pages in the cache that were fetched speculatively and have not been read yet.
//!
//! A page that is not read is evicted after as many bytes have been inserted as unread pages may take. If nothing
//! evicts it, it stays longer, but then it takes no room from new pages. So only recently inserted pages are counted.

use crate::replica::cache::{Page, weight};
use std::sync::atomic::{AtomicU64, Ordering};

/// The weight of the unread pages of the current and the previous period. A period ends when half as many bytes have
/// been inserted as evict an unread page. Pages of earlier periods are not counted.
#[derive(Default)]
pub(super) struct Unread {
    /// Weight of all pages of the current period.
    inserted: AtomicU64,
    /// Weight of the unread pages of the current period.
    current: AtomicU64,
    /// Weight of the unread pages of the previous period.
    previous: AtomicU64,
}

impl Unread {
    /// Counts an inserted page. `cold` is how many inserted bytes evict an unread page.
    pub(super) fn add(&self, page: &Page, cold: u64) {
        let weight = weight(page);
        if self.inserted.fetch_add(weight, Ordering::Relaxed) + weight > cold / 2 {
            self.inserted.store(0, Ordering::Relaxed);
            self.previous.store(self.current.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
        if page.is_unread() {
            self.current.fetch_add(weight, Ordering::Relaxed);
        }
    }

    /// Subtracts a page that is read for the first time: from the previous period if possible, because most pages are
    /// read in the order in which they were inserted.
    pub(super) fn subtract(&self, weight: u64) {
        let subtract = |unread: u64| unread.checked_sub(weight);
        let subtracted = self.previous.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract);
        if subtracted.is_err() {
            let _ = self.current.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract);
        }
    }

    /// Returns the weight of the unread pages that are counted.
    pub(super) fn weight(&self) -> u64 {
        self.current.load(Ordering::Relaxed) + self.previous.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(unread: u32) -> Page {
        Page::new(512, unread, |_| Ok::<(), ()>(())).expect("a page")
    }

    #[test]
    fn recent_pages_count_until_they_are_read() {
        let (unread, one) = (Unread::default(), weight(&page(0)));
        let cold = 8 * one;
        (0..3).for_each(|_| unread.add(&page(7), cold));
        unread.add(&page(0), cold);
        assert_eq!(unread.weight(), 3 * one);
        unread.subtract(one);
        assert_eq!(unread.weight(), 2 * one);
        // They still count one period later, but not two periods later.
        (0..4).for_each(|_| unread.add(&page(0), cold));
        assert_eq!(unread.weight(), 2 * one);
        (0..8).for_each(|_| unread.add(&page(0), cold));
        assert_eq!(unread.weight(), 0);
        unread.subtract(one);
        assert_eq!(unread.weight(), 0);
    }
}
