//! Finding a time among moments.
//!
//! A primary's clock can be set back, so times need not grow with the transactions. What counts is the running maximum:
//! a moment is at or before a time if no moment up to it is later. So the search looks for the first one that is later,
//! by reading a few headers at once, evenly spread over what is left, until nothing is.
//!
//! What was read and is later bounds the answer from above for certain. From below it is certain while clocks go forward.
//! Where one ran ahead and was set back, it has to be later for a sixteenth of what is searched to be met for certain, or to
//! show in the modification times that the listing brought along: where these are the files' own times (a directory that
//! Litestream wrote) they lead to the right moment at once, however short it stands out among those searched. Where they
//! are not (an object store's clock, a copied replica) they are two more headers to read.

use crate::replica::files::loader::LoadError;
use crate::replica::time_travel::{ReachableMoment, TimeTravel};

/// Headers read in a round, besides those that modification times suggest.
const PROBES: usize = 15;

impl TimeTravel {
    /// How many of these moments, which come in their order, are at or before a time.
    pub(super) async fn count_until(&self, moments: &[ReachableMoment], ms: i64) -> Result<usize, LoadError> {
        let hint = hint(moments, ms);
        let (mut low, mut high) = (0, moments.len());
        while low < high {
            let places = places(low, high, hint);
            let stamps = self.stamps_of(places.iter().map(|place| &moments[*place])).await?;
            let later = stamps.iter().position(|stamp| stamp.ms > ms);
            let before = later.unwrap_or(places.len());
            if let Some(later) = later {
                high = places[later];
            }
            if let Some(last) = before.checked_sub(1) {
                low = places[last] + 1;
            }
        }
        Ok(low)
    }
}

/// How many moments are at or before a time by modification times.
fn hint(moments: &[ReachableMoment], ms: i64) -> usize {
    moments.iter().position(|moment| moment.modified_ms() > ms).unwrap_or(moments.len())
}

/// Where to look in `low..high`, ascending: evenly spread, and at both sides of the hint.
fn places(low: usize, high: usize, hint: usize) -> Vec<usize> {
    let left = high - low;
    let spread = (1..=PROBES).map(|probe| low + left * probe / (PROBES + 1));
    let beside = [hint.wrapping_sub(1), hint].into_iter().filter(|place| (low..high).contains(place));
    let mut places: Vec<usize> = if left <= PROBES { (low..high).collect() } else { spread.chain(beside).collect() };
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_places_are_spread_over_what_is_left() {
        assert_eq!(places(3, 6, 100), [3, 4, 5]);
        let many = places(0, 1600, 777);
        assert_eq!((many[0], many[many.len() - 1], many.len()), (100, 1500, 17));
        assert!(many.contains(&776) && many.contains(&777));
        assert_eq!(places(0, 1600, 0)[0], 0);
        assert_eq!(places(0, 1600, 1600).last(), Some(&1599));
    }
}
