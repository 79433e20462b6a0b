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
use tokio::time::timeout;

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
        let response = async {
            let mut tries = Tries::within(allowed);
            let mut has_moved = false;
            loop {
                let client = self.client.read().clone();
                let attempt = Attempt { fresh: tries.is_fresh(), partial: None };
                let error = match self.try_once(bytes, client.bucket, &send, attempt).await {
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
        };
        match timeout(allowed, response).await {
            Ok(response) => response,
            Err(_) => Err(CloudError::timed_out(self.server(), allowed.as_secs())),
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
        bucket: Arc<dyn Bucket>,
        send: impl Fn(Arc<dyn Bucket>, Attempt) -> F,
        attempt: Attempt,
    ) -> Result<T, CloudError>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let allowed = timeouts::one_try(bytes);
        let convert = |error| CloudError::from_source(&error, self.server());
        let response = async {
            // Credentials are requested separately, so that a refusal of their server is not mistaken for one of the bucket.
            if let Some(hint) = self.service.credentials_hint() {
                bucket.authorize().await.map_err(|error| convert(error).into_no_credentials(hint))?;
            }
            send(bucket, attempt).await.map_err(convert)
        };
        match timeout(allowed, response).await {
            Ok(response) => response,
            Err(_) => Err(CloudError::timed_out(self.server(), allowed.as_secs())),
        }
    }
}
