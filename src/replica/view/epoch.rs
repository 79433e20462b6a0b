//! The histories that a replica has had, and how far they agree.
//!
//! If a listing shows the newest file of a view unchanged, it shows the history of that view. If it shows only older
//! files of the view unchanged, it may show another history: two primaries can start from the same machine image, and
//! the replica of one can replace the replica of the other. It proves only that both histories are the same up to those
//! files. Therefore epochs can branch. A page that a branch has not written since has the same version in both.

use crate::lock::Mutex;
use crate::ltx::Txid;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

/// A history of the database, as far as this process can distinguish the histories at one replica URL. Epochs are
/// numbered in the order in which they are found. Views of the same epoch are states of the same history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(in crate::replica) struct Epoch(pub u32);

/// The next epoch. A forked child inherits the value, so that the views it inherits belong to none of the epochs that
/// it creates.
static NEXT_EPOCH: AtomicU32 = AtomicU32::new(0);

/// The epochs of a replica: each branch with its origin and the last transaction that both share.
#[derive(Default)]
pub(in crate::replica) struct Epochs(Mutex<HashMap<Epoch, (Epoch, Txid)>>);

impl Epochs {
    /// Creates an epoch that shares nothing with any other.
    pub(in crate::replica) fn begin(&self) -> Epoch {
        Epoch(NEXT_EPOCH.fetch_add(1, Ordering::Relaxed))
    }

    /// Creates an epoch that is known to be the same as `from` up to a transaction.
    pub(in crate::replica) fn branch(&self, from: Epoch, until: Txid) -> Epoch {
        let epoch = self.begin();
        self.0.lock().insert(epoch, (from, until));
        epoch
    }

    /// Forgets where an epoch of states that are only in the journal has branched off. From then on it agrees with no other.
    pub(in crate::replica) fn forget(&self, epoch: Epoch) {
        self.0.lock().remove(&epoch);
    }

    /// Returns whether two epochs are known to be the same up to a transaction.
    pub(in crate::replica) fn agree(&self, one: Epoch, other: Epoch, until: Txid) -> bool {
        let origins = self.0.lock();
        let (mut one, mut other) = (one, other);
        while one != other {
            // An epoch has a higher number than its origin.
            let younger = if one > other { &mut one } else { &mut other };
            match origins.get(younger) {
                Some((origin, shared)) if until <= *shared => *younger = *origin,
                _ => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_agree_up_to_the_transaction_at_which_they_part() {
        let epochs = Epochs::default();
        let first = epochs.begin();
        let second = epochs.branch(first, Txid(10));
        let third = epochs.branch(second, Txid(20));
        let sibling = epochs.branch(first, Txid(7));
        let unrelated = epochs.begin();
        let agree = |one, other, until| {
            assert_eq!(epochs.agree(one, other, Txid(until)), epochs.agree(other, one, Txid(until)));
            epochs.agree(one, other, Txid(until))
        };
        assert!(agree(first, first, 99) && agree(first, second, 10) && !agree(first, second, 11));
        assert!(agree(second, third, 20) && agree(first, third, 10) && !agree(first, third, 11));
        assert!(agree(third, sibling, 7) && !agree(third, sibling, 8));
        assert!(!agree(first, unrelated, 1) && agree(unrelated, unrelated, 1));
    }
}
