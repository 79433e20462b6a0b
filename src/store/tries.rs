//! Retries: which failures are retried, and after which pause.

use crate::random;
use chrono::DateTime;
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The pauses before the second, third and fourth try, unless the server requests a longer one. A fuzzer does not wait.
const PAUSES: [Duration; 3] = match cfg!(fuzzing) {
    true => [Duration::ZERO; 3],
    false => [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900)],
};

/// The failure of a try, by whether another try may succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// There was no response, or the server is temporarily unavailable. It may say how long to wait.
    Transient { retry_after: Option<Duration> },
    /// The response is invalid. Another connection may lead to a server whose response is valid.
    Nonsense,
    /// Another try would fail the same way.
    Permanent,
}

/// Returns whether an HTTP status means that the same request may succeed later: 408, 425, 429, and 500 and above, except 501 and 505,
/// which mean that the server lacks a function.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 506..)
}

/// Why a request is not tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// All tries were made, the time is over, or another try would fail the same way.
    Exhausted,
    /// The server requests a pause that is longer than the remaining time.
    PauseTooLong { pause: Duration, allowed: Duration },
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Exhausted => f.write_str("all tries failed"),
            Stop::PauseTooLong { pause, allowed } => {
                let (pause, allowed) = (pause.as_secs(), allowed.as_secs());
                write!(f, "it requests a pause of {pause} seconds, but the request may take {allowed} seconds in total")
            }
        }
    }
}

/// The tries of one request.
#[derive(Debug)]
pub(super) struct Tries {
    start: Instant,
    allowed: Duration,
    pauses: std::slice::Iter<'static, Duration>,
    had_nonsense: bool,
}

impl Tries {
    /// Begins the tries of a request that may take `allowed` in total, pauses included.
    pub fn within(allowed: Duration) -> Tries {
        Tries { start: Instant::now(), allowed, pauses: PAUSES.iter(), had_nonsense: false }
    }

    /// Returns whether this try must use a new connection.
    pub fn is_fresh(&self) -> bool {
        self.had_nonsense
    }

    /// Waits until the next try may begin. Fails if there is no further try.
    pub async fn next(&mut self, trouble: Trouble) -> Result<(), Stop> {
        let remaining = self.allowed.saturating_sub(self.start.elapsed());
        let pause = match trouble {
            Trouble::Permanent => return Err(Stop::Exhausted),
            Trouble::Nonsense if std::mem::replace(&mut self.had_nonsense, true) => return Err(Stop::Exhausted),
            Trouble::Nonsense => return Ok(()),
            // A pause of a second or more is granted every time the server requests one. Only the remaining time limits it.
            Trouble::Transient { retry_after: Some(pause) } if pause >= Duration::from_secs(1) => {
                if pause >= remaining {
                    return Err(Stop::PauseTooLong { pause, allowed: self.allowed });
                }
                pause
            }
            Trouble::Transient { .. } => jittered(*self.pauses.next().ok_or(Stop::Exhausted)?),
        };
        if pause >= remaining {
            return Err(Stop::Exhausted);
        }
        sleep(pause).await;
        Ok(())
    }
}

/// Shortens a pause by up to a quarter, so that requests that failed together are not repeated together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 - random::fraction() / 4.0)
}

/// Parses a `Retry-After` header: seconds, or a time by the server's clock, whose current time is in the header `date`.
///
/// Returns None if it is neither, and no pause for a time in the past.
pub(super) fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = |text: &str| DateTime::parse_from_rfc2822(text.trim()).ok().map(|time| time.to_utc());
    let now = date.and_then(time).unwrap_or_else(chrono::Utc::now);
    Some((time(value)? - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn busy(seconds: u64) -> Trouble {
        Trouble::Transient { retry_after: Some(SECOND * seconds as u32) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_response_is_tried_four_times() {
        let mut tries = Tries::within(10 * SECOND);
        for longest in PAUSES {
            let before = Instant::now();
            assert_eq!(tries.next(Trouble::Transient { retry_after: None }).await, Ok(()));
            let pause = before.elapsed();
            assert!(pause <= longest + Duration::from_millis(1) && pause >= longest.mul_f64(0.75), "{pause:?}");
        }
        assert_eq!(tries.next(busy(0)).await, Err(Stop::Exhausted));
    }

    #[tokio::test(start_paused = true)]
    async fn a_requested_pause_is_granted_within_the_deadline() {
        let (start, mut tries) = (Instant::now(), Tries::within(10 * SECOND));
        for _ in 0..3 {
            assert_eq!(tries.next(busy(3)).await, Ok(()));
        }
        assert_eq!(start.elapsed(), 9 * SECOND);
        assert_eq!(tries.next(busy(3)).await, Err(Stop::PauseTooLong { pause: 3 * SECOND, allowed: 10 * SECOND }));
        assert_eq!(start.elapsed(), 9 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalid_response_is_retried_once_over_a_new_connection() {
        let mut tries = Tries::within(10 * SECOND);
        assert!(!tries.is_fresh());
        assert_eq!(tries.next(Trouble::Nonsense).await, Ok(()));
        assert!(tries.is_fresh());
        assert_eq!(tries.next(Trouble::Nonsense).await, Err(Stop::Exhausted));
        assert_eq!(tries.next(Trouble::Permanent).await, Err(Stop::Exhausted));
    }

    #[test]
    fn statuses_of_a_busy_server_are_transient() {
        assert!([408, 425, 429, 500, 502, 503, 504, 507, 599].into_iter().all(is_transient));
        assert!(![301, 400, 401, 403, 404, 412, 416, 499, 501, 505].into_iter().any(is_transient));
    }

    #[test]
    fn retry_after_is_seconds_or_a_time() {
        let date = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:28:07 GMT", Some(7)),
            ("Wed, 21 Oct 2015 07:27:59 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(value, date), seconds.map(Duration::from_secs), "{value}");
        }
        let soon = (chrono::Utc::now() + chrono::TimeDelta::seconds(60)).to_rfc2822();
        assert!(retry_after(&soon, None).is_some_and(|pause| pause > 50 * SECOND && pause <= 60 * SECOND));
    }
}
