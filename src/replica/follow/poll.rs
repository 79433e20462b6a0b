//! Shares polls: one runs at a time, and all callers that wait for it get its result.
//!
//! A poll is a task of its own, so that a caller that stops waiting does not cancel it for others. A failure is
//! remembered for [`FAILURE_STAYS`]: callers within that time get the same error, and the store gets no request.

use crate::error::Error;
use crate::lock::Mutex;
use crate::replica::follow::{Follower, PollOutcome};
use crate::time::Stamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a failure is the result for all callers.
pub(in crate::replica) const FAILURE_STAYS: Duration = Duration::from_secs(1);

/// A poll that takes so many times the usual duration is late.
const LATE: u32 = 8;

/// The bounds of that duration. The lower one is also used before any poll was measured.
const LATE_BOUNDS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// How long after a failure a replica that is rarely polled counts as failing.
const FAILING: Duration = Duration::from_secs(10);

/// How long a poll may take for a caller that needs the newest state.
const RESULT: Duration = Duration::from_secs(10);

/// What a poll is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) enum PollPurpose {
    /// The regular poll: one request, which sometimes only checks that the history is the same.
    Turn,
    /// A caller needs the newest state.
    Newest,
}

/// How a poll ended.
type Polled = Result<PollOutcome, Error>;

/// The polls of a replica.
#[derive(Default)]
pub(super) struct Polls(Mutex<PollState>);

#[derive(Default)]
struct PollState {
    running: Option<InFlightPoll>,
    last: Option<Finished>,
    /// When the last successful poll began, and the last of them that looked for newer files.
    succeeded: Option<Stamp>,
    newest: Option<Stamp>,
    /// How long successful polls usually take.
    usual: Option<Duration>,
}

/// A poll that is running.
#[derive(Clone)]
struct InFlightPoll {
    began: Stamp,
    polled: watch::Receiver<Option<Polled>>,
}

struct Finished {
    at: Stamp,
    failure: Option<Error>,
}

/// What a caller that wants a poll gets.
enum PollClaim {
    /// A result that is known already.
    Known(Result<(), Error>),
    /// The poll that is running.
    Join(InFlightPoll),
    /// No poll is running: the caller starts it.
    Start(InFlightPoll, watch::Sender<Option<Polled>>),
}

impl InFlightPoll {
    async fn end(mut self) -> Polled {
        match self.polled.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(polled)) => polled.clone(),
            _ => Err(Error::internal("a poll ended without a result")),
        }
    }
}

impl PollState {
    /// The duration after which a poll is late.
    fn late_after(&self) -> Duration {
        self.usual.map_or(LATE_BOUNDS.0, |usual| (usual * LATE).clamp(LATE_BOUNDS.0, LATE_BOUNDS.1))
    }

    /// When a poll that may take so long is due: the one that is running, or one that starts now.
    fn due_at(&self, limit: Duration) -> Instant {
        self.running.as_ref().map_or_else(Stamp::now, |running| running.began).due_at(limit)
    }

    /// The result for a caller that needs no poll which began later than `since`.
    fn known(&self, purpose: PollPurpose, since: Option<Stamp>) -> Option<Result<(), Error>> {
        if let Some(Finished { at, failure: Some(error) }) = &self.last
            && at.age() < FAILURE_STAYS
        {
            return Some(Err(error.clone()));
        }
        let began = if purpose == PollPurpose::Newest { self.newest } else { self.succeeded };
        began.is_some_and(|began| since.is_none_or(|since| began > since)).then_some(Ok(()))
    }

    fn finish(&mut self, polled: &Polled) {
        let Some(running) = self.running.take() else { return };
        self.last = Some(Finished { at: Stamp::now(), failure: polled.as_ref().err().cloned() });
        let Ok(outcome) = polled else { return };
        let took = running.began.age();
        self.usual = Some(self.usual.map_or(took, |usual| (usual * 7 + took) / 8));
        self.succeeded = Some(running.began);
        if outcome.looked_for_newer() {
            self.newest = Some(running.began);
        }
    }
}

