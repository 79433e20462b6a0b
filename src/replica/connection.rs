//! One reader's place at a shared replica.

use super::cache::Page;
use super::foresight::Source;
use super::registry::Place;
use super::{Replica, Status, View};
use crate::config::{Settings, Target};
use crate::error::{Error, Kind};
use crate::lock::Mutex;
use crate::ltx::Txid;
use crate::runtime::{self, PerProcess};
use crate::store::Location;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Asks whether the host wants the running call to stop.
pub type Interrupted<'a> = &'a dyn Fn() -> bool;

/// One reader of a replica, at the newest moment or at another. While any is open, the replica is followed.
///
/// Usable from any thread. In the child of a fork it joins anew, with the settings it was opened with and at the moment
/// it stood at, when it is next used.
pub struct Connection {
    settings: Settings,
    location: Location,
    place: PerProcess<Place>,
    /// The view of another moment, if the connection was sent to one.
    parked: Mutex<Option<Arc<View>>>,
}

impl Connection {
    /// Opens the replica, or joins it if the process has it open already. Blocks until there is a first view.
    ///
    /// Fails with [`Empty`](crate::error::Kind::Empty) if there is none after the settings' `open_timeout`, and at once if the replica cannot
    /// be reached, refuses the credentials, or does not hold the moment asked for.
    pub fn open(settings: &Settings, interrupted: Interrupted<'_>) -> Result<Connection, Error> {
        let location = Location::parse(&settings.replica_url)?;
        let place = join(&location, settings, interrupted)?;
        let replica = place.replica().clone();
        let target = settings.target;
        let parked = runtime::wait(async move { replica.view_of(target).await }, interrupted)?;
        let place = PerProcess::with(place);
        Ok(Connection { settings: settings.clone(), location, place, parked: Mutex::new(parked) })
    }

    fn place(&self, interrupted: Interrupted<'_>) -> Result<&Place, Error> {
        self.place.get_or_try_init(|| join(&self.location, &self.settings, interrupted))
    }

    /// The view that a transaction which starts now should pin. Does no I/O, but in the child of a fork, and if the last
    /// poll is longer ago than the settings' `max_staleness`: then it polls first, and fails if the replica does not answer.
    pub fn view(&self, interrupted: Interrupted<'_>) -> Result<Arc<View>, Error> {
        if let Some(view) = self.parked_view(interrupted)? {
            return Ok(view);
        }
        let replica = self.place(interrupted)?.replica();
        if let Some(bound) = self.settings.max_staleness
            && replica.lag().is_none_or(|lag| lag > bound)
        {
            let replica = replica.clone();
            runtime::wait(async move { replica.freshen(bound).await }, interrupted)?;
        }
        replica.head().ok_or_else(|| replica.empty())
    }

    /// The view of another moment, if the connection was sent to one. It is made anew if wrong bytes came of it.
    fn parked_view(&self, interrupted: Interrupted<'_>) -> Result<Option<Arc<View>>, Error> {
        let Some(view) = self.parked.lock().clone() else { return Ok(None) };
        if !view.is_spoiled() {
            return Ok(Some(view));
        }
        let target = Target::Txid(view.txid());
        let again = self.ask(interrupted, async move |replica| replica.view_of(target).await)?;
        // Another history has other states under the same numbers.
        let again = again.filter(|again| again.history() == view.history()).unwrap_or(view);
        *self.parked.lock() = Some(again.clone());
        Ok(Some(again))
    }

    /// The view that reads see where no transaction is open, however old it is. Does no I/O, but in the
    /// child of a fork.
    pub fn last_view(&self) -> Result<Arc<View>, Error> {
        if let Some(view) = &*self.parked.lock() {
            return Ok(view.clone());
        }
        let replica = self.place(&|| false)?.replica();
        replica.head().ok_or_else(|| replica.empty())
    }

    /// Whether the connection was sent to another moment.
    pub fn is_parked(&self) -> bool {
        self.parked.lock().is_some()
    }

    /// A page of `view`, 1 ≤ `pgno` ≤ its commit. None for the lock page, which reads as zeros.
    #[inline]
    pub fn page(&self, view: &Arc<View>, pgno: u32, interrupted: Interrupted<'_>) -> Result<Option<Page>, Error> {
        let place = self.place(interrupted)?;
        let page = place.replica().fetcher.cached(view, pgno);
        let (counter, other) = (&place.usage().hits, &place.usage().misses);
        // One thread at a time uses a connection, so no addition is lost, and none has to lock the memory bus.
        let counter = if page.is_some() { counter } else { other };
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        match page {
            Some(page) => {
                let source = Source { fetcher: &place.replica().fetcher, view };
                place.foresight().reads(source, pgno, &page);
                Ok(Some(page))
            }
            None => fetch(place, view.clone(), pgno, interrupted),
        }
    }

