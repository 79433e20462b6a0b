//! The moments that files lead to: a pure function of a listing.

use crate::ltx::Txid;
use crate::store::Listed;
use std::collections::BTreeSet;

/// A transaction after which a state stands, and the files that end there, the lowest level first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::replica) struct ReachableMoment {
    /// The transaction.
    pub txid: Txid,
    /// Never empty.
    pub files: Vec<Listed>,
}

impl ReachableMoment {
    /// When its files were written first, as their store tells: a hint, since copying a replica changes it.
    pub(super) fn modified_ms(&self) -> i64 {
        self.files.iter().map(|file| file.modified_ms).min().unwrap_or_default()
    }
}

/// The moments behind `base` that can be had, in their order, if the one at `base` can be had: files cover every
/// transaction up to them from the base, or from the first one, or from one in `whole`, where files begin that hold every
/// page. One pass.
pub(super) fn reachable(
    files: impl IntoIterator<Item = Listed>,
    base: Txid,
    whole: &BTreeSet<Txid>,
) -> Vec<ReachableMoment> {
    let mut files: Vec<Listed> = files.into_iter().filter(|file| file.name.max > base).collect();
    files.sort_unstable_by_key(|file| (file.name.max, file.level, file.name.min));
    files.dedup_by_key(|file| (file.name, file.level));
    let mut moments = Vec::new();
    let mut reached = base;
    for ending in files.chunk_by(|one, other| one.name.max == other.name.max) {
        // Of all moments before, the last is the one that most files go on from.
        if ending.iter().any(|file| file.name.min <= reached.next() || whole.contains(&file.name.min)) {
            reached = ending[0].name.max;
            moments.push(ReachableMoment { txid: reached, files: ending.to_vec() });
        }
    }
    moments
}

/// The files behind `base` with which transactions go on that no file leads to.
pub(super) fn first_behind_holes(files: &[Listed], base: Txid) -> Vec<&Listed> {
    let mut files: Vec<&Listed> = files.iter().filter(|file| file.name.max > base).collect();
    files.sort_unstable_by_key(|file| (file.name.min, file.name.max));
    let mut reached = base;
    files.retain(|file| {
        let is_behind = file.name.min > reached.next();
        reached = reached.max(file.name.max);
        is_behind
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

    fn txids(moments: &[ReachableMoment]) -> Vec<u64> {
        moments.iter().map(|moment| moment.txid.0).collect()
    }

    #[test]
    fn behind_a_hole_only_a_snapshot_leads_on() {
        let files = [file(0, 1, 1), file(0, 2, 2), file(0, 4, 4), file(1, 3, 5), file(0, 8, 8), file(9, 1, 9)];
        assert_eq!(txids(&reachable(files.clone(), Txid(0), &BTreeSet::new())), [1, 2, 5, 9]);
        assert_eq!(txids(&reachable(files[2..].to_vec(), Txid(3), &BTreeSet::new())), [4, 5, 9]);
        assert_eq!(txids(&reachable(files[2..].to_vec(), Txid(0), &BTreeSet::new())), [9]);
        assert_eq!(txids(&reachable(files[2..].to_vec(), Txid(0), &BTreeSet::from([Txid(4)]))), [4, 5, 9]);
        let behind = |files: &[Listed], base| {
            first_behind_holes(files, Txid(base)).iter().map(|f| f.name.min.0).collect::<Vec<_>>()
        };
        assert_eq!(behind(&files, 0), [] as [u64; 0], "the snapshot covers them");
        assert_eq!(behind(&files[..5], 0), [8]);
        assert_eq!(behind(&files[2..5], 0), [3, 8]);
        assert_eq!(behind(&files[2..5], 2), [8]);
    }

    proptest! {
        #[test]
        fn they_are_those_that_a_chain_from_the_first_transaction_ends_at(
            raw in prop::collection::vec((0u8..10, 1u64..40, 0u64..12), 0..40),
        ) {
            let files: Vec<Listed> = raw.iter().map(|(level, min, length)| file(*level, *min, min + length)).collect();
            let expected: Vec<u64> = (1..60)
                .filter(|txid| plan::at(&files, Txid(*txid)).is_ok_and(|chain| chain.start() == Txid(1)))
                .collect();
            let found = reachable(files.clone(), Txid(0), &BTreeSet::new());
            prop_assert_eq!(txids(&found), expected);
            for moment in found {
                let ending = files.iter().filter(|file| file.name.max == moment.txid).map(|file| (file.level, file.name));
                prop_assert!(ending.clone().all(|file| moment.files.iter().any(|f| (f.level, f.name) == file)));
                prop_assert!(moment.files.is_sorted_by_key(|file| file.level));
            }
        }
    }
}
