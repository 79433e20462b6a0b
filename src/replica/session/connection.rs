//! One reader's place at a shared replica.

use crate::config::{Settings, Target};
use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::ltx::Txid;
use crate::replica::cache::Page;
use crate::replica::prefetch::Source;
use crate::replica::session::registry::ReplicaHandle;
use crate::replica::session::status::Status;
use crate::replica::{Replica, View};
use crate::runtime::{self, PerProcess, ReadTimeout};
use crate::store::Location;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Asks whether the host wants the running call to stop.
pub type Interrupted<'a> = &'a dyn Fn() -> bool;

/// One reader of a replica, at the newest moment or at another. While any is open, the replica is followed.
///
/// Usable from any thread. In the child of a fork it joins anew, with the settings it was opened with and at the moment
/// it stood at, when it is next used.
pub struct Connection {
    settings: Settings,
    location: Location,
    place: PerProcess<ReplicaHandle>,
    /// The view of another moment, if the connection was sent to one.
    parked: Mutex<Option<Arc<View>>>,
}

impl Connection {
    /// Opens the replica at `location`, or joins it if the process has it open already. Blocks until there is a first view, and no
    /// longer than the settings' `open_timeout`.
    ///
    /// Fails with [`Empty`](crate::error::ErrorKind::Empty) if there is no backup by then, with
    /// [`Unreachable`](crate::error::ErrorKind::Unreachable) if the replica has not answered, and at once if it cannot be reached, refuses the
    /// credentials, or does not hold the moment asked for.
    pub fn open(settings: &Settings, location: &Location, interrupted: Interrupted<'_>) -> Result<Connection, Error> {
        let (place, parked) = join(location, settings, settings.target, interrupted)?;
        let place = PerProcess::with(place);
        Ok(Connection { settings: settings.clone(), location: location.clone(), place, parked: Mutex::new(parked) })
    }

    fn place(&self, interrupted: Interrupted<'_>) -> Result<&ReplicaHandle, Error> {
        let join = || join(&self.location, &self.settings, Target::Latest, interrupted);
        self.place.get_or_try_init(|| join().map(|(place, _)| place))
    }

