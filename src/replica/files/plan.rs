//! Selects the files that make up a state. A pure function of a listing.
//!
//! A file is an interval of transactions and contains the last version of each page that they changed. So if files
//! cover an interval without a hole and are applied in the order of their ends, they give the state at the end of the
//! interval, however they overlap. Nothing here assumes that the intervals of different levels share boundaries,
//! because compaction, retention and snapshots run on independent schedules.

use crate::ltx::Txid;
use crate::store::Listed;
use std::cmp::Reverse;

/// The smallest set of files that covers an interval of transactions without a hole, in the order in which they are
/// applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileChain {
    /// The files. They may overlap, but leave no hole. Never empty.
    pub files: Vec<Listed>,
}

impl FileChain {
    /// Returns the first transaction that the chain covers. If that is 1, the chain contains every page; if it is
    /// higher, the chain may.
    pub fn start(&self) -> Txid {
        self.files.first().map(|file| file.name.min).unwrap_or_default()
    }

    /// Returns the last transaction that the chain covers, which is the TXID of its state.
    pub fn end(&self) -> Txid {
        self.files.last().map(|file| file.name.max).unwrap_or_default()
    }
}

/// Returns the chains that may give the newest state, latest end first.
///
/// There is one chain per gapless interval of transactions in the listing. If there are several, there is a hole
/// between them. A chain after a hole is usable only if it contains every page, which only the indexes of its files
/// show.
pub fn newest(files: &[Listed]) -> Vec<FileChain> {
    let mut chains = Vec::new();
    let mut bound = Txid(u64::MAX);
    while let Some(chain) = ending_at_most(files, bound) {
        // The next interval ends before the hole below this one.
        bound = Txid(chain.start().0 - 1);
        chains.push(chain);
    }
    chains
}

/// Returns the chain that ends exactly at `txid`.
pub fn at(files: &[Listed], txid: Txid) -> Result<FileChain, NoChain> {
    match ending_at_most(files, txid) {
        Some(chain) if chain.end() == txid => Ok(chain),
        _ => Err(NoChain { below: end_below(files, txid), above: end_above(files, txid) }),
    }
}

/// Returns the files that extend a state at `from` as far as possible, in the order in which they are applied. Empty if
/// no file does.
pub fn onwards(files: &[Listed], from: Txid) -> Vec<Listed> {
    let mut useful: Vec<&Listed> = files.iter().filter(|file| file.name.max > from).collect();
    useful.sort_unstable_by_key(|file| (file.name.min, file.name.max, Reverse(file.level)));
    let mut reached = from;
    let mut next = useful.into_iter().peekable();
    let mut furthest: Option<&Listed> = None;
    let mut steps = Vec::new();
    loop {
        while let Some(file) = next.next_if(|file| file.name.min <= reached.next()) {
            // Of files with the same end, the one that starts last is the smallest. Those of level 0 say what they follow.
            furthest = furthest.filter(|furthest| furthest.name.max > file.name.max).or(Some(file));
        }
        match furthest.filter(|furthest| furthest.name.max > reached) {
            Some(step) => reached = step.name.max,
            None => return steps,
        }
        steps.extend(furthest.cloned());
    }
}

/// Returns the first and the last missing transaction of the hole after the files that extend a state at `from`. None
/// if no file follows.
pub fn missing_after(files: &[Listed], from: Txid) -> Option<(Txid, Txid)> {
    let reached = onwards(files, from).last().map_or(from, |last| last.name.max);
    let next = files.iter().filter(|file| file.name.max > reached).map(|file| file.name.min).min()?;
    Some((reached.next(), Txid(next.0 - 1)))
}

/// No file ends exactly at the requested transaction. Contains the nearest transactions at which files end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoChain {
    /// The highest end below the requested transaction.
    pub below: Option<Txid>,
    /// The lowest end above the requested transaction.
    pub above: Option<Txid>,
}

fn end_below(files: &[Listed], txid: Txid) -> Option<Txid> {
    files.iter().map(|file| file.name.max).filter(|end| *end < txid).max()
}

fn end_above(files: &[Listed], txid: Txid) -> Option<Txid> {
    files.iter().map(|file| file.name.max).filter(|end| *end > txid).min()
}

