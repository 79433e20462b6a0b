//! One connection for all requests of a store, replaced when it fails.

use super::timeouts::Allowance;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// A connection that [`Reconnecting`] can open again.
pub(super) trait StoreConnection: Sized + Send + Sync {
    /// The server, and the credentials for it.
    type Config: Send + Sync;
    type Error: Send;

    /// Connects and authenticates.
    fn open(config: &Self::Config) -> impl Future<Output = Result<Self, Self::Error>> + Send;

    /// Returns true if the connection can carry no more requests.
    fn has_ended(&self) -> bool;

    /// Returns true if the request may succeed over another connection.
    fn is_connection_failure(error: &Self::Error) -> bool;

    /// Returns the error of a request that did not complete within `deadline`.
    fn timed_out(config: &Self::Config, deadline: Duration) -> Self::Error;
}

/// A connection that is opened at the first request, and again after it failed.
pub(super) struct Reconnecting<C: StoreConnection> {
    config: C::Config,
    current: Mutex<Option<Arc<C>>>,
}

impl<C: StoreConnection> Reconnecting<C> {
    pub fn new(config: C::Config) -> Reconnecting<C> {
        Reconnecting { config, current: Mutex::new(None) }
    }

    pub fn config(&self) -> &C::Config {
        &self.config
    }

    /// Sends a request, and sends it once more over a new connection if the connection that was open before it fails.
    /// Fails with [`StoreConnection::timed_out`] if both together take longer than `allowance` permits.
    pub async fn request<T, F>(&self, allowance: &Allowance, request: impl Fn(Arc<C>) -> F) -> Result<T, C::Error>
    where
        F: Future<Output = Result<T, C::Error>>,
    {
        let attempts = async {
            let (connection, is_new) = self.connection().await?;
            match request(connection.clone()).await {
                Err(error) if C::is_connection_failure(&error) => {
                    self.discard(connection).await;
                    if is_new {
                        return Err(error);
                    }
                    let (connection, _) = self.connection().await?;
                    request(connection).await
                }
                result => result,
            }
        };
        match allowance.limit(attempts).await {
            Some(result) => result,
            None => {
                // The connection may be the cause, so the next request opens another one.
                *self.current.lock().await = None;
                Err(C::timed_out(&self.config, allowance.deadline()))
            }
        }
    }

    /// Returns the connection, and whether it was just opened. Concurrent callers wait for the same new connection.
    async fn connection(&self) -> Result<(Arc<C>, bool), C::Error> {
        let mut current = self.current.lock().await;
        match &*current {
            Some(connection) if !connection.has_ended() => Ok((connection.clone(), false)),
            _ => {
                let opened = Arc::new(C::open(&self.config).await?);
                *current = Some(opened.clone());
                Ok((opened, true))
            }
        }
    }

    /// Makes the next request open a new connection, unless another request has already replaced `failed`.
    async fn discard(&self, failed: Arc<C>) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|connection| Arc::ptr_eq(connection, &failed)) {
            *current = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A connection that knows how many were opened before it.
    struct Numbered(u32);

    #[derive(PartialEq, Debug)]
    enum Failure {
        Connection,
        Request,
        Timeout,
    }

    impl StoreConnection for Numbered {
        type Config = AtomicU32;
        type Error = Failure;

        async fn open(opened: &AtomicU32) -> Result<Numbered, Failure> {
            Ok(Numbered(opened.fetch_add(1, Ordering::Relaxed)))
        }

        fn has_ended(&self) -> bool {
            false
        }

        fn is_connection_failure(error: &Failure) -> bool {
            *error == Failure::Connection
        }

        fn timed_out(_: &AtomicU32, _: Duration) -> Failure {
            Failure::Timeout
        }
    }

    async fn number(connection: Arc<Numbered>) -> Result<u32, Failure> {
        Ok(connection.0)
    }

    #[tokio::test]
    async fn a_request_is_retried_once_over_a_new_connection() {
        let connection = Reconnecting::<Numbered>::new(AtomicU32::new(0));
        let allowance = Allowance::of(0);
        assert_eq!(connection.request(&allowance, number).await, Ok(0));
        let only_new = |connection: Arc<Numbered>| async move {
            if connection.0 == 0 { Err(Failure::Connection) } else { Ok(connection.0) }
        };
        assert_eq!(connection.request(&allowance, only_new).await, Ok(1));
        assert_eq!(connection.request(&allowance, number).await, Ok(1), "the new connection is kept");
        let refused = |_| async { Err::<u32, _>(Failure::Request) };
        assert_eq!(connection.request(&allowance, refused).await, Err(Failure::Request));
        assert_eq!(connection.request(&allowance, number).await, Ok(1), "a refusal is no failure of the connection");
    }

    #[tokio::test]
    async fn a_failure_of_a_new_connection_is_not_retried() {
        let connection = Reconnecting::<Numbered>::new(AtomicU32::new(0));
        let failing = |_| async { Err::<u32, _>(Failure::Connection) };
        assert_eq!(connection.request(&Allowance::of(0), failing).await, Err(Failure::Connection));
        assert_eq!(connection.config().load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_times_out_closes_the_connection() {
        let connection = Reconnecting::<Numbered>::new(AtomicU32::new(0));
        let endless = |_| std::future::pending::<Result<u32, Failure>>();
        assert_eq!(connection.request(&Allowance::of(0), endless).await, Err(Failure::Timeout));
        assert_eq!(connection.request(&Allowance::of(0), number).await, Ok(1));
    }
}
