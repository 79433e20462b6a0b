//! Ages that include the time for which the machine was suspended.
//!
//! The monotonic clock stands still while a machine, a virtual machine or a function in a cloud is suspended, and the time of day can be set.
//! Therefore ages are counted by the monotonic clock, and whenever the time of day has gained more than [`TOLERANCE_MS`] on it, the gain is
//! taken for a suspension. So an age is never too small after a suspension, and it is too large once after the time of day was set forward.

use crate::time::now_ms;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What the clocks may differ by, in milliseconds, without a suspension: the time of day is often adjusted.
const TOLERANCE_MS: i64 = 500;

/// A point in time from which an age is counted. For deadlines of timers there is [`Instant`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Stamp(Instant);

impl Stamp {
    pub(crate) fn now() -> Stamp {
        let now = Instant::now();
        Stamp(now.checked_add(suspended()).unwrap_or(now))
    }

    /// Returns the stamp of an age; None if no clock reaches so far back.
    pub(crate) fn of_age(age: Duration) -> Option<Stamp> {
        Stamp::now().0.checked_sub(age).map(Stamp)
    }

    pub(crate) fn age(self) -> Duration {
        Stamp::now().0.saturating_duration_since(self.0)
    }

    /// Returns when something that is due at this age is due for a timer.
    pub(crate) fn due_at(self, age: Duration) -> Instant {
        Instant::now() + age.saturating_sub(self.age())
    }
}

/// Returns for how long the machine is known to have been suspended since the process started.
fn suspended() -> Duration {
    static STARTED: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    static SUSPENSIONS: Suspensions = Suspensions::new();
    // Not the clock of the runtime, which tests stop.
    let monotonic_ms = i64::try_from(STARTED.elapsed().as_millis()).unwrap_or(i64::MAX);
    SUSPENSIONS.observe(now_ms().saturating_sub(monotonic_ms))
}

/// The suspensions that were found so far.
struct Suspensions {
    /// How far the time of day was ahead of the monotonic clock when they were last compared, in milliseconds.
    ahead_ms: AtomicI64,
    total_ms: AtomicU64,
}

impl Suspensions {
    const fn new() -> Suspensions {
        Suspensions { ahead_ms: AtomicI64::new(i64::MAX), total_ms: AtomicU64::new(0) }
    }

    /// Takes note of how far the time of day is ahead now, in milliseconds. Returns how long all suspensions were together.
    fn observe(&self, ahead_ms: i64) -> Duration {
        let gain = ahead_ms.saturating_sub(self.ahead_ms.swap(ahead_ms, Ordering::Relaxed));
        let found = if gain > TOLERANCE_MS { gain.unsigned_abs() } else { 0 };
        Duration::from_millis(self.total_ms.fetch_add(found, Ordering::Relaxed).saturating_add(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_of_the_time_of_day_is_a_suspension() {
        let suspensions = Suspensions::new();
        let after = |ahead_ms| suspensions.observe(ahead_ms).as_millis();
        assert_eq!(after(1_000_000), 0, "the first comparison");
        assert_eq!(after(1_000_500), 0, "an adjustment");
        assert_eq!(after(1_001_001), 501);
        assert_eq!(after(500_000), 501, "the time of day was set back");
        assert_eq!(after(500_400), 501);
        assert_eq!(after(4_100_400), 3_600_501, "an hour");
    }

    #[tokio::test(start_paused = true)]
    async fn stamps_have_the_age_that_the_clock_of_the_runtime_gives_them() {
        let (stamp, minute) = (Stamp::now(), Duration::from_secs(60));
        tokio::time::advance(minute).await;
        assert!(stamp.age() >= minute && stamp.age() < 2 * minute, "{:?}", stamp.age());
        assert!(Stamp::of_age(minute).is_some_and(|same| same >= stamp && same < Stamp::now()));
        assert!(stamp.due_at(2 * minute) > Instant::now() && stamp.due_at(minute) <= Instant::now());
    }
}