/// Returns the chain that ends at the highest end at or below `bound`.
///
/// Proceeds backwards and always selects the file that starts first, so that the chain has the fewest files. Of files
/// with the same start, selects the one that ends last, because it was written last and is deleted last. Of files with
/// the same name, selects the one of the highest level: a writer that was suspended for longer than the retention may
/// have created the one of level 0, under a name that was free again. Takes one pass over the files, latest end first.
fn ending_at_most(files: &[Listed], bound: Txid) -> Option<FileChain> {
    let mut usable: Vec<&Listed> = files.iter().filter(|file| file.name.max <= bound).collect();
    usable.sort_unstable_by_key(|file| (Reverse(file.name.max), file.name.min, Reverse(file.level)));
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
    // Each file ends before the file selected before it; otherwise it would have been selected instead.
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
    fn a_snapshot_and_the_files_after_it_give_the_newest_state() {
        let files = [file(0, 9, 9), file(0, 10, 10), file(1, 4, 6), file(1, 7, 9), file(9, 1, 6), file(9, 1, 3)];
        let chains = newest(&files);
        assert_eq!(chains.len(), 1);
        assert_eq!(ranges(&chains[0].files), [(1, 6), (7, 9), (10, 10)]);
    }

    #[test]
    fn a_file_that_straddles_the_end_of_another_extends_it() {
        let files = [file(9, 1, 5), file(2, 3, 8), file(0, 9, 9)];
        assert_eq!(ranges(&newest(&files)[0].files), [(1, 5), (3, 8), (9, 9)]);
        assert_eq!(ranges(&onwards(&files, Txid(6))), [(3, 8), (9, 9)]);
    }

    #[test]
    fn of_files_with_the_same_name_the_compacted_one_is_selected() {
        let files = [file(0, 6, 6), file(9, 1, 5), file(2, 6, 6), file(1, 6, 6)];
        assert_eq!(newest(&files)[0].files, [file(9, 1, 5), file(2, 6, 6)]);
        assert_eq!(onwards(&files, Txid(5)), [file(0, 6, 6)]);
    }

    #[test]
    fn a_hole_separates_two_chains_and_the_later_one_comes_first() {
        let files = [file(9, 1, 5), file(0, 8, 8), file(0, 9, 9)];
        let chains = newest(&files);
        assert_eq!(ranges(&chains[0].files), [(8, 8), (9, 9)]);
        assert_eq!(ranges(&chains[1].files), [(1, 5)]);
        assert!(onwards(&files, Txid(5)).is_empty());
        assert_eq!(missing_after(&files, Txid(5)), Some((Txid(6), Txid(7))));
        assert_eq!(missing_after(&files, Txid(8)), None);
    }

    #[test]
    fn a_transaction_that_no_file_ends_at_fails_with_its_neighbors() {
        let files = [file(9, 1, 5), file(1, 6, 9)];
        assert_eq!(at(&files, Txid(7)), Err(NoChain { below: Some(Txid(5)), above: Some(Txid(9)) }));
        assert_eq!(at(&files, Txid(10)), Err(NoChain { below: Some(Txid(9)), above: None }));
        assert_eq!(at(&[], Txid(1)), Err(NoChain { below: None, above: None }));
        assert_eq!(ranges(&at(&files, Txid(5)).expect("the snapshot").files), [(1, 5)]);
        assert!(newest(&[]).is_empty());
    }

    proptest! {
        /// For any set of files, chains have no hole, and together they reach every transaction that the files contain.
        #[test]
        fn chains_cover_all_transactions_that_files_cover(raw in prop::collection::vec((0u8..10, 1u64..40, 0u64..12), 0..40)) {
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

    /// The pages that a transaction wrote, and the size of the database after it, in pages.
    type Written = (Pages, u32);

    /// Returns the pages of the file of these transactions: the newest version of each, up to the final size of the
    /// database.
    fn content(history: &[Written], name: FileName) -> Pages {
        let mut pages = Pages::new();
        for (written, commit) in &history[name.min.0 as usize - 1..name.max.0 as usize] {
            pages.extend(written);
            pages.split_off(&(commit + 1));
        }
        pages
    }

    /// Transactions that write some pages of a database of less than 12 pages, and all pages that they add to it.
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
        /// Files of any intervals, applied in the order of a chain, give the state that the transactions gave.
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
