//! How fast the store answers, and what follows from it for the size of requests.
//!
//! A request for *n* bytes takes about latency + *n* ÷ bandwidth. The bytes that come in the time of one latency are what
//! a round trip is worth: fetching fewer bytes than that beside what is needed, to save a request later, hardly
//! shows; fetching more does. Both numbers are measured all the time, so that a directory is read in small steps and a
//! store on another continent in large ones.

use crate::lock::Mutex;
use std::time::Duration;

/// Measures a store.
pub(super) struct Pace {
    measured: Mutex<Measured>,
}

#[derive(Clone, Copy)]
struct Measured {
    /// Seconds until the first byte.
    latency: f64,
    /// Bytes a second of one request.
    bandwidth: f64,
    /// By how much requests take longer than these two say: many share one line.
    load: f64,
    samples: u32,
    hedges: u32,
}

/// An object store in the same region, until it is measured.
const ASSUMED: Measured = Measured { latency: 0.020, bandwidth: 90e6, load: 1.0, samples: 0, hedges: 0 };

/// A thread has to wake for each answer, however near the store.
const LEAST_LATENCY: f64 = 50e-6;

/// Bytes a second that are believed.
const BANDWIDTHS: (f64, f64) = (1e6, 10e9);

/// How much a sample counts against those before it.
const WEIGHT: f64 = 0.125;

/// Requests that take so many times what their peers do are asked again.
const FAR_SLOWER: f64 = 3.0;

/// And those below this never are.
const IN_TIME: Duration = Duration::from_millis(20);

/// At most one request in so many is asked again, and a few at the start: a store that is slow throughout would only
/// become slower.
const HEDGED: u32 = 20;

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { measured: Mutex::new(ASSUMED) }
    }

    /// Takes account of a request that brought `bytes` in `elapsed`.
    pub(super) fn observe(&self, bytes: u64, elapsed: Duration) {
        let mut measured = self.measured.lock();
        let (bytes, elapsed) = (bytes as f64, elapsed.as_secs_f64());
        measured.samples = measured.samples.saturating_add(1);
        let expected = measured.expected(bytes);
        blend(&mut measured.load, (elapsed / expected).clamp(1.0, 4.0), WEIGHT);
        if bytes < measured.latency * measured.bandwidth / 8.0 {
            let latency = (elapsed - bytes / measured.bandwidth).max(LEAST_LATENCY);
            let weight = if measured.samples == 1 { 1.0 } else { WEIGHT };
            // One that was stuck says little about the next.
            let believed = latency.min(measured.latency * 4.0);
            blend(&mut measured.latency, believed, weight);
        } else if elapsed > measured.latency {
            let bandwidth = (bytes / (elapsed - measured.latency)).clamp(BANDWIDTHS.0, BANDWIDTHS.1);
            blend(&mut measured.bandwidth, bandwidth, WEIGHT);
        } else {
            // Faster than a first byte was thought to be.
            blend(&mut measured.latency, (elapsed / 2.0).max(LEAST_LATENCY), WEIGHT);
        }
    }

    /// How long a request for so many bytes may take before another is sent after it. None if enough were.
    pub(super) fn patience(&self, bytes: u64) -> Option<Duration> {
        let measured = self.measured.lock();
        let allowed = measured.hedges < 2 + measured.samples / HEDGED;
        let patience = FAR_SLOWER * measured.load * measured.expected(bytes as f64);
        allowed.then(|| IN_TIME + Duration::from_secs_f64(patience))
    }

    /// Takes account of a request that was sent again.
    pub(super) fn hedged(&self) {
        let mut measured = self.measured.lock();
        measured.hedges = measured.hedges.saturating_add(1);
    }

    /// What a round trip is worth in bytes.
    pub(super) fn round_trip(&self) -> u64 {
        let measured = *self.measured.lock();
        ((measured.latency * measured.bandwidth) as u64).clamp(4 << 10, 16 << 20)
    }

    /// How many bytes are fetched around a page that is asked for: they make its request longer by a sixteenth.
    pub(super) fn reach(&self) -> u64 {
        self.round_trip() / 16
    }

    /// The most bytes between two ranges that are fetched as one. A request occupies one of sixteen places for a round
    /// trip, so bytes that take half a sixteenth of it are cheaper.
    pub(super) fn gap(&self) -> u64 {
        self.round_trip() / 32
    }

    /// The most bytes of one request: what takes half a round trip, so that more of them travel at once.
    pub(super) fn piece(&self) -> u64 {
        (self.round_trip() / 2).clamp(256 << 10, 4 << 20)
    }
}

impl Measured {
    fn expected(&self, bytes: f64) -> f64 {
        self.latency + bytes / self.bandwidth
    }
}

fn blend(value: &mut f64, sample: f64, weight: f64) {
    *value += (sample - *value) * weight;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(latency: f64, bandwidth: f64) -> Pace {
        let pace = Pace::new();
        for _ in 0..60 {
            for bytes in [4_000, 100_000, 2_000_000] {
                pace.observe(bytes, Duration::from_secs_f64(latency + bytes as f64 / bandwidth));
            }
        }
        pace
    }

    #[test]
    fn the_worth_of_a_round_trip_is_found_near_and_far() {
        for (latency, bandwidth) in [(0.001, 500e6), (0.020, 90e6), (0.100, 50e6)] {
            let (worth, found) = (latency * bandwidth, after(latency, bandwidth).round_trip() as f64);
            assert!((worth * 0.8..worth * 1.25).contains(&found), "{latency} s: {found} instead of {worth}");
        }
        let near = after(0.000_005, 2e9);
        assert!(near.reach() < 32 << 10, "a directory is read in small steps, not in {}", near.reach());
    }

    #[test]
    fn one_stuck_request_changes_little_and_few_are_asked_again() {
        let pace = after(0.020, 90e6);
        let before = pace.round_trip();
        pace.observe(4_000, Duration::from_secs(5));
        assert!(pace.round_trip() < before * 3 / 2);
        let patience = pace.patience(100_000).expect("the first may be asked again");
        assert!(patience > Duration::from_millis(60) && patience < Duration::from_millis(200), "{patience:?}");
        (0..100).for_each(|_| pace.hedged());
        assert_eq!(pace.patience(100_000), None);
    }
}
