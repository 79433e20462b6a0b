//! What an open and a reader that bounds staleness wait for, and how long.

use crate::config::Target;
use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::replica::Replica;
use crate::replica::follow::poll::FAILURE_STAYS;
use crate::replica::view::View;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Pause between two polls of a replica that has no backup yet.
const FIRST_BACKUP: Duration = Duration::from_millis(250);

/// How long the replica may take to answer an open that does not wait for a first backup.
const NO_WAIT: Duration = Duration::from_secs(10);

/// The last open that failed.
#[derive(Default)]
pub(in crate::replica) struct FailedOpen(Mutex<Option<OpenFailure>>);

struct OpenFailure {
    at: Instant,
    target: Target,
    open_timeout: Duration,
    error: Error,
}

impl FailedOpen {
    fn find(&self, target: Target, open_timeout: Duration) -> Option<Error> {
        let failure = self.0.lock();
        let recent = failure.as_ref().filter(|failure| failure.at.elapsed() < FAILURE_STAYS);
        let same = recent.filter(|failure| failure.target == target && failure.open_timeout >= open_timeout);
        same.map(|failure| failure.error.clone())
    }

    fn note(&self, target: Target, open_timeout: Duration, error: &Error) {
        *self.0.lock() = Some(OpenFailure { at: Instant::now(), target, open_timeout, error: error.clone() });
    }
}

impl Replica {
    /// Sees to it that there is a view, and finds the one of another moment than the newest. Takes no longer than
    /// `open_timeout` in all, whatever does not answer. `rested` if nobody followed the replica before.
    pub(in crate::replica) async fn open(
        self: &Arc<Self>,
        target: Target,
        open_timeout: Duration,
        rested: bool,
    ) -> Result<Option<Arc<View>>, Error> {
        let is_here = target == Target::Latest && self.head().is_some();
        if let Some(error) = self.failed_open.find(target, open_timeout).filter(|_| !is_here) {
            return Err(error);
        }
        let bound = if open_timeout.is_zero() { NO_WAIT } else { open_timeout };
        let mut why_empty = None;
        let opened = timeout(bound, async {
            self.await_view(open_timeout, rested, &mut why_empty).await?;
            self.view_of(target).await
        });
        let opened = opened.await;
        let opened = opened.unwrap_or_else(|_| Err(why_empty.unwrap_or_else(|| self.unanswered(bound))));
        opened.inspect_err(|error| self.failed_open.note(target, open_timeout, error))
    }

    /// Waits for a view. `why_empty` gets the reason why there is none yet, once the replica has answered.
    async fn await_view(
        self: &Arc<Self>,
        open_timeout: Duration,
        rested: bool,
        why_empty: &mut Option<Error>,
    ) -> Result<(), Error> {
        if self.head().is_some() {
            if let Some(until) = self.polls.worth_waiting_for(self.poll_interval(), rested) {
                // If the replica does not answer in time, the open gets the view that those who are there have. The poll
                // goes on.
                let _ = timeout_at(until, self.poll(self.poll_interval())).await;
            }
            return Ok(());
        }
        let started = Instant::now();
        loop {
            let polled = self.poll(FIRST_BACKUP).await;
            if self.head().is_some() {
                return Ok(());
            }
            polled?;
            let why = match why_empty.take() {
                Some(why) => why,
                None => self.why_empty().await,
            };
            if started.elapsed() >= open_timeout {
                return Err(why);
            }
            *why_empty = Some(why);
            sleep(FIRST_BACKUP.min(open_timeout - started.elapsed())).await;
        }
    }

    /// The error of an open that waited in vain.
    fn unanswered(&self, bound: Duration) -> Error {
        if self.head().is_none() && self.polls.has_answered() {
            return self.empty();
        }
        let waiting = match self.store.oldest_request() {
            Some(request) => format!("{request} has not been answered"),
            None => "what was asked of it took longer".to_owned(),
        };
        let message = format!("{} cannot be opened within {} s: {waiting}", self.store, bound.as_secs_f64());
        Error::new(ErrorKind::Unreachable, message)
            .remedy("check the endpoint and the network, or set a longer open_timeout")
    }

    /// Sees to it that the replica has confirmed the newest state no longer ago than `bound`, and polls if it has not.
    pub(in crate::replica) async fn freshen(self: &Arc<Self>, bound: Duration) -> Result<(), Error> {
        let since = Instant::now().checked_sub(bound);
        let is_fresh = || self.confirmed().is_some_and(|at| since.is_none_or(|since| at >= since));
        let stale = |why: &str| {
            let last = self.confirmed().map_or_else(
                || "has not confirmed the state that is served".to_owned(),
                |at| format!("last confirmed the state that is served {:.1} s ago", at.elapsed().as_secs_f64()),
            );
            let message = format!("{} {last}, and max_staleness allows {} s: {why}", self.store, bound.as_secs_f64());
            Error::new(ErrorKind::Unreachable, message).remedy("try again, or allow more")
        };
        match timeout_at(self.polls.answer_due(), self.poll(bound)).await {
            Ok(Ok(())) if is_fresh() => Ok(()),
            Ok(Ok(())) => Err(stale(&self.standstill().unwrap_or_else(|| "its files change just now".to_owned()))),
            Ok(Err(error)) => Err(stale(&error.to_string())),
            Err(_) => match self.polls.failure() {
                Some(error) => Err(stale(&error.to_string())),
                None => Err(stale("it takes too long to answer")),
            },
        }
    }
}
