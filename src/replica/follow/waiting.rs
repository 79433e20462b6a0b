//! Waits for a view when a replica is opened, and for a confirmation of the view if a reader has `max_staleness`.

use crate::error::{Error, ErrorKind};
use crate::replica::follow::Follower;
use crate::time::Stamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Pause between two polls of a replica that has no backup yet.
const FIRST_BACKUP: Duration = Duration::from_millis(250);

/// How long an open may take if it does not wait for a first backup.
const NO_WAIT: Duration = Duration::from_secs(10);

/// How long an open may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) struct OpenTime {
    /// How long it waits for the store.
    pub limit: Duration,
    /// How long it waits for a first backup if the replica is empty.
    pub backup: Duration,
}

impl From<Duration> for OpenTime {
    /// `open_timeout` is that of the settings: with 0, an open does not wait for a first backup.
    fn from(open_timeout: Duration) -> OpenTime {
        OpenTime { limit: if open_timeout.is_zero() { NO_WAIT } else { open_timeout }, backup: open_timeout }
    }
}

impl OpenTime {
    /// Whether an open that may take this long would also have waited for as long as `other` asks for.
    pub(in crate::replica) fn includes(self, other: OpenTime) -> bool {
        self.limit >= other.limit && self.backup >= other.backup
    }
}

impl Follower {
    /// Waits for a view. Sets `why_empty` to the reason why there is none yet, once the store has returned a listing.
    pub(in crate::replica) async fn wait_for_view(
        self: &Arc<Self>,
        time: OpenTime,
        was_idle: bool,
        why_empty: &mut Option<Error>,
    ) -> Result<(), Error> {
        if self.head.view().is_some() {
            if let Some(until) = self.polls.worth_waiting_for(self.poll_interval(), was_idle) {
                // If the poll does not end in time, the open uses the current view. The poll continues.
                let _ = timeout_at(until, self.poll(self.poll_interval())).await;
            }
            return Ok(());
        }
        let started = Instant::now();
        // If the cache directory has a state, it is served after this.
        let patience = time.limit / 2;
        loop {
            let polled = if self.resumed().await.is_some() {
                let polled = timeout(patience, self.poll(FIRST_BACKUP)).await;
                if !matches!(&polled, Ok(Ok(()))) {
                    self.serve_resumed(polled.as_ref().ok().and_then(|polled| polled.as_ref().err())).await;
                }
                polled.unwrap_or(Ok(()))
            } else {
                self.poll(FIRST_BACKUP).await
            };
            if self.head.view().is_some() {
                return Ok(());
            }
            polled?;
            let why = match why_empty.take() {
                Some(why) => why,
                None => self.files.why_empty().await,
            };
            let left = time.backup.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(why);
            }
            *why_empty = Some(why);
            sleep(FIRST_BACKUP.min(left)).await;
        }
    }

    /// The error of an open that got no view within `limit`.
    pub(in crate::replica) fn open_timed_out(&self, limit: Duration) -> Error {
        if self.head.view().is_none() && self.polls.has_succeeded() {
            return self.files.empty();
        }
        let waiting = match self.files.store.oldest_request() {
            Some(request) => format!("{request} has not been answered"),
            None => "its requests take longer".to_owned(),
        };
        let message = format!("{} cannot be opened within {} s: {waiting}", self.files.store, limit.as_secs_f64());
        Error::new(ErrorKind::Unreachable, message)
            .remedy("check the endpoint and the network, or set a longer open_timeout")
    }

    /// Ensures that the replica confirmed the newest view no longer ago than `limit`; polls if it did not.
    pub(in crate::replica) async fn freshen(self: &Arc<Self>, limit: Duration) -> Result<(), Error> {
        let since = Stamp::of_age(limit);
        let is_fresh = || self.head.confirmed().is_some_and(|at| since.is_none_or(|since| at >= since));
        let stale = |why: &str| {
            let last = self.head.confirmed().map_or_else(
                || "has not confirmed the state that is served".to_owned(),
                |at| format!("last confirmed the state that is served {:.1} s ago", at.age().as_secs_f64()),
            );
            let store = &self.files.store;
            let message = format!("{store} {last}, and max_staleness allows {} s: {why}", limit.as_secs_f64());
            Error::new(ErrorKind::Unreachable, message).remedy("try again, or set a longer max_staleness")
        };
        match timeout_at(self.polls.result_due(), self.poll(limit)).await {
            Ok(Ok(())) if is_fresh() => Ok(()),
            Ok(Ok(())) => {
                let reason = self.health.stall_reason();
                Err(stale(&reason.unwrap_or_else(|| "its files are changing".to_owned())))
            }
            Ok(Err(error)) => Err(stale(&error.to_string())),
            Err(_) => match self.polls.failure() {
                Some(error) => Err(stale(&error.to_string())),
                None => Err(stale("the store takes too long to respond")),
            },
        }
    }
}