impl Polls {
    fn claim(&self, purpose: PollPurpose, since: Option<Stamp>) -> PollClaim {
        let mut state = self.0.lock();
        if let Some(known) = state.known(purpose, since) {
            return PollClaim::Known(known);
        }
        if let Some(running) = &state.running {
            return PollClaim::Join(running.clone());
        }
        let (sender, polled) = watch::channel(None);
        let running = InFlightPoll { began: Stamp::now(), polled };
        state.running = Some(running.clone());
        PollClaim::Start(running, sender)
    }

    /// Records that another process has confirmed the newest view at that time.
    pub(super) fn confirmed(&self, at: Stamp) {
        let mut state = self.0.lock();
        state.last = Some(Finished { at: Stamp::now(), failure: None });
        state.succeeded = state.succeeded.max(Some(at));
        state.newest = state.newest.max(Some(at));
    }

    /// Until when an open should wait for a poll. Returns None if no better view can be expected: the replica is polled
    /// regularly, with or without success, or the running poll is late. A replica that `was_idle` must have been polled
    /// within the interval.
    pub(super) fn worth_waiting_for(&self, interval: Duration, was_idle: bool) -> Option<Instant> {
        let state = self.0.lock();
        let late_after = state.late_after();
        let recently = if was_idle { interval } else { interval * 2 + late_after };
        let recently = match &state.last {
            Some(Finished { at, failure: None }) => at.age() <= recently,
            // The poll after a failure begins only when the failure is no longer the result of every poll.
            Some(Finished { at, failure: Some(_) }) => {
                at.age() <= (FAILURE_STAYS + interval * 2 + late_after).min(FAILING)
            }
            None => false,
        };
        let until = state.due_at(late_after);
        (!recently && until > Instant::now()).then_some(until)
    }

    /// Until when a caller that needs the newest state should wait for it. After a failure only a second, so that an
    /// outage costs its full time once.
    pub(super) fn result_due(&self) -> Instant {
        let state = self.0.lock();
        match &state.last {
            Some(Finished { failure: Some(_), .. }) => Instant::now() + LATE_BOUNDS.1,
            _ => state.due_at(RESULT),
        }
    }

    /// Why the last poll failed, if it did.
    pub(super) fn failure(&self) -> Option<Error> {
        self.0.lock().last.as_ref()?.failure.clone()
    }

    /// Whether a poll has succeeded, with or without a view.
    pub(super) fn has_succeeded(&self) -> bool {
        self.0.lock().succeeded.is_some()
    }
}

impl Follower {
    /// Ensures that the newest view was compared with the store no longer ago than `fresh`, by the running poll or
    /// another.
    pub(in crate::replica) async fn poll(self: &Arc<Self>, fresh: Duration) -> Result<(), Error> {
        self.share(PollPurpose::Newest, fresh).await
    }

    /// The regular poll: one request if nothing is new, and none if a poll began within half of the interval.
    pub(in crate::replica) async fn take_turn(self: &Arc<Self>) -> Result<(), Error> {
        self.share(PollPurpose::Turn, self.poll_interval() / 2).await
    }

    async fn share(self: &Arc<Self>, purpose: PollPurpose, fresh: Duration) -> Result<(), Error> {
        let since = Stamp::of_age(fresh);
        loop {
            let poll = match self.polls.claim(purpose, since) {
                PollClaim::Known(known) => return known,
                PollClaim::Join(poll) => poll,
                PollClaim::Start(poll, sender) => {
                    let task = PollTask { follower: self.clone(), sender, polled: None };
                    tokio::spawn(task.run(purpose));
                    poll
                }
            };
            let began = poll.began;
            let outcome = poll.end().await?;
            let suffices = outcome.looked_for_newer() && since.is_none_or(|since| began >= since);
            if purpose == PollPurpose::Turn || suffices {
                return Ok(());
            }
        }
    }
}

/// The task of a poll. However it ends, also by a panic, the next poll can start and the waiting callers get a result.
struct PollTask {
    follower: Arc<Follower>,
    sender: watch::Sender<Option<Polled>>,
    polled: Option<Polled>,
}

impl PollTask {
    async fn run(mut self, purpose: PollPurpose) {
        self.polled = Some(self.follower.run_poll(purpose).await);
    }
}

impl Drop for PollTask {
    fn drop(&mut self) {
        let ended = || Err(Error::internal("a poll ended without a result"));
        let polled = self.polled.take().unwrap_or_else(ended);
        self.follower.polls.0.lock().finish(&polled);
        self.sender.send_replace(Some(polled));
    }
}
