//! The numbers of views.
//!
//! Page 1 shows the number of a view as the change counter, and SQLite keeps what it has cached as long as the counter stays the same. A
//! transaction counts on from the state that it began with, and SQLite keeps its pages under the next number. No other state may ever have
//! that number, whether or not the commit succeeds, and whatever views are made meanwhile. So each view has some numbers after its own, which
//! only the states get that SQLite writes after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many numbers a view has, with its own.
const BLOCK: u32 = 16;

/// The first number. Lower ones are those of new databases that were not committed: SQLite counts on from 0, and after the rollback it still
/// takes its empty page 1 for that of a state with the number that it has written.
const FIRST: u32 = 1 << 20;

/// The number of the next view. A forked child inherits the value, so that no view of the child has a number under which SQLite cached
/// pages before the fork.
static NEXT: AtomicU32 = AtomicU32::new(FIRST);

/// Returns a number that no other caller gets, and no view when it is made.
pub fn unused_number() -> u32 {
    ViewNumber::new().get()
}

/// The number of a view.
#[derive(Clone)]
pub(super) struct ViewNumber {
    value: u32,
    /// The last number of the block that a view has got.
    newest: Arc<AtomicU32>,
}

impl ViewNumber {
    /// Returns a number that no view has, and after which no other view gets one.
    pub(super) fn new() -> ViewNumber {
        let value = NEXT.fetch_add(BLOCK, Ordering::Relaxed);
        ViewNumber { value, newest: Arc::new(AtomicU32::new(value)) }
    }

    pub(super) fn get(&self) -> u32 {
        self.value
    }

    /// Returns the number for the state after a transaction that began with the state of this number: the one that SQLite has `written`, if
    /// no state has it yet, or another.
    pub(super) fn after(&self, written: u32) -> ViewNumber {
        // The last number of a block is given to no view, because SQLite would count on to another block.
        let is_next = written == self.value.wrapping_add(1) && written % BLOCK != BLOCK - 1;
        let taken =
            is_next && self.newest.compare_exchange(self.value, written, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if taken { ViewNumber { value: written, newest: self.newest.clone() } } else { ViewNumber::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_state_after_a_view_gets_the_number_that_sqlite_writes() {
        let (one, other) = (ViewNumber::new(), ViewNumber::new());
        let next = one.get() + 1;
        assert!(other.get() > next);
        assert_eq!(one.after(next).get(), next);
        // A state that was given up, and the transaction that was repeated.
        assert!(one.after(next).get() > next);
        assert!(one.after(other.get()).get() > other.get());
    }

    #[test]
    fn sqlite_never_counts_on_to_the_number_of_another_view() {
        let mut number = ViewNumber::new();
        let mut others = Vec::new();
        for _ in 0..3 * BLOCK {
            let written = number.get() + 1;
            others.push(ViewNumber::new().get());
            number = number.after(written);
            assert!(!others.contains(&written), "{written}: {others:?}");
        }
    }
}
