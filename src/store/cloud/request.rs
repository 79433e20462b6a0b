//! Requests to a bucket: retries, deadlines, and the change to another region.

use super::attempt::Attempt;
use super::client::{Bucket, Client, Service};
use super::error::CloudError;
use super::refusal::CloudRefusal;
use super::store::CloudStore;
use crate::store::timeouts;
use crate::store::tries::Tries;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

impl<S: Service> CloudStore<S> {
    /// Sends a request whose response has about `bytes` bytes, and retries it if that may help.
    ///
    /// If the server says that the bucket is in another region, the request is sent there.
    pub(super) async fn request<T, F>(
        &self,
        bytes: u64,
        send: impl Fn(Arc<dyn Bucket>, Attempt) -> F,
    ) -> Result<T, CloudError>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let allowed = timeouts::deadline(bytes);
        let (deadline, mut tries) = (Deadline { start: Instant::now(), allowed }, Tries::within(allowed));
        let mut has_moved = false;
        loop {
            let client = self.client.read().clone();
            let attempt = Attempt { fresh: tries.is_fresh(), partial: None };
            let error = match self.try_once(bytes, &deadline, client.bucket, &send, attempt).await {
                Err(error) => error,
                response => return response,
            };
            if !has_moved && self.change_region(&error, &client.region) {
                has_moved = true;
                continue;
            }
            if let Err(stop) = tries.next(error.trouble()).await {
                return Err(error.with_stop(stop));
            }
        }
    }

    /// Switches to a client for the region in a refusal. Returns false if it contains no region other than `current`.
    fn change_region(&self, error: &CloudError, current: &str) -> bool {
        let region = error.refusal().and_then(CloudRefusal::other_region);
        let Some(region) = region.filter(|region| *region != current) else { return false };
        let mut client = self.client.write();
        // A concurrent request may have switched already.
        if *client.region != *region {
            let Ok(moved) = Client::new(&self.service, region, &self.clients) else { return false };
            tracing::info!("{self}: the bucket is in the region {region}, not {current}");
            *client = moved;
        }
        true
    }

    async fn try_once<T, F>(
        &self,
        bytes: u64,
        deadline: &Deadline,
        bucket: Arc<dyn Bucket>,
        send: impl Fn(Arc<dyn Bucket>, Attempt) -> F,
        attempt: Attempt,
    ) -> Result<T, CloudError>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let convert = |error| CloudError::from_source(&error, self.server());
        // Credentials are requested separately, so that a failure of their server is not mistaken for one of the bucket.
        if let Some(hint) = self.service.credentials_hint() {
            match deadline.limit(timeouts::one_try(0), RESERVE, bucket.authorize()).await {
                Ok(authorized) => authorized.map_err(|error| convert(error).into_no_credentials(hint))?,
                Err(seconds) => return Err(CloudError::late_credentials(self.server(), hint, seconds)),
            }
        }
        // The time of the try begins after this wait, which says nothing about the server.
        let _permit = deadline
            .limit(Duration::MAX, RESERVE, self.clients.permit())
            .await
            .map_err(|seconds| CloudError::crowded(self.server(), seconds))?;
        match deadline.limit(timeouts::one_try(bytes), Duration::ZERO, send(bucket, attempt)).await {
            Ok(response) => response.map_err(convert),
            Err(seconds) => Err(CloudError::timed_out(self.server(), seconds)),
        }
    }
}

/// The part of a deadline that the waits for other requests and for credentials leave unused. They end before any other wait does, so that the
/// error is about them.
const RESERVE: Duration = Duration::from_secs(1);

/// The end of a request, including its retries.
struct Deadline {
    start: Instant,
    allowed: Duration,
}

impl Deadline {
    /// Runs a step of the request, which may take `most` and ends `reserve` before the deadline. If it takes longer, fails with the limit
    /// that was exceeded: that of the step, or that of the request, in seconds.
    async fn limit<T>(&self, most: Duration, reserve: Duration, step: impl Future<Output = T>) -> Result<T, u64> {
        let allowed = self.allowed.saturating_sub(reserve);
        let left = allowed.saturating_sub(self.start.elapsed());
        let (limit, exceeded) = if most < left { (most, most) } else { (left, allowed) };
        timeout(limit, step).await.map_err(|_| exceeded.as_secs())
    }
}
