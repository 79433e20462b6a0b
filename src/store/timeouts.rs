//! How long a store waits, whatever it speaks.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A handshake takes three round trips: far more than any network on this planet needs for them.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that sends nothing for so long has lost the connection. Slow bodies may take longer as a whole.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a whole request may take, tries and all, before its bytes are counted.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long one try may take before its bytes are counted, so that an answer that trickles leaves time for another try.
const ONE_TRY: Duration = Duration::from_secs(7);

/// Bytes a second at which a network is too slow for this to make sense.
const SLOWEST: u64 = 128 * 1024;

/// How long a request for so many bytes may take, tries and all.
pub(super) fn deadline(bytes: u64) -> Duration {
    DEADLINE.saturating_add(transfer(bytes))
}

/// How much of a deadline is there for its bytes.
pub(super) fn transfer(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST)
}

/// How long one try of a request for so many bytes may take.
pub(super) fn one_try(bytes: u64) -> Duration {
    ONE_TRY.saturating_add(Duration::from_secs(bytes / SLOWEST))
}

/// The time for an answer whose length is not known beforehand: its deadline moves with the bytes that came.
#[derive(Debug)]
pub(super) struct Allowance {
    begun: Instant,
    bytes: AtomicU64,
}

impl Allowance {
    /// Begins now, for an answer of at least so many bytes.
    pub fn of(bytes: u64) -> Allowance {
        Allowance { begun: Instant::now(), bytes: AtomicU64::new(bytes) }
    }

    /// So many bytes more came.
    pub fn earn(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How long the answer may take, as far as it came.
    pub fn deadline(&self) -> Duration {
        deadline(self.bytes.load(Ordering::Relaxed))
    }

    /// What `work` brings; None once the time is over.
    pub async fn limit<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let over = pin!(async {
            loop {
                let end = self.begun + self.deadline();
                if Instant::now() >= end {
                    return;
                }
                sleep_until(end).await;
            }
        });
        match futures_util::future::select(pin!(work), over).await {
            futures_util::future::Either::Left((result, _)) => Some(result),
            futures_util::future::Either::Right(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_as_long_as_its_bytes_come_fast_enough() {
        let begun = Instant::now();
        let trickle = |bytes: u64| async move {
            let allowance = Allowance::of(0);
            let work = async {
                for _ in 0..60 {
                    sleep(Duration::from_secs(1)).await;
                    allowance.earn(bytes);
                }
            };
            allowance.limit(work).await
        };
        assert_eq!(trickle(1).await, None);
        assert_eq!(begun.elapsed(), DEADLINE);
        assert_eq!(trickle(SLOWEST).await, Some(()));
        assert_eq!(begun.elapsed(), DEADLINE + Duration::from_secs(60));
    }
}
