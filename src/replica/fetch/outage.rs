//! Remembers that requests for pages fail, so that many readers do not send many requests into an outage.

use crate::lock::Mutex;
use crate::store::{StoreError, StoreErrorKind};
use std::time::Duration;
use tokio::sync::MutexGuard;
use tokio::time::Instant;

/// So many failures, one after the other, are an outage. A reader that tries again after one failure gets a request.
const FAILURES: u32 = 4;

/// How long the last error is the result of every request in an outage.
const STAYS: Duration = Duration::from_secs(1);

/// The failures since the last success.
#[derive(Default)]
pub(super) struct Outage {
    state: Mutex<OutageState>,
    /// Held by the request that finds out whether the outage is over.
    probe: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct OutageState {
    failures: u32,
    last: Option<(Instant, StoreError)>,
    succeeded: Option<Instant>,
}

impl Outage {
    /// Sends a request. In an outage, one request at a time is sent, at most one a second, and all others get its error.
    pub async fn guard<T>(&self, request: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let _probe = self.admit().await?;
        let began = Instant::now();
        let response = request.await;
        self.note(began, response.as_ref().err());
        response
    }

    /// Whether the last requests have failed.
    pub fn is_on(&self) -> bool {
        self.state.lock().failures >= FAILURES
    }

    async fn admit(&self) -> Result<Option<MutexGuard<'_, ()>>, StoreError> {
        if self.last_failure().is_none() {
            return Ok(None);
        }
        let probe = self.probe.lock().await;
        match self.last_failure() {
            None => Ok(None),
            Some((at, error)) if at.elapsed() < STAYS => Err(error),
            Some(_) => Ok(Some(probe)),
        }
    }

    /// Returns the last failure of an outage, and when it was.
    fn last_failure(&self) -> Option<(Instant, StoreError)> {
        let state = self.state.lock();
        state.last.clone().filter(|_| state.failures >= FAILURES)
    }

    /// Records the result of a request. A file that is missing or was replaced is no failure of the store.
    fn note(&self, began: Instant, error: Option<&StoreError>) {
        let is_failure =
            |error: &&StoreError| !matches!(error.kind(), StoreErrorKind::NotFound | StoreErrorKind::Changed);
        let mut state = self.state.lock();
        match error.filter(is_failure) {
            None => (state.failures, state.last, state.succeeded) = (0, None, Some(Instant::now())),
            // Another request has succeeded meanwhile.
            Some(_) if state.succeeded.is_some_and(|at| at > began) => {}
            Some(error) => {
                (state.failures, state.last) = (state.failures.saturating_add(1), Some((Instant::now(), error.clone())))
            }
        }
    }
}
