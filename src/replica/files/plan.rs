//! Which files make a state: a pure function of a listing.
//!
//! Files are intervals of transactions. A file holds the newest version that its interval gives each page it changed,
//! so files that together cover an interval without a hole, applied in the order of their ends, give the state at its
//! end, however they overlap. Nothing here assumes that levels line up: compaction, retention and snapshots
//! each run by their own clock.

use crate::ltx::Txid;
use crate::store::Listed;
use std::cmp::Reverse;

/// A gapless run of transactions, and the fewest files that cover it, in the order in which they are applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileChain {
    /// Overlapping is allowed, a hole is not. Never empty.
    pub files: Vec<Listed>,
}

impl FileChain {
    /// The first transaction it covers. At 1 it holds every page by definition; above that it may.
    pub fn start(&self) -> Txid {
        self.files.first().map(|file| file.name.min).unwrap_or_default()
    }

    /// The transaction after which its state stands.
    pub fn end(&self) -> Txid {
        self.files.last().map(|file| file.name.max).unwrap_or_default()
    }
}

/// Chains that may give the newest state, the one that ends latest first.
///
/// There is one for each gapless run of transactions in the listing. More than one means a hole: then the later run is
/// of use only if it holds every page, which its files' indexes tell and their names do not.
pub fn newest(files: &[Listed]) -> Vec<FileChain> {
    let mut chains = Vec::new();
    let mut bound = Txid(u64::MAX);
    while let Some(chain) = ending_at_most(files, bound) {
        // The next run ends before the hole below this one.
        bound = Txid(chain.start().0 - 1);
        chains.push(chain);
    }
    chains
}

/// The chain that ends exactly at `txid`.
pub fn at(files: &[Listed], txid: Txid) -> Result<FileChain, NoChain> {
    match ending_at_most(files, txid) {
        Some(chain) if chain.end() == txid => Ok(chain),
        _ => Err(NoChain { below: end_below(files, txid), above: end_above(files, txid) }),
    }
}

/// The files that carry a state at `from` on, as far as they go, in the order in which they are applied. Empty if
/// nothing continues it.
pub fn onwards(files: &[Listed], from: Txid) -> Vec<Listed> {
    let mut useful: Vec<&Listed> = files.iter().filter(|file| file.name.max > from).collect();
    useful.sort_unstable_by_key(|file| (file.name.min, file.name.max));
    let mut reached = from;
    let mut next = useful.into_iter().peekable();
    let mut furthest: Option<&Listed> = None;
    let mut steps = Vec::new();
    loop {
        while let Some(file) = next.next_if(|file| file.name.min <= reached.next()) {
            // Of those that reach equally far the one that starts last is the smallest.
            furthest = furthest.filter(|furthest| furthest.name.max > file.name.max).or(Some(file));
        }
        match furthest.filter(|furthest| furthest.name.max > reached) {
            Some(step) => reached = step.name.max,
            None => return steps,
        }
        steps.extend(furthest.cloned());
    }
}

/// The first and the last of the transactions that are missing between where the files carry a state at `from`, and the
/// next file. None if there is no later file.
pub fn missing_after(files: &[Listed], from: Txid) -> Option<(Txid, Txid)> {
    let reached = onwards(files, from).last().map_or(from, |last| last.name.max);
    let next = files.iter().filter(|file| file.name.max > reached).map(|file| file.name.min).min()?;
    Some((reached.next(), Txid(next.0 - 1)))
}

/// No files end exactly there. The nearest transactions at which files do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoChain {
    /// The highest end below.
    pub below: Option<Txid>,
    /// The lowest end above.
    pub above: Option<Txid>,
}

fn end_below(files: &[Listed], txid: Txid) -> Option<Txid> {
    files.iter().map(|file| file.name.max).filter(|end| *end < txid).max()
}

fn end_above(files: &[Listed], txid: Txid) -> Option<Txid> {
    files.iter().map(|file| file.name.max).filter(|end| *end > txid).min()
}

