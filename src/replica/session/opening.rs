//! Opens a replica within a time limit.

use crate::config::{Settings, Target};
use crate::error::Error;
use crate::lock::Mutex;
use crate::replica::Replica;
use crate::replica::follow::poll::FAILURE_STAYS;
use crate::replica::session::registry::ReplicaHandle;
use crate::replica::session::wait::{Interrupted, wait_for_data};
use crate::replica::view::View;
use crate::runtime;
use crate::store::Location;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long an open may take if it does not wait for a first backup.
const NO_WAIT: Duration = Duration::from_secs(10);

/// Returns how long an open may wait for a disk, and then for the store.
pub(super) fn open_limit(open_timeout: Duration) -> Duration {
    if open_timeout.is_zero() { NO_WAIT } else { open_timeout }
}

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
    /// Returns the error of an open that failed within [`FAILURE_STAYS`] and waited at least as long for the same
    /// state.
    fn find(&self, target: Target, open_timeout: Duration) -> Option<Error> {
        let failure = self.0.lock();
        let recent = failure.as_ref().filter(|failure| failure.at.elapsed() < FAILURE_STAYS);
        let same = recent.filter(|failure| failure.target == target && failure.open_timeout >= open_timeout);
        same.map(|failure| failure.error.clone())
    }

    fn record(&self, target: Target, open_timeout: Duration, error: &Error) {
        *self.0.lock() = Some(OpenFailure { at: Instant::now(), target, open_timeout, error: error.clone() });
    }
}

/// Acquires a handle of the replica, and waits for its first view. Also returns the view of `target` if that is a fixed
/// state.
///
/// The time for it is limited by the settings. What `verify=full` reads before the first page is used can be the whole database: there is a
/// limit only on the time in which nothing of it arrives.
pub(super) fn open_replica(
    location: &Location,
    settings: &Settings,
    target: Target,
    interrupted: Interrupted<'_>,
) -> Result<(ReplicaHandle, Option<Arc<View>>), Error> {
    let handle = ReplicaHandle::acquire(location, settings, interrupted)?;
    let (replica, open_timeout, was_idle) = (handle.replica().clone(), settings.open_timeout, handle.was_idle());
    let writes = settings.writes;
    let opened = async move {
        let fixed = replica.open(target, open_timeout, was_idle).await?;
        if writes {
            replica.writer.begin().await?;
        }
        Ok(fixed)
    };
    let fixed = runtime::wait(opened, interrupted)?;
    if settings.verify {
        let replica = handle.replica().clone();
        wait_for_data(location, settings, async move { replica.follower.verify_head().await }, interrupted)?;
    }
    Ok((handle, fixed))
}

impl Replica {
    /// Ensures that there is a view, and returns the view of `target`. Takes no longer than `open_timeout` in total,
    /// even if the store does not respond. `was_idle` says whether the replica was not polled before.
    pub(in crate::replica) async fn open(
        &self,
        target: Target,
        open_timeout: Duration,
        was_idle: bool,
    ) -> Result<Option<Arc<View>>, Error> {
        let has_view = target == Target::Latest && self.head().is_some();
        if has_view && self.head.view().is_none() {
            // The replica is empty, and the journal of this process has transactions.
            return Ok(None);
        }
        if let Some(error) = self.failed_open.find(target, open_timeout).filter(|_| !has_view) {
            return Err(error);
        }
        let limit = open_limit(open_timeout);
        let mut why_empty = None;
        let opened = timeout(limit, async {
            self.follower.wait_for_view(open_timeout, was_idle, &mut why_empty).await?;
            self.view_of(target).await
        });
        let opened = opened.await;
        let opened = opened.unwrap_or_else(|_| Err(why_empty.unwrap_or_else(|| self.follower.open_timed_out(limit))));
        opened.inspect_err(|error| self.failed_open.record(target, open_timeout, error))
    }
}
