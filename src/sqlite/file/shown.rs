//! What page 1 shows to SQLite, and what SQLite has counted on from there.
//!
//! SQLite keeps its cache as long as page 1 has the change counter under which it has cached, and its schema as long as page 1 has the schema
//! cookie. It counts both on in its transactions, and takes the result for that of its own state without reading it. If a statement is open or
//! `locking_mode=EXCLUSIVE` is set, it counts on from transaction to transaction, and reaches the numbers of other states. These are shown to it
//! under numbers that nothing else has.

use crate::replica::{View, unused_cookie, unused_number};
use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;

/// Offset of the change counter in page 1.
pub(super) const COUNTER: usize = 24;
/// Offset of the schema cookie in page 1.
pub(super) const SCHEMA_COOKIE: usize = 40;

/// What SQLite has read and written in page 1 of a file.
#[derive(Debug, Default)]
pub(super) struct ShownHeader {
    /// The change counter under which SQLite has cached; 0 for a database without pages.
    counter: Cell<u32>,
    /// The schema cookie in page 1 as SQLite has it; 0 for a database without pages.
    cookie: Cell<u32>,
    /// A counter that SQLite has reached although it is that of another state, and what is shown in its place.
    other_counter: Cell<Option<(u32, u32)>>,
    /// The cookies that SQLite has counted itself.
    counted: RefCell<Vec<RangeInclusive<u32>>>,
    /// Those of them that belong to other schemas, and what is shown in their place.
    other_cookies: RefCell<Vec<(u32, u32)>>,
}

impl ShownHeader {
    /// Returns the change counter that SQLite reads in a state.
    pub fn counter_of(&self, view: &View) -> u32 {
        let number = view.counter();
        self.other_counter.get().filter(|other| other.0 == number).map_or(number, |other| other.1)
    }

    /// Returns the schema cookie that SQLite reads in a state to which this one is assigned.
    pub fn cookie_of(&self, assigned: u32) -> u32 {
        if !self.counted.borrow().iter().any(|counted| counted.contains(&assigned)) {
            return assigned;
        }
        let mut others = self.other_cookies.borrow_mut();
        if let Some(other) = others.iter().find(|other| other.0 == assigned) {
            return other.1;
        }
        let other = unused_cookie();
        others.push((assigned, other));
        other
    }

    /// Records that SQLite has read the bytes `part` of page 1, which begin at `start`.
    pub fn has_read(&self, part: &[u8], start: usize) {
        let field = |at: usize| part.get(at.checked_sub(start)?..)?.first_chunk().copied().map(u32::from_be_bytes);
        field(COUNTER).into_iter().for_each(|counter| self.counter.set(counter));
        field(SCHEMA_COOKIE).into_iter().for_each(|cookie| self.cookie.set(cookie));
    }

    /// Records that SQLite has committed a transaction with these fields in page 1. `view` is the state after it; None if there is no view.
    pub fn has_committed(&self, counter: u32, cookie: u32, view: Option<&View>) {
        self.counter.set(counter);
        if view.map(View::counter) != Some(counter) {
            self.other_counter.set(Some((counter, unused_number())));
        }
        let before = self.cookie.replace(cookie);
        if cookie != before {
            self.count(if cookie > before { before + 1..=cookie } else { cookie..=cookie });
        }
    }

    fn count(&self, cookies: RangeInclusive<u32>) {
        let mut counted = self.counted.borrow_mut();
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
        assert_ne!(shown.cookie_of(5), 5, "PRAGMA schema_version");
        assert_eq!(shown.cookie_of(6), 6);
    }
}
