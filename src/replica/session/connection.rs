//! A connection: one reader of a shared replica.

use crate::config::{Settings, Target};
use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::ltx::Txid;
use crate::replica::cache::Page;
use crate::replica::follow::waiting::OpenTime;
use crate::replica::prefetch::Source;
use crate::replica::session::opening::open_replica;
use crate::replica::session::registry::ReplicaHandle;
use crate::replica::session::status::Status;
use crate::replica::session::wait::{Interrupted, SLACK, wait_at_most, wait_for_data};
use crate::replica::write::journal::OPEN_LIMIT;
use crate::replica::{HydrationProgress, Replica, View};
use crate::runtime::PerProcess;
use crate::store::Location;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// One reader of a replica. It reads the newest state, which follows the primary, or a fixed state.
///
/// Can be used from any thread. In the child of a fork, the first use opens the replica again with the same settings;
/// a fixed state stays.
pub struct Connection {
    settings: Settings,
    location: Location,
    handle: PerProcess<ReplicaHandle>,
    /// The fixed state that the connection reads. None if it follows the primary.
    fixed: Mutex<Option<Arc<View>>>,
}

impl Connection {
    /// Opens the replica at `location`, or shares it if the process has it open already. Blocks until there is a first
    /// view, but no longer than the `open_timeout` of the settings.
    ///
    /// Fails with [`Empty`](crate::error::ErrorKind::Empty) if there is no backup by then, and with
    /// [`Unreachable`](crate::error::ErrorKind::Unreachable) if the store has not responded by then. Fails immediately
    /// if the store cannot be reached, rejects the credentials, or does not have the requested state.
    pub fn open(settings: &Settings, location: &Location, interrupted: Interrupted<'_>) -> Result<Connection, Error> {
        let time = settings.open_timeout.into();
        let (handle, fixed) = open_replica(location, settings, settings.target, time, interrupted)?;
        Ok(Connection::new(settings, location, handle, fixed))
    }

    /// As [`Connection::open`], but an empty replica is no error, and is not waited for. It is a database without pages, in which the first
    /// transaction can be written.
    pub fn open_or_create(
        settings: &Settings,
        location: &Location,
        interrupted: Interrupted<'_>,
    ) -> Result<Connection, Error> {
        let without_wait = OpenTime { backup: Duration::ZERO, ..settings.open_timeout.into() };
        match open_replica(location, settings, settings.target, without_wait, interrupted) {
            Err(error) if error.kind() == ErrorKind::Empty && settings.target == Target::Latest => {
                let handle = ReplicaHandle::acquire(location, settings, interrupted)?;
                let writer = handle.replica().writer.clone();
                wait_at_most(OPEN_LIMIT + SLACK, async move { writer.begin().await }, interrupted)?;
                Ok(Connection::new(settings, location, handle, None))
            }
            opened => opened.map(|(handle, fixed)| Connection::new(settings, location, handle, fixed)),
        }
    }