/// From the highest end at or below `bound` backwards, always by the file that reaches back furthest: so the chain has
/// the fewest files. Of files that reach back equally far the one that ends latest has been written last and is
/// deleted last. One pass over the files, latest end first.
fn ending_at_most(files: &[Listed], bound: Txid) -> Option<FileChain> {
    let mut usable: Vec<&Listed> = files.iter().filter(|file| file.name.max <= bound).collect();
    usable.sort_unstable_by_key(|file| (Reverse(file.name.max), file.name.min, file.level));
    let mut start = usable.first()?.name.max.next();
    let mut later = usable.into_iter().peekable();
    let mut furthest: Option<&Listed> = None;
    let mut chain = Vec::new();
    while start > Txid(1) {
        while let Some(file) = later.next_if(|file| file.name.max.next() >= start) {
            furthest = furthest.filter(|furthest| furthest.name.min <= file.name.min).or(Some(file));
        }
        let Some(step) = furthest.filter(|furthest| furthest.name.min < start) else { break };
        start = step.name.min;
        chain.push(step.clone());
    }
    // Each file ends before the one taken before it, or it would have been taken in its place.
    chain.reverse();
    Some(FileChain { files: chain })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::{FileName, Level};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn file(level: u8, min: u64, max: u64) -> Listed {
        let level = Level::new(level).expect("a level");
        Listed { level, name: FileName { min: Txid(min), max: Txid(max) }, size: 1, version: None, modified_ms: 0 }
    }

    fn ranges(files: &[Listed]) -> Vec<(u64, u64)> {
        files.iter().map(|file| (file.name.min.0, file.name.max.0)).collect()
    }

    #[test]
    fn a_snapshot_and_what_follows_it_make_the_newest_state() {
        let files = [file(0, 9, 9), file(0, 10, 10), file(1, 4, 6), file(1, 7, 9), file(9, 1, 6), file(9, 1, 3)];
        let chains = newest(&files);
        assert_eq!(chains.len(), 1);
        assert_eq!(ranges(&chains[0].files), [(1, 6), (7, 9), (10, 10)]);
    }

    #[test]
    fn a_straddling_file_is_as_good_as_one_that_lines_up() {
        let files = [file(9, 1, 5), file(2, 3, 8), file(0, 9, 9)];
        assert_eq!(ranges(&newest(&files)[0].files), [(1, 5), (3, 8), (9, 9)]);
        assert_eq!(ranges(&onwards(&files, Txid(6))), [(3, 8), (9, 9)]);
    }

    #[test]
    fn a_hole_splits_the_runs_and_the_later_one_comes_first() {
        let files = [file(9, 1, 5), file(0, 8, 8), file(0, 9, 9)];
        let chains = newest(&files);
        assert_eq!(ranges(&chains[0].files), [(8, 8), (9, 9)]);
        assert_eq!(ranges(&chains[1].files), [(1, 5)]);
        assert!(onwards(&files, Txid(5)).is_empty());
        assert_eq!(missing_after(&files, Txid(5)), Some((Txid(6), Txid(7))));
        assert_eq!(missing_after(&files, Txid(8)), None);
    }

    #[test]
    fn a_state_that_no_file_ends_at_names_its_neighbours() {
        let files = [file(9, 1, 5), file(1, 6, 9)];
        assert_eq!(at(&files, Txid(7)), Err(NoChain { below: Some(Txid(5)), above: Some(Txid(9)) }));
        assert_eq!(at(&files, Txid(10)), Err(NoChain { below: Some(Txid(9)), above: None }));
        assert_eq!(at(&[], Txid(1)), Err(NoChain { below: None, above: None }));
        assert_eq!(ranges(&at(&files, Txid(5)).expect("the snapshot").files), [(1, 5)]);
        assert!(newest(&[]).is_empty());
    }

    proptest! {
        /// Whatever lies in the replica: chains have no hole, and every transaction that can be reached is.
        #[test]
        fn chains_cover_what_the_files_cover(raw in prop::collection::vec((0u8..10, 1u64..40, 0u64..12), 0..40)) {
            let files: Vec<Listed> = raw.iter().map(|(level, min, len)| file(*level, *min, min + len)).collect();
            let covered: Vec<bool> =
                (0..60).map(|t| files.iter().any(|f| f.name.min.0 <= t && t <= f.name.max.0)).collect();
            let mut seen = vec![false; 60];
            for chain in newest(&files) {
                let mut reached = chain.start().0 - 1;
                for step in &chain.files {
                    prop_assert!(step.name.min.0 <= reached + 1, "a hole in {:?}", ranges(&chain.files));
                    prop_assert!(step.name.max.0 > reached, "a useless file in {:?}", ranges(&chain.files));
                    reached = step.name.max.0;
                }
                prop_assert!(chain.start() == Txid(1) || !covered[chain.start().0 as usize - 1]);
                (chain.start().0..=reached).for_each(|t| seen[t as usize] = true);
            }
            prop_assert_eq!(seen, covered);
            for end in files.iter().map(|f| f.name.max) {
                prop_assert_eq!(at(&files, end).map(|chain| chain.end()), Ok(end));
            }
        }
    }

    type Pages = BTreeMap<u32, u64>;

    /// What a transaction wrote, and the size of the database after it.
    type Written = (Pages, u32);

    /// The pages that a file of these transactions holds: of each the newest version, as far as the size after them goes.
    fn content(history: &[Written], name: FileName) -> Pages {
        let mut pages = Pages::new();
        for (written, commit) in &history[name.min.0 as usize - 1..name.max.0 as usize] {
            pages.extend(written);
            pages.split_off(&(commit + 1));
        }
        pages
    }

    /// Transactions that write some pages of a database of up to 12, and all that they add to it.
    fn history() -> impl Strategy<Value = Vec<Written>> {
        let transaction = (1u32..12, prop::collection::btree_set(1u32..12, 0..4));
        prop::collection::vec(transaction, 1..30).prop_map(|transactions| {
            let mut size = 0;
            let written = |(number, (commit, pages)): (usize, (u32, BTreeSet<u32>))| {
                let added = size + 1..=commit;
                size = commit;
                let pages = pages.into_iter().filter(|pgno| *pgno <= commit).chain(added);
                (pages.map(|pgno| (pgno, number as u64)).collect(), commit)
            };
            transactions.into_iter().enumerate().map(written).collect()
        })
    }

    proptest! {
        /// Files of any intervals, laid over each other as a chain says, give the state that the transactions gave.
        #[test]
        fn a_chain_gives_the_state_at_its_end(
            history in history(),
            raw in prop::collection::vec((0u8..10, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..25),
        ) {
            let files: Vec<Listed> = raw.iter().map(|(level, one, other)| {
                let (one, other) = (one.index(history.len()) as u64 + 1, other.index(history.len()) as u64 + 1);
                // Snapshots begin at the first transaction.
                file(*level, if *level == 9 { 1 } else { one.min(other) }, one.max(other))
            }).collect();
            for end in files.iter().map(|file| file.name.max) {
                let chain = at(&files, end).expect("a file ends there");
                let mut state = Pages::new();
                for step in &chain.files {
                    state.extend(content(&history, step.name));
                    state.split_off(&(history[step.name.max.0 as usize - 1].1 + 1));
                }
                if chain.start() == Txid(1) {
                    prop_assert_eq!(state, content(&history, FileName { min: Txid(1), max: end }));
                }
            }
        }
    }
}
