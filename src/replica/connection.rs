//! One reader's place at a shared replica.

use super::cache::Page;
use super::registry::Place;
use super::{Replica, View};
use crate::config::{Settings, Target};
use crate::error::Error;
use crate::runtime::{self, PerProcess};
use crate::store::Location;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
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

    /// The view that a transaction which starts now should pin. Does no I/O, but in the child of a fork.
    pub fn view(&self) -> Result<Arc<View>, Error> {
        if let Some(view) = &*self.parked.lock() {
            return Ok(view.clone());
        }
        let replica = self.place(&|| false)?.replica();
        replica.head().ok_or_else(|| replica.empty())
    }

    /// A page of `view`, 1 ≤ `pgno` ≤ its commit. None for the lock page, which reads as zeros.
    #[inline]
    pub fn page(&self, view: &Arc<View>, pgno: u32, interrupted: Interrupted<'_>) -> Result<Option<Page>, Error> {
        let replica = self.place(interrupted)?.replica();
        match replica.fetcher.cached(view, pgno) {
            Some(page) => Ok(Some(page)),
            None => fetch(replica.clone(), view.clone(), pgno, interrupted),
        }
    }

    /// Moves to another moment, from the next [`Connection::view`] on. Answers the view found there.
    pub fn move_to(&self, target: Target, interrupted: Interrupted<'_>) -> Result<Arc<View>, Error> {
        let replica = self.place(interrupted)?.replica().clone();
        let view = runtime::wait(async move { replica.view_of(target).await }, interrupted)?;
        *self.parked.lock() = view;
        self.view()
    }

    /// Time since the replica last answered a poll; None before the first.
    pub fn lag(&self) -> Option<Duration> {
        self.place(&|| false).ok()?.replica().lag()
    }
}

fn fetch(
    replica: Arc<Replica>,
    view: Arc<View>,
    pgno: u32,
    interrupted: Interrupted<'_>,
) -> Result<Option<Page>, Error> {
    if pgno == view.lock_page() {
        return Ok(None);
    }
    runtime::wait(async move { replica.page(&view, pgno).await }, interrupted)
}

fn join(location: &Location, settings: &Settings, interrupted: Interrupted<'_>) -> Result<Place, Error> {
    let place = Place::take(location, settings)?;
    let (replica, timeout) = (place.replica().clone(), settings.open_timeout);
    runtime::wait(async move { replica.wake(timeout).await }, interrupted)?;
    Ok(place)
}

/// Pause between two looks at a replica that has no backup yet.
const FIRST_BACKUP: Duration = Duration::from_millis(250);

impl Replica {
    /// Sees to it that there is a view, and that it is no older than the poll interval: the replica may have rested.
    async fn wake(&self, timeout: Duration) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            self.poll(self.poll_interval()).await?;
            if self.head().is_some() {
                return Ok(());
            }
            if started.elapsed() >= timeout {
                return Err(self.empty());
            }
            tokio::time::sleep(FIRST_BACKUP.min(timeout)).await;
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.location)
    }
}