    fn new(settings: &Settings, location: &Location, handle: ReplicaHandle, fixed: Option<Arc<View>>) -> Connection {
        let handle = PerProcess::with(handle);
        Connection { settings: settings.clone(), location: location.clone(), handle, fixed: Mutex::new(fixed) }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the handle of this process. Does I/O only in the child of a fork, which opens the replica again.
    pub(super) fn handle(&self, interrupted: Interrupted<'_>) -> Result<&ReplicaHandle, Error> {
        let time = self.settings.open_timeout.into();
        let open = || open_replica(&self.location, &self.settings, Target::Latest, time, interrupted);
        self.handle.get_or_try_init(|| open().map(|(handle, _)| handle))
    }

    /// Returns the view that a transaction which starts now should use. Does I/O in two cases only: in the child of a
    /// fork, and if the replica last confirmed the view longer ago than the `max_staleness` of the settings. In the
    /// latter case it polls, and fails if the replica does not confirm the view.
    pub fn view(&self, interrupted: Interrupted<'_>) -> Result<Arc<View>, Error> {
        if let Some(view) = self.fixed_view(interrupted)? {
            return Ok(view);
        }
        let replica = self.handle(interrupted)?.replica();
        if let Some(limit) = self.settings.max_staleness
            && replica.head.confirmed().is_none_or(|at| at.age() > limit)
        {
            let replica = replica.clone();
            self.block_on(async move { replica.follower.freshen(limit).await }, interrupted)?;
        }
        replica.head().ok_or_else(|| replica.files.empty())
    }

    /// Returns the view of the fixed state, if the connection reads one. Builds it again if wrong bytes were read of
    /// it.
    fn fixed_view(&self, interrupted: Interrupted<'_>) -> Result<Option<Arc<View>>, Error> {
        let Some(view) = self.fixed.lock().clone() else { return Ok(None) };
        if !view.is_spoiled() {
            return Ok(Some(view));
        }
        let target = Target::Txid(view.txid());
        let rebuilt = self.run(interrupted, async move |replica| replica.view_of(target).await)?;
        // In another history, the same TXID is another state.
        let rebuilt = rebuilt.filter(|rebuilt| rebuilt.epoch() == view.epoch()).unwrap_or(view);
        *self.fixed.lock() = Some(rebuilt.clone());
        Ok(Some(rebuilt))
    }

    /// Returns the view for a read outside a transaction, however old the view is. Does I/O only in the child of a
    /// fork.
    pub fn last_view(&self) -> Result<Arc<View>, Error> {
        if let Some(view) = &*self.fixed.lock() {
            return Ok(view.clone());
        }
        let replica = self.handle(&|| false)?.replica();
        replica.head().ok_or_else(|| replica.files.empty())
    }

    /// Returns the error of a read if the replica is empty.
    pub fn empty(&self) -> Error {
        match self.handle(&|| false) {
            Ok(handle) => handle.replica().files.empty(),
            Err(error) => error,
        }
    }

    /// Whether the connection reads a fixed state.
    pub fn is_fixed(&self) -> bool {
        self.fixed.lock().is_some()
    }

    /// Returns a page of `view`; `pgno` must be from 1 to the size of the database. Returns None for the lock page,
    /// which reads as zeros.
    #[inline]
    pub fn page(&self, view: &Arc<View>, pgno: u32, interrupted: Interrupted<'_>) -> Result<Option<Page>, Error> {
        let handle = self.handle(interrupted)?;
        let page = handle.replica().fetcher.cached(view, pgno);
        handle.usage().count(page.is_some());
        match page {
            Some(page) => {
                let source = Source { shared: &handle.replica().prefetch, view };
                handle.prefetcher().on_hit(source, pgno, &page);
                Ok(Some(page))
            }
            None => self.fetch(handle, view.clone(), pgno, interrupted),
        }
    }

    /// Returns the schema cookie that page 1 of `view` shows. `page_1` is that page as the replica contains it. Does no
    /// I/O if the schema fits in page 1, or if its pages are known to be those of a view that was read before.
    pub fn schema_cookie(&self, view: &Arc<View>, page_1: &Page, interrupted: Interrupted<'_>) -> Result<u32, Error> {
        if let Some(cookie) = view.schema_cookie() {
            return Ok(cookie);
        }
        let replica = self.handle(interrupted)?.replica();
        if let Some(cookie) = replica.schemas.known_cookie(view, page_1) {
            return Ok(cookie);
        }
        let (replica, view, page_1) = (replica.clone(), view.clone(), page_1.clone());
        self.block_on(async move { replica.schemas.read_cookie(&view, &page_1).await }, interrupted)
    }

    /// Waits until the newest view contains a transaction, and polls in short intervals meanwhile. Returns false if
    /// that took longer than `timeout`. Fails if the connection reads a fixed state.
    pub fn wait_for(&self, txid: Txid, timeout: Duration, interrupted: Interrupted<'_>) -> Result<bool, Error> {
        if self.is_fixed() {
            let error = Error::new(ErrorKind::Config, "this connection reads a fixed state and does not follow");
            return Err(error.remedy("return to the newest state with litestream_set_time('LATEST')"));
        }
        let replica = self.handle(interrupted)?.replica().clone();
        let waited = async move { Ok(replica.follower.wait_for(txid, timeout).await) };
        wait_at_most(timeout.saturating_add(SLACK), waited, interrupted)
    }

    /// Returns the status of the replica. Sends no request. Returns None only in the child of a fork that cannot open
    /// the replica.
    pub fn status(&self) -> Option<Status> {
        let handle = self.handle(&|| false).ok()?;
        Some(Status::of(handle.replica(), handle.readers()))
    }

    /// Runs a job on the replica, and waits for its result.
    pub(super) fn run<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        &self,
        interrupted: Interrupted<'_>,
        job: impl FnOnce(Arc<Replica>) -> F,
    ) -> Result<T, Error> {
        self.block_on(job(self.handle(interrupted)?.replica().clone()), interrupted)
    }

    /// Has the connection read the state of `target` from the next [`Connection::view`] on. Returns the view of that
    /// state.
    pub fn move_to(&self, target: Target, interrupted: Interrupted<'_>) -> Result<Arc<View>, Error> {
        let view = self.run(interrupted, async move |replica| replica.view_of(target).await)?;
        *self.fixed.lock() = view;
        self.view(interrupted)
    }

    /// Has the connection read the state of a known view from the next [`Connection::view`] on.
    pub fn stay_at(&self, view: Arc<View>) -> Arc<View> {
        *self.fixed.lock() = Some(view.clone());
        view
    }

    /// Returns the time since the replica last confirmed the newest view, or None before the first view.
    pub fn lag(&self) -> Option<Duration> {
        self.handle(&|| false).ok()?.replica().lag()
    }

    /// Returns the directory that hydration fills. None if the settings do not ask for hydration.
    pub fn hydration_directory(&self) -> Option<&Path> {
        self.settings.cache_directory().filter(|_| self.settings.hydrates)
    }

    /// Returns the progress of hydration. None if the settings do not ask for it.
    pub fn hydration_progress(&self) -> Option<HydrationProgress> {
        self.hydration_directory()?;
        Some(self.handle(&|| false).ok()?.replica().hydration.progress())
    }

    /// Returns why hydration does not go on. None if it does, or if the settings do not ask for it.
    pub fn hydration_obstacle(&self) -> Option<String> {
        self.hydration_directory()?;
        self.handle(&|| false).ok()?.replica().hydration.obstacle()
    }

    /// Waits for a page that is not in the cache.
    fn fetch(
        &self,
        handle: &ReplicaHandle,
        view: Arc<View>,
        pgno: u32,
        interrupted: Interrupted<'_>,
    ) -> Result<Option<Page>, Error> {
        if pgno == view.lock_page() {
            return Ok(None);
        }
        let (replica, prefetcher) = (handle.replica().clone(), handle.prefetcher().clone());
        self.block_on(async move { replica.page(&view, pgno, &prefetcher).await }, interrupted)
    }

    /// Waits for a job. Fails if the store sends nothing for it within the `read_timeout` of the settings.
    fn block_on<T: Send + 'static>(
        &self,
        job: impl Future<Output = Result<T, Error>> + Send + 'static,
        interrupted: Interrupted<'_>,
    ) -> Result<T, Error> {
        wait_for_data(&self.location, &self.settings, job, interrupted)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.location)
    }
}