    /// Waits until the replica has a transaction, polling at once and then closely. False if that took longer than
    /// `timeout`. Only for a connection that follows: one sent to another moment never gets there.
    pub fn wait_for(&self, txid: Txid, timeout: Duration, interrupted: Interrupted<'_>) -> Result<bool, Error> {
        if self.is_parked() {
            let error = Error::new(Kind::Config, "this connection was sent to another moment and does not follow");
            return Err(error.remedy("send it back with litestream_set_time('LATEST')"));
        }
        let replica = self.place(interrupted)?.replica().clone();
        runtime::wait(async move { Ok(replica.wait_for(txid, timeout).await) }, interrupted)
    }

    /// How the replica is doing. Asks for nothing; None only in the child of a fork that cannot join it.
    pub fn status(&self) -> Option<Status> {
        let place = self.place(&|| false).ok()?;
        Some(place.replica().status(place.readers()))
    }

    /// Has the replica do something, and waits for it.
    pub(super) fn ask<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        &self,
        interrupted: Interrupted<'_>,
        job: impl FnOnce(Arc<Replica>) -> F,
    ) -> Result<T, Error> {
        runtime::wait(job(self.place(interrupted)?.replica().clone()), interrupted)
    }

    /// Moves to another moment, from the next [`Connection::view`] on. Answers the view found there.
    pub fn move_to(&self, target: Target, interrupted: Interrupted<'_>) -> Result<Arc<View>, Error> {
        let view = self.ask(interrupted, async move |replica| replica.view_of(target).await)?;
        *self.parked.lock() = view;
        self.view(interrupted)
    }

    /// Time since the replica last answered a poll; None before the first.
    pub fn lag(&self) -> Option<Duration> {
        self.place(&|| false).ok()?.replica().lag()
    }
}

fn fetch(place: &Place, view: Arc<View>, pgno: u32, interrupted: Interrupted<'_>) -> Result<Option<Page>, Error> {
    if pgno == view.lock_page() {
        return Ok(None);
    }
    let (replica, foresight) = (place.replica().clone(), place.foresight().clone());
    runtime::wait(async move { replica.page(&view, pgno, &foresight).await }, interrupted)
}

fn join(location: &Location, settings: &Settings, interrupted: Interrupted<'_>) -> Result<Place, Error> {
    let place = Place::take(location, settings)?;
    let (replica, timeout, verify) = (place.replica().clone(), settings.open_timeout, settings.verify);
    let woken = async move {
        replica.wake(timeout).await?;
        if verify { replica.verify_head().await } else { Ok(()) }
    };
    runtime::wait(woken, interrupted)?;
    Ok(place)
}

/// Pause between two looks at a replica that has no backup yet.
const FIRST_BACKUP: Duration = Duration::from_millis(250);

/// Pauses between two looks of one who waits for a transaction: from the first, growing to the second.
const CLOSELY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// How long the replica may take to answer a reader that wants to know the newest.
const ANSWER: Duration = Duration::from_secs(10);

impl Replica {
    /// Sees to it that there is a view, and that it is no older than the poll interval: the replica may have rested. If it
    /// does not answer now, who comes gets the view that those who are there have.
    async fn wake(&self, timeout: Duration) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            let polled = self.poll(self.poll_interval()).await;
            if self.head().is_some() {
                return Ok(());
            }
            polled?;
            if started.elapsed() >= timeout {
                return Err(self.empty());
            }
            tokio::time::sleep(FIRST_BACKUP.min(timeout)).await;
        }
    }
}

impl Replica {
    /// Polls, unless that happened less than `bound` ago.
    async fn freshen(&self, bound: Duration) -> Result<(), Error> {
        let stale = |why: &str| {
            let since = self.lag().map_or_else(|| "never".into(), |lag| format!("{} s ago", lag.as_secs()));
            let message = format!("{} last answered {since}, longer ago than max_staleness allows: {why}", self.store);
            Error::new(Kind::Unreachable, message).remedy("try again, or allow more")
        };
        match tokio::time::timeout(ANSWER, self.poll(bound)).await {
            Ok(polled) => polled.map_err(|error| stale(&error.to_string())),
            Err(_) => Err(stale("it takes too long to answer")),
        }
    }

    async fn wait_for(&self, txid: Txid, timeout: Duration) -> bool {
        let arrived = || self.head().is_some_and(|head| head.txid() >= txid);
        let closer_and_closer = async {
            let (mut pause, longest) = CLOSELY;
            while !arrived() {
                // What goes wrong shows in the status, and may be over before the time is.
                let _ = self.poll(Duration::ZERO).await;
                if arrived() {
                    break;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
        };
        tokio::time::timeout(timeout, closer_and_closer).await.is_ok() || arrived()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.location)
    }
}
