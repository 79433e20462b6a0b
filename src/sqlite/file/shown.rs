//! What page 1 shows to SQLite, and what SQLite has counted on from there.
//!
//! SQLite keeps its cache as long as page 1 has the change counter under which it has cached, and its schema as long as page 1 has the schema
//! cookie. It counts both on in its transactions, and takes the result for that of its own state without reading it. If a statement is open or
//! `locking_mode=EXCLUSIVE` is set, it counts on from transaction to transaction, and reaches the numbers of other states. These are shown to it
//! under numbers that nothing else has.

use crate::replica::header::{COUNTER, SCHEMA_COOKIE};
use crate::replica::{View, unused_cookie, unused_number};
use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;

/// A transaction that changes the schema more often than this has set the cookie, and has not counted it.
const MOST_STEPS: u32 = 1 << 16;

/// What SQLite has read and written in page 1 of a file.
#[derive(Debug, Default)]
pub(super) struct ShownHeader {
    /// The change counter under which SQLite has cached; 0 for a database without pages.
    counter: Cell<u32>,
    /// The schema cookie in page 1 as SQLite has it; 0 for a database without pages.
    cookie: Cell<u32>,
    /// A counter that SQLite has reached although it is that of another state, and what is shown in its place. At first 0 for 0: with an Option,
    /// the optimized code would compare bytes that are not initialized, which valgrind reports.
    other_counter: Cell<(u32, u32)>,
    /// The cookies that SQLite has counted itself.
    counted: RefCell<Vec<RangeInclusive<u32>>>,
    /// Those of them that belong to other schemas, and what is shown in their place.
    other_cookies: RefCell<Vec<(u32, u32)>>,
}

impl ShownHeader {
    /// Returns the change counter that SQLite reads in a state.
    pub fn counter_of(&self, view: &View) -> u32 {
        let (number, (other, shown)) = (view.counter(), self.other_counter.get());
        if number == other { shown } else { number }
    }

    /// Returns the schema cookie that SQLite reads in a state to which this one is assigned.
    pub fn cookie_of(&self, assigned: u32) -> u32 {
        let counted = self.counted.borrow();
        let is_counted = |cookie: u32| counted.iter().any(|counted| counted.contains(&cookie));
        if !is_counted(assigned) {
            return assigned;
        }
        let mut others = self.other_cookies.borrow_mut();
        // SQLite counts on from these cookies as well.
        others.retain(|other| !is_counted(other.1));
        if let Some(other) = others.iter().find(|other| other.0 == assigned) {
            return other.1;
        }
        let mut other = unused_cookie();
        while is_counted(other) {
            other = unused_cookie();
        }
        others.push((assigned, other));
        other
    }

    /// Records that SQLite has read the bytes `part` of page 1, which begin at `start`.
    pub fn has_read(&self, part: &[u8], start: usize) {
        let field = |at: usize| part.get(at.checked_sub(start)?..)?.first_chunk().copied().map(u32::from_be_bytes);
        field(COUNTER).into_iter().for_each(|counter| self.counter.set(counter));
        field(SCHEMA_COOKIE).into_iter().for_each(|cookie| self.cookie.set(cookie));
    }

    /// Records that SQLite has committed a transaction with these fields in page 1. `view` is the state after it, if the pages that SQLite has
    /// cached are as it shows them; None if not, or if there is no view.
    pub fn has_committed(&self, counter: u32, cookie: u32, view: Option<&View>) {
        self.counter.set(counter);
        if view.map(View::counter) != Some(counter) {
            self.other_counter.set((counter, unused_number()));
        }
        let before = self.cookie.replace(cookie);
        self.count(match cookie.checked_sub(before) {
            Some(steps @ 1..MOST_STEPS) => cookie - steps + 1..=cookie,
            // `PRAGMA schema_version = N` leaves N - 1 in the memory of SQLite, also if N was set before.
            Some(0) => cookie.saturating_sub(1)..=cookie.saturating_sub(1),
            _ => cookie.saturating_sub(1)..=cookie,
        });
    }

    fn count(&self, cookies: RangeInclusive<u32>) {
        let mut counted = self.counted.borrow_mut();
        if counted.iter().any(|other| other.contains(cookies.start()) && other.contains(cookies.end())) {
            return;
        }
        match counted.last_mut() {
            Some(last) if last.end().checked_add(1) == Some(*cookies.start()) => *last = *last.start()..=*cookies.end(),
            _ => counted.push(cookies),
        }
    }

    pub fn counter(&self) -> u32 {
        self.counter.get()
    }

    pub fn cookie(&self) -> u32 {
        self.cookie.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_that_sqlite_has_counted_are_shown_for_no_other_schema() {
        let shown = ShownHeader::default();
        let mut page_1 = [0; 100];
        page_1[SCHEMA_COOKIE..SCHEMA_COOKIE + 4].copy_from_slice(&7u32.to_be_bytes());
        shown.has_read(&page_1[24..40], 24);
        assert_eq!(shown.cookie(), 0, "the cookie was not read");
        shown.has_read(&page_1, 0);
        assert_eq!((shown.cookie(), shown.cookie_of(7), shown.cookie_of(8)), (7, 7, 8));
        shown.has_committed(1, 9, None);
        shown.has_committed(2, 10, None);
        let others: Vec<u32> = (8..=10).map(|cookie| shown.cookie_of(cookie)).collect();
        assert!(others.iter().all(|other| *other > 10), "{others:?}");
        assert_eq!((8..=10).map(|cookie| shown.cookie_of(cookie)).collect::<Vec<_>>(), others);
        assert_eq!((shown.cookie_of(7), shown.cookie_of(11)), (7, 11));
        shown.has_committed(3, 5, None);
        assert!(shown.cookie_of(4) != 4 && shown.cookie_of(5) != 5, "PRAGMA schema_version = 5");
        assert_eq!(shown.cookie_of(6), 6);
    }

    #[test]
    fn a_cookie_that_replaces_another_is_replaced_once_sqlite_has_counted_to_it() {
        let shown = ShownHeader::default();
        shown.has_committed(1, 3, None);
        let (two, three) = (shown.cookie_of(2), shown.cookie_of(3));
        let mut page_1 = [0; 100];
        page_1[SCHEMA_COOKIE..SCHEMA_COOKIE + 4].copy_from_slice(&two.min(three).to_be_bytes());
        shown.has_read(&page_1, 0);
        for step in 1..1000 {
            shown.has_committed(1 + step, two.min(three) + step, None);
            let reached = shown.cookie();
            let found = [1, 2, 3].map(|cookie| shown.cookie_of(cookie));
            assert!(!found.contains(&reached) && found.iter().all(|cookie| *cookie > 3), "{found:?}: {reached}");
        }
        shown.has_committed(1, u32::MAX, None);
        assert!(shown.cookie_of(3) > 3, "a cookie is found after PRAGMA schema_version = -1");
    }
}
