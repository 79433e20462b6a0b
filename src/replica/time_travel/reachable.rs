//! The states that the files of a listing lead to: a pure function.

use crate::ltx::Txid;
use crate::store::Listed;
use std::collections::BTreeSet;

/// An available state: a transaction, and the files that end at it.
#[derive(Clone, Debug)]
pub(in crate::replica) struct ReachableState {
    /// The transaction.
    pub txid: Txid,
    /// The files, lowest level first. Never empty.
    pub files: Vec<Listed>,
}

impl ReachableState {
    /// The earliest modification time of its files in the store. This is only a hint, because copying a replica changes
    /// it.
    pub(super) fn modified_ms(&self) -> i64 {
        self.files.iter().map(|file| file.modified_ms).min().unwrap_or_default()
    }
}

/// Returns the available states after `base` in ascending order, provided that the state at `base` is available.
///
/// A state is available if files cover every transaction up to it, without a hole, from `base`, from the first
/// transaction, or from a transaction in `complete`: the files that begin there contain every page. Takes one pass over
/// the sorted files.
pub(super) fn reachable(
    files: impl IntoIterator<Item = Listed>,
    base: Txid,
    complete: &BTreeSet<Txid>,
) -> Vec<ReachableState> {
    let mut files: Vec<Listed> = files.into_iter().filter(|file| file.name.max > base).collect();
    files.sort_unstable_by_key(|file| (file.name.max, file.level, file.name.min));
    files.dedup_by_key(|file| (file.name, file.level));
    let mut states = Vec::new();
    let mut reached = base;
    for ending in files.chunk_by(|one, other| one.name.max == other.name.max) {
        // A file that continues any earlier state also continues the last one.
        if ending.iter().any(|file| file.name.min <= reached.next() || complete.contains(&file.name.min)) {
            reached = ending[0].name.max;
            states.push(ReachableState { txid: reached, files: ending.to_vec() });
        }
    }
    states
}

/// Returns the first file after each hole above `base`.
pub(super) fn first_after_holes(files: &[Listed], base: Txid) -> Vec<&Listed> {
    let mut files: Vec<&Listed> = files.iter().filter(|file| file.name.max > base).collect();
    files.sort_unstable_by_key(|file| (file.name.min, file.name.max));
    let mut reached = base;
    files.retain(|file| {
        let is_after_hole = file.name.min > reached.next();
        reached = reached.max(file.name.max);
        is_after_hole
    });
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::{FileName, Level};
    use crate::replica::files::plan;
    use proptest::prelude::*;

    fn file(level: u8, min: u64, max: u64) -> Listed {
        let level = Level::new(level).expect("a level");
        Listed { level, name: FileName { min: Txid(min), max: Txid(max) }, size: 1, version: None, modified_ms: 0 }
    }

    fn txids(states: &[ReachableState]) -> Vec<u64> {
        states.iter().map(|state| state.txid.0).collect()
    }

    #[test]
    fn after_a_hole_states_begin_only_with_a_snapshot_or_a_complete_file() {
        let files = [file(0, 1, 1), file(0, 2, 2), file(0, 4, 4), file(1, 3, 5), file(0, 8, 8), file(9, 1, 9)];
        assert_eq!(txids(&reachable(files.clone(), Txid(0), &BTreeSet::new())), [1, 2, 5, 9]);
        assert_eq!(txids(&reachable(files[2..].to_vec(), Txid(3), &BTreeSet::new())), [4, 5, 9]);
        assert_eq!(txids(&reachable(files[2..].to_vec(), Txid(0), &BTreeSet::new())), [9]);
        assert_eq!(txids(&reachable(files[2..].to_vec(), Txid(0), &BTreeSet::from([Txid(4)]))), [4, 5, 9]);
        let after_holes = |files: &[Listed], base| {
            first_after_holes(files, Txid(base)).iter().map(|f| f.name.min.0).collect::<Vec<_>>()
        };
        assert_eq!(after_holes(&files, 0), [] as [u64; 0], "the snapshot covers the holes");
        assert_eq!(after_holes(&files[..5], 0), [8]);
        assert_eq!(after_holes(&files[2..5], 0), [3, 8]);
        assert_eq!(after_holes(&files[2..5], 2), [8]);
    }

    proptest! {
        #[test]
        fn a_state_is_reachable_if_a_chain_from_the_first_transaction_ends_at_it(
            raw in prop::collection::vec((0u8..10, 1u64..40, 0u64..12), 0..40),
        ) {
            let files: Vec<Listed> = raw.iter().map(|(level, min, length)| file(*level, *min, min + length)).collect();
            let expected: Vec<u64> = (1..60)
                .filter(|txid| plan::at(&files, Txid(*txid)).is_ok_and(|chain| chain.start() == Txid(1)))
                .collect();
            let found = reachable(files.clone(), Txid(0), &BTreeSet::new());
            prop_assert_eq!(txids(&found), expected);
            for state in found {
                let ending = files.iter().filter(|file| file.name.max == state.txid).map(|file| (file.level, file.name));
                prop_assert!(ending.clone().all(|file| state.files.iter().any(|f| (f.level, f.name) == file)));
                prop_assert!(state.files.is_sorted_by_key(|file| file.level));
            }
        }
    }
}
