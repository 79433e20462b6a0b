//! Finds the last state at or before a time.
//!
//! The clock of a primary can be set back, so times do not always grow with transactions. Therefore the running maximum
//! of the times counts: a state is at or before a time if neither it nor any earlier state is later. The search looks
//! for the first state that is later. Each round reads a few headers, evenly spaced over the states that remain, until
//! none remain.
//!
//! The upper bound of the search is always right, because it is a state whose header is later. The lower bound is right
//! if clocks only go forward. If a clock ran ahead and was set back, the search is sure to notice this only if at least
//! a sixteenth of the searched states are later, or if the modification times in the listing show it. In a directory
//! that Litestream wrote, these are the times in the headers and lead directly to the right state, even if only one
//! state is later. Elsewhere (the clock of an object store, a copied replica) they cost two more headers in a round.

use crate::replica::files::damage::Damage;
use crate::replica::files::load_error::LoadError;
use crate::replica::time_travel::TimeTravel;
use crate::replica::time_travel::headers::HeaderSummary;
use crate::replica::time_travel::reachable::ReachableState;

/// Headers read in a round, in addition to those that modification times suggest.
const PROBES: usize = 15;

impl TimeTravel {
    /// Returns how many of `states`, which are in ascending order, are at or before a time. Removes the states of which no
    /// header can be read because of damage, and returns that damage.
    ///
    /// In the end the headers of the last state that counts and of the next one have been read, so that no damaged state
    /// remains between them.
    pub(super) async fn count_until(
        &self,
        states: &mut Vec<ReachableState>,
        ms: i64,
    ) -> Result<(usize, Vec<Damage>), LoadError> {
        let (mut low, mut high, mut damaged) = (0, states.len(), Vec::new());
        let mut hint = count_by_modification(states, ms);
        while low < high {
            let (probes, mut found) = (probes(low, high, hint), Vec::new());
            let read = self.state_headers(probes.iter().map(|index| &states[*index])).await?;
            let headers = read.into_iter().filter_map(|header| header.map_err(|damage| found.push(damage)).ok());
            let headers: Vec<HeaderSummary> = headers.collect();
            if !found.is_empty() {
                // The round is repeated without them. The headers of the others are cached.
                states.retain(|state| found.iter().all(|damage| damage.file.name.max != state.txid));
                high -= found.len();
                hint = count_by_modification(states, ms);
                damaged.append(&mut found);
                continue;
            }
            let later = headers.iter().position(|header| header.time_ms > ms);
            let before = later.unwrap_or(probes.len());
            if let Some(later) = later {
                high = probes[later];
            }
            if let Some(last) = before.checked_sub(1) {
                low = probes[last] + 1;
            }
        }
        Ok((low, damaged))
    }
}

/// Returns how many states are at or before a time according to modification times.
fn count_by_modification(states: &[ReachableState], ms: i64) -> usize {
    states.iter().position(|state| state.modified_ms() > ms).unwrap_or(states.len())
}

/// Returns the indexes in `low..high` to read next, in ascending order: evenly spaced ones, and those on both sides of
/// the hint.
fn probes(low: usize, high: usize, hint: usize) -> Vec<usize> {
    let remaining = high - low;
    let spaced = (1..=PROBES).map(|probe| low + remaining * probe / (PROBES + 1));
    let beside = [hint.wrapping_sub(1), hint].into_iter().filter(|index| (low..high).contains(index));
    let mut probes: Vec<usize> =
        if remaining <= PROBES { (low..high).collect() } else { spaced.chain(beside).collect() };
    probes.sort_unstable();
    probes.dedup();
    probes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_evenly_spaced_and_include_the_hint() {
        assert_eq!(probes(3, 6, 100), [3, 4, 5]);
        let many = probes(0, 1600, 777);
        assert_eq!((many[0], many[many.len() - 1], many.len()), (100, 1500, 17));
        assert!(many.contains(&776) && many.contains(&777));
        assert_eq!(probes(0, 1600, 0)[0], 0);
        assert_eq!(probes(0, 1600, 1600).last(), Some(&1599));
    }
}
