//! When a request is tried again.

use chrono::DateTime;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The pauses before the second, third and fourth try, unless the server asks for a longer one.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900)];

/// What went wrong with a try, by what another one may bring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// There was no answer, or the server cannot serve now. It may say after which time to ask again.
    Passing { retry_after: Option<Duration> },
    /// The answer makes no sense. Another connection may lead to a server that gives a better one.
    Nonsense,
    /// Another try would bring the same.
    Lasting,
}

/// Why a request is not tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// It was tried often enough, or the time is over.
    Exhausted,
    /// The server asks for a pause that is longer than what is left of the time.
    Asked { pause: Duration, allowed: Duration },
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Exhausted => f.write_str("it was tried often enough"),
            Stop::Asked { pause, allowed } => {
                let (pause, allowed) = (pause.as_secs(), allowed.as_secs());
                write!(f, "it asks for a pause of {pause} seconds, and the request may take {allowed} in all")
            }
        }
    }
}

/// The tries of one request.
#[derive(Debug)]
pub(super) struct Tries {
    begun: Instant,
    allowed: Duration,
    pauses: std::slice::Iter<'static, Duration>,
    nonsense: bool,
}

impl Tries {
    /// Of a request that may take so long as a whole.
    pub fn within(allowed: Duration) -> Tries {
        Tries { begun: Instant::now(), allowed, pauses: PAUSES.iter(), nonsense: false }
    }

    /// Whether this try must not use a connection that was used before.
    pub fn is_fresh(&self) -> bool {
        self.nonsense
    }

    /// Waits until the next try may begin.
    pub async fn next(&mut self, trouble: Trouble) -> Result<(), Stop> {
        let left = self.allowed.saturating_sub(self.begun.elapsed());
        let pause = match trouble {
            Trouble::Lasting => return Err(Stop::Exhausted),
            Trouble::Nonsense if std::mem::replace(&mut self.nonsense, true) => return Err(Stop::Exhausted),
            Trouble::Nonsense => return Ok(()),
            // A server that asks for a pause of some length is not hammered, however often it asks: time ends it.
            Trouble::Passing { retry_after: Some(pause) } if pause >= Duration::from_secs(1) => {
                if pause >= left {
                    return Err(Stop::Asked { pause, allowed: self.allowed });
                }
                pause
            }
            Trouble::Passing { .. } => jittered(*self.pauses.next().ok_or(Stop::Exhausted)?),
        };
        if pause >= left {
            return Err(Stop::Exhausted);
        }
        sleep(pause).await;
        Ok(())
    }
}

/// Up to a quarter less, so that requests that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    pause.mul_f64(1.0 - random / 4.0)
}

/// The pause that a header `Retry-After` asks for: seconds, or a moment by the server's clock, which `date` shows.
pub(super) fn retry_after(told: &str, date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = told.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = |text: &str| DateTime::parse_from_rfc2822(text.trim()).ok().map(|time| time.to_utc());
    let now = date.and_then(moment).unwrap_or_else(chrono::Utc::now);
    // A moment that has passed asks for no pause.
    Some((moment(told)? - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn busy(seconds: u64) -> Trouble {
        Trouble::Passing { retry_after: Some(SECOND * seconds as u32) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_tried_four_times() {
        let mut tries = Tries::within(10 * SECOND);
        for longest in PAUSES {
            let before = Instant::now();
            assert_eq!(tries.next(Trouble::Passing { retry_after: None }).await, Ok(()));
            let pause = before.elapsed();
            assert!(pause <= longest + Duration::from_millis(1) && pause >= longest.mul_f64(0.75), "{pause:?}");
        }
        assert_eq!(tries.next(busy(0)).await, Err(Stop::Exhausted));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_the_server_asks_for_is_made_if_there_is_time_for_it() {
        let (begun, mut tries) = (Instant::now(), Tries::within(10 * SECOND));
        for _ in 0..3 {
            assert_eq!(tries.next(busy(3)).await, Ok(()));
        }
        assert_eq!(begun.elapsed(), 9 * SECOND);
        assert_eq!(tries.next(busy(3)).await, Err(Stop::Asked { pause: 3 * SECOND, allowed: 10 * SECOND }));
        assert_eq!(begun.elapsed(), 9 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn nonsense_is_tried_once_more_over_another_connection() {
        let mut tries = Tries::within(10 * SECOND);
        assert!(!tries.is_fresh());
        assert_eq!(tries.next(Trouble::Nonsense).await, Ok(()));
        assert!(tries.is_fresh());
        assert_eq!(tries.next(Trouble::Nonsense).await, Err(Stop::Exhausted));
        assert_eq!(tries.next(Trouble::Lasting).await, Err(Stop::Exhausted));
    }

    #[test]
    fn a_pause_is_told_in_seconds_or_by_a_moment() {
        let date = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        for (told, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:28:07 GMT", Some(7)),
            ("Wed, 21 Oct 2015 07:27:59 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(told, date), seconds.map(Duration::from_secs), "{told}");
        }
        let soon = (chrono::Utc::now() + chrono::TimeDelta::seconds(60)).to_rfc2822();
        assert!(retry_after(&soon, None).is_some_and(|pause| pause > 50 * SECOND && pause <= 60 * SECOND));
    }
}
