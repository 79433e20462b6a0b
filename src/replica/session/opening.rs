//! Opens a replica within a time limit.

use crate::config::{Settings, Target};
use crate::error::Error;
use crate::lock::Mutex;
use crate::replica::Replica;
use crate::replica::follow::poll::FAILURE_STAYS;
use crate::replica::follow::waiting::OpenTime;
use crate::replica::session::registry::ReplicaHandle;
use crate::replica::session::wait::{Interrupted, SLACK, wait_at_most, wait_for_data};
use crate::replica::view::View;
use crate::replica::write::journal::OPEN_LIMIT;
use crate::store::Location;
use std::sync::Arc;
use tokio::time::{Instant, timeout};

/// The last open that failed.
#[derive(Default)]
pub(in crate::replica) struct FailedOpen(Mutex<Option<OpenFailure>>);

struct OpenFailure {
    at: Instant,
    target: Target,
    time: OpenTime,
    error: Error,
}

impl FailedOpen {
    /// Returns the error of an open that failed within [`FAILURE_STAYS`] and waited at least as long for the same
    /// state.
    fn find(&self, target: Target, time: OpenTime) -> Option<Error> {
        let failure = self.0.lock();
        let recent = failure.as_ref().filter(|failure| failure.at.elapsed() < FAILURE_STAYS);
        let same = recent.filter(|failure| failure.target == target && failure.time.includes(time));
        same.map(|failure| failure.error.clone())
    }

    fn record(&self, target: Target, time: OpenTime, error: &Error) {
        *self.0.lock() = Some(OpenFailure { at: Instant::now(), target, time, error: error.clone() });
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
    time: OpenTime,
    interrupted: Interrupted<'_>,
) -> Result<(ReplicaHandle, Option<Arc<View>>), Error> {
    let handle = ReplicaHandle::acquire(location, settings, interrupted)?;
    let (replica, was_idle) = (handle.replica().clone(), handle.was_idle());
    let writes = settings.writes;
    let opened = async move {
        let fixed = replica.open(target, time, was_idle).await?;
        if writes {
            replica.writer.begin().await?;
        }
        Ok(fixed)
    };
    // The first view, and what an earlier process has left in the journal.
    let limit = time.limit.saturating_add(OPEN_LIMIT + SLACK);
    let fixed = wait_at_most(limit, opened, interrupted)?;
    if settings.verify {
        let replica = handle.replica().clone();
        wait_for_data(location, settings, async move { replica.follower.verify_head().await }, interrupted)?;
    }
    Ok((handle, fixed))
}

impl Replica {
    /// Ensures that there is a view, and returns the view of `target`. Takes no longer than the limit of `time` in total,
    /// even if the store does not respond. `was_idle` says whether the replica was not polled before.
    pub(in crate::replica) async fn open(
        &self,
        target: Target,
        time: impl Into<OpenTime>,
        was_idle: bool,
    ) -> Result<Option<Arc<View>>, Error> {
        let time = time.into();
        let has_view = target == Target::Latest && self.head().is_some();
        if has_view && self.head.view().is_none() {
            // The replica is empty, and the journal of this process has transactions.
            return Ok(None);
        }
        if let Some(error) = self.failed_open.find(target, time).filter(|_| !has_view) {
            return Err(error);
        }
        let mut why_empty = None;
        let opened = timeout(time.limit, async {
            self.follower.wait_for_view(time, was_idle, &mut why_empty).await?;
            self.view_of(target).await
        });
        let opened = opened.await;
        let opened =
            opened.unwrap_or_else(|_| Err(why_empty.unwrap_or_else(|| self.follower.open_timed_out(time.limit))));
        opened.inspect_err(|error| self.failed_open.record(target, time, error))
    }
}
