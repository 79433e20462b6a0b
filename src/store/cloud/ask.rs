//! Asking a bucket: tries, deadlines, and the region that it turns out to be in.

use super::CloudStore;
use super::attempt::Attempt;
use super::client::{Bucket, Client, Service};
use super::error::{CloudError, CloudRefusal};
use crate::store::timeouts;
use crate::store::tries::Tries;
use std::future::Future;
use std::sync::Arc;
use tokio::time::timeout;

impl<S: Service> CloudStore<S> {
    /// Asks the bucket, in its region, for an answer of about `bytes`, and again where another try may help.
    pub(super) async fn ask<T, F>(
        &self,
        bytes: u64,
        question: impl Fn(Arc<dyn Bucket>, Attempt) -> F,
    ) -> Result<T, CloudError>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let allowed = timeouts::deadline(bytes);
        let answer = async {
            let mut tries = Tries::within(allowed);
            let mut has_moved = false;
            loop {
                let client = self.client.read().clone();
                let attempt = Attempt { fresh: tries.is_fresh(), partial: None };
                let failure = match self.ask_once(bytes, client.bucket, &question, attempt).await {
                    Err(failure) => failure,
                    answer => return answer,
                };
                if !has_moved && self.goes_where(&failure, &client.region) {
                    has_moved = true;
                    continue;
                }
                if let Err(stop) = tries.next(failure.trouble()).await {
                    return Err(failure.after(stop));
                }
            }
        };
        match timeout(allowed, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(CloudError::late(self.server(), allowed.as_secs())),
        }
    }

    /// Takes a client for the region that a refusal names. False if it names none, or the one that was asked.
    fn goes_where(&self, failure: &CloudError, asked: &str) -> bool {
        let region = failure.refusal().and_then(CloudRefusal::elsewhere);
        let Some(region) = region.filter(|region| *region != asked) else { return false };
        let mut client = self.client.write();
        // Others who ask at the same time are sent there, too.
        if *client.region != *region {
            let Ok(there) = Client::new(&self.service, region, &self.clients) else { return false };
            tracing::info!("{self}: the bucket is in the region {region}, not {asked}");
            *client = there;
        }
        true
    }

    async fn ask_once<T, F>(
        &self,
        bytes: u64,
        bucket: Arc<dyn Bucket>,
        question: impl Fn(Arc<dyn Bucket>, Attempt) -> F,
        attempt: Attempt,
    ) -> Result<T, CloudError>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let allowed = timeouts::one_try(bytes);
        let below = |error| CloudError::below(&error, self.server());
        let answer = async {
            // What those say who give credentials must not be taken for what the bucket says of a file.
            if let Some(settings) = self.service.lacks() {
                bucket.authorize().await.map_err(|error| below(error).unsigned(settings))?;
            }
            question(bucket, attempt).await.map_err(below)
        };
        match timeout(allowed, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(CloudError::late(self.server(), allowed.as_secs())),
        }
    }
}
