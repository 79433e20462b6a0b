//! Measures the latency and bandwidth of a store, and derives the size of requests from them.
//!
//! A request for *n* bytes takes about latency + *n* ÷ bandwidth. Latency × bandwidth is what the store could transfer
//! during one round trip. Reading far fewer extra bytes than that to save a later request costs almost no time; reading more
//! does. Every request is measured, so that a local directory is read with small requests and a store on another continent
//! with large ones.

use crate::lock::Mutex;
use std::time::Duration;

/// The measured speed of a store.
pub(super) struct Pace {
    measured: Mutex<Measured>,
}

#[derive(Clone, Copy)]
struct Measured {
    /// Seconds until the first byte.
    latency: f64,
    /// Bytes per second of one request.
    bandwidth: f64,
    /// The factor by which requests take longer than these two predict, because several share one connection.
    load: f64,
    samples: u32,
    hedges: u32,
}

/// Assumed until measured: an object store in the same region.
const ASSUMED: Measured = Measured { latency: 0.020, bandwidth: 90e6, load: 1.0, samples: 0, hedges: 0 };

/// The minimum latency in seconds. A thread has to wake up for each response, even if the store is local.
const MIN_LATENCY: f64 = 50e-6;

/// The plausible range of the bandwidth, in bytes per second. Measurements outside are clamped.
const BANDWIDTH_RANGE: (f64, f64) = (1e6, 10e9);

/// The weight of a new sample in the moving averages.
const WEIGHT: f64 = 0.125;

/// A request that takes longer than expected by this factor is hedged: a second one is sent.
const HEDGE_FACTOR: f64 = 3.0;

/// Added to the time after which a request is hedged, so that fast requests never are.
const MIN_HEDGE_DELAY: Duration = Duration::from_millis(20);

/// At most one of this many requests is hedged, plus two at the start. Hedging more would slow down a store that is already
/// overloaded.
const REQUESTS_PER_HEDGE: u32 = 20;

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { measured: Mutex::new(ASSUMED) }
    }

    /// Updates the measurements with a request that read `bytes` in `elapsed`.
    pub(super) fn observe(&self, bytes: u64, elapsed: Duration) {
        let mut measured = self.measured.lock();
        let (bytes, elapsed) = (bytes as f64, elapsed.as_secs_f64());
        measured.samples = measured.samples.saturating_add(1);
        let expected = measured.expected(bytes);
        blend(&mut measured.load, (elapsed / expected).clamp(1.0, 4.0), WEIGHT);
        if bytes < measured.latency * measured.bandwidth / 8.0 {
            let latency = (elapsed - bytes / measured.bandwidth).max(MIN_LATENCY);
            let weight = if measured.samples == 1 { 1.0 } else { WEIGHT };
            // A single stuck request must not change much.
            let latency = latency.min(measured.latency * 4.0);
            blend(&mut measured.latency, latency, weight);
        } else if elapsed > measured.latency {
            let bandwidth = (bytes / (elapsed - measured.latency)).clamp(BANDWIDTH_RANGE.0, BANDWIDTH_RANGE.1);
            blend(&mut measured.bandwidth, bandwidth, WEIGHT);
        } else {
            // The whole response came sooner than the first byte was expected, so the latency is too high.
            blend(&mut measured.latency, (elapsed / 2.0).max(MIN_LATENCY), WEIGHT);
        }
    }

    /// Returns the time after which a request for `bytes` is hedged, or None if too many requests were hedged already.
    pub(super) fn hedge_delay(&self, bytes: u64) -> Option<Duration> {
        let measured = self.measured.lock();
        let allowed = measured.hedges < 2 + measured.samples / REQUESTS_PER_HEDGE;
        let delay = HEDGE_FACTOR * measured.load * measured.expected(bytes as f64);
        allowed.then(|| MIN_HEDGE_DELAY + Duration::from_secs_f64(delay))
    }

    /// Returns how long a short response is expected to take.
    pub(super) fn latency(&self) -> Duration {
        let measured = self.measured.lock();
        Duration::from_secs_f64(measured.load * measured.latency)
    }

    /// Counts a request that was hedged.
    pub(super) fn count_hedge(&self) {
        let mut measured = self.measured.lock();
        measured.hedges = measured.hedges.saturating_add(1);
    }

    /// Returns how many bytes the store transfers during one round trip: 4 KiB to 16 MiB.
    pub(super) fn round_trip_bytes(&self) -> u64 {
        let measured = *self.measured.lock();
        ((measured.latency * measured.bandwidth) as u64).clamp(4 << 10, 16 << 20)
    }

    /// Returns how many bytes are fetched around a page that a reader waits for. They make its request slower by a
    /// sixteenth of the latency.
    pub(super) fn neighbour_bytes(&self) -> u64 {
        self.round_trip_bytes() / 16
    }

    /// Returns the maximum number of bytes between two ranges that one request reads. A separate request holds one of 16
    /// permits for a round trip; bytes that take half of a sixteenth of that time cost less.
    pub(super) fn max_gap(&self) -> u64 {
        self.round_trip_bytes() / 32
    }

    /// Returns the maximum size of a speculative request in bytes: what takes half a round trip, so that the data is spread
    /// over several concurrent requests.
    pub(super) fn max_request(&self) -> u64 {
        (self.round_trip_bytes() / 2).clamp(256 << 10, 4 << 20)
    }
}

impl Measured {
    /// Returns how many seconds a request for `bytes` is expected to take.
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

    /// Returns the pace after many requests of a store.
    fn measured(latency: f64, bandwidth: f64) -> Pace {
        let pace = Pace::new();
        for _ in 0..60 {
            for bytes in [4_000, 100_000, 2_000_000] {
                pace.observe(bytes, Duration::from_secs_f64(latency + bytes as f64 / bandwidth));
            }
        }
        pace
    }

    #[test]
    fn latency_and_bandwidth_are_measured_for_near_and_far_stores() {
        for (latency, bandwidth) in [(0.001, 500e6), (0.020, 90e6), (0.100, 50e6)] {
            let (expected, measured) = (latency * bandwidth, measured(latency, bandwidth).round_trip_bytes() as f64);
            let range = expected * 0.8..expected * 1.25;
            assert!(range.contains(&measured), "{latency} s: {measured} instead of {expected}");
        }
        let near = measured(0.000_005, 2e9).neighbour_bytes();
        assert!(near < 32 << 10, "a local directory is read with small requests, not {near} bytes");
    }

    #[test]
    fn one_stuck_request_changes_little_and_few_requests_are_hedged() {
        let pace = measured(0.020, 90e6);
        let before = pace.round_trip_bytes();
        pace.observe(4_000, Duration::from_secs(5));
        assert!(pace.round_trip_bytes() < before * 3 / 2);
        let delay = pace.hedge_delay(100_000).expect("the first request may be hedged");
        assert!(delay > Duration::from_millis(60) && delay < Duration::from_millis(200), "{delay:?}");
        (0..100).for_each(|_| pace.count_hedge());
        assert_eq!(pace.hedge_delay(100_000), None);
    }
}
