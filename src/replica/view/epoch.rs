//! Which histories of a replica have a past in common.
//!
//! A listing that shows the newest file of a view as it was shows the view's history. One that shows older files of it alone
//! does not: two primaries can come out of one image of a machine, and one's replica take the place of the other's. What it
//! shows is that up to those files they are one. So histories branch, and of a page that a branch did not write
//! since, both have the same version.

use crate::lock::Mutex;
use crate::ltx::Txid;
use crate::replica::view::Epoch;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

/// Inherited by a child of a fork with its value, so that views which the child inherits are of no history that it finds.
static EPOCHS: AtomicU32 = AtomicU32::new(0);

/// The epochs of a replica, each with what it branched off, and up to where the two are the same.
#[derive(Default)]
pub(in crate::replica) struct Epochs(Mutex<HashMap<Epoch, (Epoch, Txid)>>);

impl Epochs {
    /// An epoch that nothing known belongs to.
    pub(in crate::replica) fn begin(&self) -> Epoch {
        Epoch(EPOCHS.fetch_add(1, Ordering::Relaxed))
    }

    /// An epoch that is the same as another up to a transaction, as far as is known.
    pub(in crate::replica) fn branch(&self, from: Epoch, until: Txid) -> Epoch {
        let epoch = self.begin();
        self.0.lock().insert(epoch, (from, until));
        epoch
    }

    /// Whether two epochs are known to be the same up to a transaction.
    pub(in crate::replica) fn agree(&self, one: Epoch, other: Epoch, until: Txid) -> bool {
        let origins = self.0.lock();
        let (mut one, mut other) = (one, other);
        while one != other {
            // An epoch is younger than what it branched off.
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
    fn branches_agree_up_to_where_they_part() {
        let lineage = Epochs::default();
        let first = lineage.begin();
        let second = lineage.branch(first, Txid(10));
        let third = lineage.branch(second, Txid(20));
        let twin = lineage.branch(first, Txid(7));
        let stranger = lineage.begin();
        let agree = |one, other, until| {
            assert_eq!(lineage.agree(one, other, Txid(until)), lineage.agree(other, one, Txid(until)));
            lineage.agree(one, other, Txid(until))
        };
        assert!(agree(first, first, 99) && agree(first, second, 10) && !agree(first, second, 11));
        assert!(agree(second, third, 20) && agree(first, third, 10) && !agree(first, third, 11));
        assert!(agree(third, twin, 7) && !agree(third, twin, 8));
        assert!(!agree(first, stranger, 1) && agree(stranger, stranger, 1));
    }
}
