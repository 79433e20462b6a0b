//! One connection for all requests of a store, replaced when it fails.

use super::timeouts::Allowance;
use crate::lock::Mutex;
use std::sync::Arc;
use std::time::Duration;

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
    /// Locked only to read or replace the value, so a request that has timed out need not wait for it.
    current: Mutex<Option<Arc<C>>>,
    /// Locked while a connection is opened.
    opening: tokio::sync::Mutex<()>,
}

impl<C: StoreConnection> Reconnecting<C> {
    pub fn new(config: C::Config) -> Reconnecting<C> {
        Reconnecting { config, current: Mutex::new(None), opening: tokio::sync::Mutex::new(()) }
    }

    pub fn config(&self) -> &C::Config {
        &self.config
    }

    /// Returns whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.current.lock().is_some()
    }

    /// Sends a request, and sends it once more over a new connection if the connection that was open before it fails.
    /// Fails with [`StoreConnection::timed_out`] if both together take longer than `allowance` permits.
    pub async fn request<T, F>(&self, allowance: &Allowance, request: impl Fn(Arc<C>) -> F) -> Result<T, C::Error>
    where
        F: Future<Output = Result<T, C::Error>>,
    {
        let mut used = None;
        let attempts = async {
            let (connection, is_new) = self.connection().await?;
            used = Some(connection.clone());
            match request(connection).await {
                Err(error) if C::is_connection_failure(&error) => {
                    self.discard(used.take());
                    if is_new {
                        return Err(error);
                    }
                    let (connection, _) = self.connection().await?;
                    used = Some(connection.clone());
                    request(connection).await
                }
                result => result,
            }
        };
        let result = allowance.limit(attempts).await;
        result.unwrap_or_else(|| {
            // The connection may be the cause, so the next request opens another one.
            self.discard(used);
            Err(C::timed_out(&self.config, allowance.deadline()))
        })
    }

    /// Returns the connection, and whether it was just opened. Concurrent callers wait for the same new connection, so however long their
    /// own requests may take, opening it is limited to the time of the shortest request.
    async fn connection(&self) -> Result<(Arc<C>, bool), C::Error> {
        let _opening = self.opening.lock().await;
        let current = self.current.lock().clone();
        if let Some(connection) = current.filter(|connection| !connection.has_ended()) {
            return Ok((connection, false));
        }
        let allowance = Allowance::of(0);
        let opened = allowance.limit(C::open(&self.config)).await;
        let opened = opened.unwrap_or_else(|| Err(C::timed_out(&self.config, allowance.deadline())));
        let opened = Arc::new(opened?);
        *self.current.lock() = Some(opened.clone());
        Ok((opened, true))
    }

    /// Makes the next request open a new connection, unless another request has already replaced `failed`.
    fn discard(&self, failed: Option<Arc<C>>) {
        let mut current = self.current.lock();
        if current.as_ref().map(Arc::as_ptr) == failed.as_ref().map(Arc::as_ptr) {
            *current = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join;
    use std::future::pending;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::time::Instant;

    #[derive(Default)]
    struct Server {
        /// The number of connections so far.
        accepted: AtomicU32,
        /// Whether connections are accepted, but no authentication is finished.
        is_silent: bool,
    }

    /// A connection that knows how many were opened before it.
    struct Numbered(u32);

    #[derive(PartialEq, Debug)]
    enum Failure {
        Connection,
        Request,
        Timeout,
    }

    impl StoreConnection for Numbered {
        type Config = Server;
        type Error = Failure;

        async fn open(server: &Server) -> Result<Numbered, Failure> {
            let number = server.accepted.fetch_add(1, Ordering::Relaxed);
            if server.is_silent {
                pending::<()>().await;
            }
            Ok(Numbered(number))
        }

        fn has_ended(&self) -> bool {
            false
        }

        fn is_connection_failure(error: &Failure) -> bool {
            *error == Failure::Connection
        }

        fn timed_out(_: &Server, _: Duration) -> Failure {
            Failure::Timeout
        }
    }

    fn to(server: Server) -> Reconnecting<Numbered> {
        Reconnecting::new(server)
    }

    async fn number(connection: Arc<Numbered>) -> Result<u32, Failure> {
        Ok(connection.0)
    }

    /// A request that fails over the first connection.
    async fn only_new(connection: Arc<Numbered>) -> Result<u32, Failure> {
        if connection.0 == 0 { Err(Failure::Connection) } else { Ok(connection.0) }
    }

    async fn endless(_: Arc<Numbered>) -> Result<u32, Failure> {
        pending().await
    }

    #[tokio::test]
    async fn a_request_is_retried_once_over_a_new_connection() {
        let connection = to(Server::default());
        let allowance = Allowance::of(0);
        assert_eq!(connection.request(&allowance, number).await, Ok(0));
        assert_eq!(connection.request(&allowance, only_new).await, Ok(1));
        assert_eq!(connection.request(&allowance, number).await, Ok(1), "the new connection is kept");
        let refused = |_| async { Err::<u32, _>(Failure::Request) };
        assert_eq!(connection.request(&allowance, refused).await, Err(Failure::Request));
        assert_eq!(connection.request(&allowance, number).await, Ok(1), "a refusal is no failure of the connection");
    }

    #[tokio::test]
    async fn a_failure_of_a_new_connection_is_not_retried() {
        let connection = to(Server::default());
        let failing = |_| async { Err::<u32, _>(Failure::Connection) };
        assert_eq!(connection.request(&Allowance::of(0), failing).await, Err(Failure::Connection));
        assert_eq!(connection.config().accepted.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_times_out_closes_the_connection() {
        let connection = to(Server::default());
        assert_eq!(connection.request(&Allowance::of(0), endless).await, Err(Failure::Timeout));
        assert!(!connection.is_connected());
        assert_eq!(connection.request(&Allowance::of(0), number).await, Ok(1));
        assert!(connection.is_connected());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_times_out_keeps_the_connection_that_another_one_has_opened() {
        let connection = to(Server::default());
        let allowance = &Allowance::of(0);
        let results = join(connection.request(allowance, endless), connection.request(allowance, only_new)).await;
        assert_eq!(results, (Err(Failure::Timeout), Ok(1)));
        assert_eq!(connection.request(&Allowance::of(0), number).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_opened_within_the_time_of_the_shortest_request() {
        let connection = &to(Server { is_silent: true, ..Server::default() });
        let request = |bytes: u64| async move {
            let start = Instant::now();
            let result = connection.request(&Allowance::of(bytes), number).await;
            (result, start.elapsed().as_secs())
        };
        let results = join(request(64 << 20), request(0)).await;
        assert_eq!(results, ((Err(Failure::Timeout), 10), (Err(Failure::Timeout), 10)));
    }
}
