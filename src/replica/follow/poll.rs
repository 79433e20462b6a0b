//! Shared polls: one is under way at a time, and everybody who waits for it gets its result.
//!
//! A poll is a task of its own, so that a caller who gives up does not cancel it for the others. A failure is
//! remembered for a moment: whoever asks within it gets the same error, and the store gets no request.

use crate::error::Error;
use crate::lock::Mutex;
use crate::replica::Replica;
use crate::replica::follow::Told;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a failure is the answer to everybody who asks.
pub(in crate::replica) const FAILURE_STAYS: Duration = Duration::from_secs(1);

/// A poll that takes so many times as long as polls usually take is late.
const LATE: u32 = 8;

/// The bounds of that time. The lower one is also what counts before any poll was measured.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// How long after a failure a replica that is seldom polled counts as failing.
const TROUBLE: Duration = Duration::from_secs(10);

/// How long a poll may take for somebody who has to know the newest state.
const ANSWER: Duration = Duration::from_secs(10);

/// What a poll is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) enum PollPurpose {
    /// The follower's turn: one request, which now and then asks only whether the history is still the same.
    Turn,
    /// Somebody has to know the newest state.
    News,
}

/// How a poll ended.
type Polled = Result<Told, Error>;

/// The polls of a replica.
#[derive(Default)]
pub(in crate::replica) struct Polls(Mutex<PollState>);

#[derive(Default)]
struct PollState {
    flight: Option<InFlightPoll>,
    last: Option<Finished>,
    /// When the last successful poll began, and the last of them that asked for news.
    answered: Option<Instant>,
    news: Option<Instant>,
    /// How long polls that succeed usually take.
    usual: Option<Duration>,
}

/// A poll that is under way.
#[derive(Clone)]
struct InFlightPoll {
    began: Instant,
    polled: watch::Receiver<Option<Polled>>,
}

struct Finished {
    at: Instant,
    failure: Option<Error>,
}

/// What somebody who wants a poll gets.
enum Claim {
    /// What is known already.
    Known(Result<(), Error>),
    /// The poll that is under way.
    Join(InFlightPoll),
    /// Nothing is under way: the caller starts it.
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
    fn patience(&self) -> Duration {
        self.usual.map_or(PATIENCE.0, |usual| (usual * LATE).clamp(PATIENCE.0, PATIENCE.1))
    }

    /// The poll that a caller need not wait for, if it began later than `since`.
    fn known(&self, purpose: PollPurpose, since: Option<Instant>) -> Option<Result<(), Error>> {
        if let Some(Finished { at, failure: Some(error) }) = &self.last
            && at.elapsed() < FAILURE_STAYS
        {
            return Some(Err(error.clone()));
        }
        let began = if purpose == PollPurpose::News { self.news } else { self.answered };
        began.is_some_and(|began| since.is_none_or(|since| began > since)).then_some(Ok(()))
    }

    fn finish(&mut self, polled: &Polled) {
        let Some(flight) = self.flight.take() else { return };
        self.last = Some(Finished { at: Instant::now(), failure: polled.as_ref().err().cloned() });
        let Ok(told) = polled else { return };
        let took = flight.began.elapsed();
        self.usual = Some(self.usual.map_or(took, |usual| (usual * 7 + took) / 8));
        self.answered = Some(flight.began);
        if told.is_about_news() {
            self.news = Some(flight.began);
        }
    }
}

impl Polls {
    fn claim(&self, purpose: PollPurpose, since: Option<Instant>) -> Claim {
        let mut state = self.0.lock();
        if let Some(known) = state.known(purpose, since) {
            return Claim::Known(known);
        }
        if let Some(flight) = &state.flight {
            return Claim::Join(flight.clone());
        }
        let (sender, polled) = watch::channel(None);
        let flight = InFlightPoll { began: Instant::now(), polled };
        state.flight = Some(flight.clone());
        Claim::Start(flight, sender)
    }

    /// Until when an open should wait for a poll. None if the view that is there is as good as can be had: the replica is
    /// polled regularly, well or badly, or the poll that is under way is late. A replica that `rested` must have been
    /// polled within the interval.
    pub(in crate::replica) fn worth_waiting_for(&self, interval: Duration, rested: bool) -> Option<Instant> {
        let state = self.0.lock();
        let patience = state.patience();
        let recently = if rested { interval } else { interval * 2 + patience };
        let recently = match &state.last {
            Some(Finished { at, failure: None }) => at.elapsed() <= recently,
            Some(Finished { at, failure: Some(_) }) => at.elapsed() <= (interval * 2 + patience).min(TROUBLE),
            None => false,
        };
        let until = state.flight.as_ref().map_or_else(Instant::now, |flight| flight.began) + patience;
        (!recently && until > Instant::now()).then_some(until)
    }

    /// Until when somebody who has to know the newest state should wait for it. After a failure no longer than a poll
    /// usually takes, so that an outage costs its full time once.
    pub(in crate::replica) fn answer_due(&self) -> Instant {
        let state = self.0.lock();
        match &state.last {
            Some(Finished { failure: Some(_), .. }) => Instant::now() + state.patience(),
            _ => state.flight.as_ref().map_or_else(Instant::now, |flight| flight.began) + ANSWER,
        }
    }

    /// Why the last poll failed, if it did.
    pub(in crate::replica) fn failure(&self) -> Option<Error> {
        self.0.lock().last.as_ref()?.failure.clone()
    }

    /// Whether a poll has succeeded, with or without a view.
    pub(in crate::replica) fn has_answered(&self) -> bool {
        self.0.lock().answered.is_some()
    }
}

impl Replica {
    /// Sees to it that news of the replica is no older than `fresh`, by the poll that is under way or another.
    pub(in crate::replica) async fn poll(self: &Arc<Self>, fresh: Duration) -> Result<(), Error> {
        self.share(PollPurpose::News, fresh).await
    }

    /// The follower's poll: one request if nothing is new, and none if somebody polled within half of the interval.
    pub(in crate::replica) async fn take_turn(self: &Arc<Self>) -> Result<(), Error> {
        self.share(PollPurpose::Turn, self.poll_interval() / 2).await
    }

    async fn share(self: &Arc<Self>, purpose: PollPurpose, fresh: Duration) -> Result<(), Error> {
        let since = Instant::now().checked_sub(fresh);
        loop {
            let flight = match self.polls.claim(purpose, since) {
                Claim::Known(known) => return known,
                Claim::Join(flight) => flight,
                Claim::Start(flight, sender) => {
                    let running = Running { replica: self.clone(), sender, polled: None };
                    tokio::spawn(running.run(purpose));
                    flight
                }
            };
            let began = flight.began;
            let told = flight.end().await?;
            let suffices = told.is_about_news() && since.is_none_or(|since| began >= since);
            if purpose == PollPurpose::Turn || suffices {
                return Ok(());
            }
        }
    }
}

/// A poll's task. However it ends, also by a panic, the next poll can start and those who wait are told.
struct Running {
    replica: Arc<Replica>,
    sender: watch::Sender<Option<Polled>>,
    polled: Option<Polled>,
}

impl Running {
    async fn run(mut self, purpose: PollPurpose) {
        self.polled = Some(self.replica.look(purpose).await);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ended = || Err(Error::internal("a poll ended without a result"));
        let polled = self.polled.take().unwrap_or_else(ended);
        self.replica.polls.0.lock().finish(&polled);
        self.sender.send_replace(Some(polled));
    }
}
