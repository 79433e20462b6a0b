//! Timeouts and deadlines of all stores.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// The timeout for connecting, which takes up to three round trips.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a server may send nothing before the connection is considered lost. A slow body may take longer in total, and so may the response to
/// a long request (see [`unless_silent`]).
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may take including its retries, without the time for its bytes.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long one try may take without the time for its bytes. Shorter than [`DEADLINE`], so that a slow try leaves time for another.
const ONE_TRY: Duration = Duration::from_secs(7);

/// The minimum transfer rate in bytes per second.
const MIN_RATE: u64 = 128 * 1024;

/// Returns how long a request for so many bytes may take, including its retries.
pub(super) fn deadline(bytes: u64) -> Duration {
    DEADLINE.saturating_add(transfer(bytes))
}

/// Returns the part of a deadline that is for the transfer of so many bytes.
pub(super) fn transfer(bytes: u64) -> Duration {
    Duration::from_secs(bytes / MIN_RATE)
}

/// Returns how long one try of a request for so many bytes may take.
pub(super) fn one_try(bytes: u64) -> Duration {
    ONE_TRY.saturating_add(transfer(bytes))
}

/// Waits for what a server sends next, after a request with a body of `sent` bytes. Fails if it sends nothing for [`IDLE_TIMEOUT`] and the time
/// for those bytes.
///
/// The client's own timeout does not count what is sent.
pub(super) async fn unless_silent<T>(sent: u64, next: impl Future<Output = T>) -> Result<T, String> {
    let limit = IDLE_TIMEOUT.saturating_add(transfer(sent));
    timeout(limit, next).await.map_err(|_| format!("nothing was received for {} seconds", limit.as_secs()))
}

/// The deadline of a response whose length is not known in advance. It extends with every byte received.
#[derive(Debug)]
pub(super) struct Allowance {
    start: Instant,
    bytes: AtomicU64,
}

impl Allowance {
    /// Starts the time now, for a response of at least so many bytes.
    pub fn of(bytes: u64) -> Allowance {
        Allowance { start: Instant::now(), bytes: AtomicU64::new(bytes) }
    }

    /// Extends the deadline for so many received bytes.
    pub fn extend(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns how long the response may take, by the bytes received so far.
    pub fn deadline(&self) -> Duration {
        deadline(self.bytes.load(Ordering::Relaxed))
    }

    /// Runs `work` until it is finished or the time is over. Returns None in the latter case.
    pub async fn limit<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let expired = pin!(async {
            loop {
                let end = self.start + self.deadline();
                if Instant::now() >= end {
                    return;
                }
                sleep_until(end).await;
            }
        });
        match futures_util::future::select(pin!(work), expired).await {
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
    async fn the_deadline_extends_with_received_bytes() {
        let start = Instant::now();
        let receive = |bytes: u64| async move {
            let allowance = Allowance::of(0);
            let work = async {
                for _ in 0..60 {
                    sleep(Duration::from_secs(1)).await;
                    allowance.extend(bytes);
                }
            };
            allowance.limit(work).await
        };
        assert_eq!(receive(1).await, None);
        assert_eq!(start.elapsed(), DEADLINE);
        assert_eq!(receive(MIN_RATE).await, Some(()));
        assert_eq!(start.elapsed(), DEADLINE + Duration::from_secs(60));
    }
}