    /// The view that a transaction which starts now should pin. Does no I/O, but in the child of a fork, and if the replica
    /// last confirmed that view longer ago than the settings' `max_staleness`: then it polls first, and fails if the replica
    /// does not confirm it.
    pub fn view(&self, interrupted: Interrupted<'_>) -> Result<Arc<View>, Error> {
        if let Some(view) = self.parked_view(interrupted)? {
            return Ok(view);
        }
        let replica = self.place(interrupted)?.replica();
        if let Some(bound) = self.settings.max_staleness
            && replica.head.confirmed().is_none_or(|at| at.elapsed() > bound)
        {
            let replica = replica.clone();
            self.wait(async move { replica.follower.freshen(bound).await }, interrupted)?;
        }
        replica.head().ok_or_else(|| replica.files.empty())
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
        let again = again.filter(|again| again.epoch() == view.epoch()).unwrap_or(view);
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
        replica.head().ok_or_else(|| replica.files.empty())
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
            None => self.fetch(place, view.clone(), pgno, interrupted),
        }
    }

    /// The schema cookie that page 1 of `view` shows. `page_1` is that page as the replica holds it. Does no I/O if the schema
    /// fits in page 1, or if its pages did not change since a view that was read before.
    pub fn schema_cookie(&self, view: &Arc<View>, page_1: &Page, interrupted: Interrupted<'_>) -> Result<u32, Error> {
        if let Some(cookie) = view.schema_cookie() {
            return Ok(cookie);
        }
        let replica = self.place(interrupted)?.replica();
        if let Some(cookie) = replica.schemas.known_cookie(view, page_1) {
            return Ok(cookie);
        }
        let (replica, view, page_1) = (replica.clone(), view.clone(), page_1.clone());
        runtime::wait(async move { replica.schemas.read_cookie(&view, &page_1).await }, interrupted)
    }

    /// Waits until the replica has a transaction, polling at once and then closely. False if that took longer than
    /// `timeout`. Only for a connection that follows: one sent to another moment never gets there.
    pub fn wait_for(&self, txid: Txid, timeout: Duration, interrupted: Interrupted<'_>) -> Result<bool, Error> {
        if self.is_parked() {
            let error = Error::new(ErrorKind::Config, "this connection was sent to another moment and does not follow");
            return Err(error.remedy("send it back with litestream_set_time('LATEST')"));
        }
        let replica = self.place(interrupted)?.replica().clone();
        runtime::wait(async move { Ok(replica.follower.wait_for(txid, timeout).await) }, interrupted)
    }

    /// How the replica is doing. Asks for nothing; None only in the child of a fork that cannot join it.
    pub fn status(&self) -> Option<Status> {
        let place = self.place(&|| false).ok()?;
        Some(Status::of(place.replica(), place.readers()))
    }

    /// Has the replica do something, and waits for it.
    pub(in crate::replica) fn ask<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        &self,
        interrupted: Interrupted<'_>,
        job: impl FnOnce(Arc<Replica>) -> F,
    ) -> Result<T, Error> {
        self.wait(job(self.place(interrupted)?.replica().clone()), interrupted)
    }

    /// Moves to another moment, from the next [`Connection::view`] on. Answers the view found there.
    pub fn move_to(&self, target: Target, interrupted: Interrupted<'_>) -> Result<Arc<View>, Error> {
        let view = self.ask(interrupted, async move |replica| replica.view_of(target).await)?;
        *self.parked.lock() = view;
        self.view(interrupted)
    }

    /// Moves to a view that was seen, from the next [`Connection::view`] on.
    pub fn stay_at(&self, view: Arc<View>) -> Arc<View> {
        *self.parked.lock() = Some(view.clone());
        view
    }

    /// Time since the replica last confirmed the newest state that is served; None before the first.
    pub fn lag(&self) -> Option<Duration> {
        self.place(&|| false).ok()?.replica().lag()
    }

    fn fetch(
        &self,
        place: &ReplicaHandle,
        view: Arc<View>,
        pgno: u32,
        interrupted: Interrupted<'_>,
    ) -> Result<Option<Page>, Error> {
        if pgno == view.lock_page() {
            return Ok(None);
        }
        let (replica, foresight) = (place.replica().clone(), place.foresight().clone());
        self.wait(async move { replica.page(&view, pgno, &foresight).await }, interrupted)
    }

    /// Waits for a job, as long as answers of the store arrive for it within the settings' `read_timeout`.
    fn wait<T: Send + 'static>(
        &self,
        job: impl Future<Output = Result<T, Error>> + Send + 'static,
        interrupted: Interrupted<'_>,
    ) -> Result<T, Error> {
        let too_late = |limit: Duration| {
            let message = format!("{} has sent nothing for {limit:?}, as long as read_timeout allows", self.location);
            Error::new(ErrorKind::Unreachable, message).remedy(
                "check the endpoint and the network, or allow more with read_timeout or LITESTREAM_READ_TIMEOUT",
            )
        };
        match self.settings.read_timeout {
            Some(limit) => {
                let timeout = ReadTimeout { limit, error: &|| too_late(limit) };
                runtime::wait_within(Some(timeout), job, interrupted)
            }
            None => runtime::wait(job, interrupted),
        }
    }
}

/// Joins the replica and waits for its first view, or for the view of another moment.
fn join(
    location: &Location,
    settings: &Settings,
    target: Target,
    interrupted: Interrupted<'_>,
) -> Result<(ReplicaHandle, Option<Arc<View>>), Error> {
    let place = ReplicaHandle::take(location, settings)?;
    let (replica, open_timeout, rested) = (place.replica().clone(), settings.open_timeout, place.rested());
    let verify = settings.verify;
    let opened = async move {
        let parked = replica.open(target, open_timeout, rested).await?;
        if verify {
            replica.follower.verify_head().await?;
        }
        Ok(parked)
    };
    Ok((place, runtime::wait(opened, interrupted)?))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.location)
    }
}
