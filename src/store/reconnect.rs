//! The connection of a store that sends all its requests over one connection.

use std::sync::Arc;
use tokio::sync::Mutex;

/// A connection that is opened when it is first needed, and again when it is lost.
pub(super) struct Link<C>(Mutex<Option<Arc<C>>>);

impl<C> Default for Link<C> {
    fn default() -> Link<C> {
        Link(Mutex::new(None))
    }
}

impl<C> Link<C> {
    /// Returns the connection, and whether it was opened by this call. Concurrent callers wait for the same attempt.
    pub async fn connected<E>(
        &self,
        has_ended: impl Fn(&C) -> bool,
        open: impl Future<Output = Result<C, E>>,
    ) -> Result<(Arc<C>, bool), E> {
        let mut connection = self.0.lock().await;
        match &*connection {
            Some(connection) if !has_ended(connection) => Ok((connection.clone(), false)),
            _ => {
                let opened = Arc::new(open.await?);
                *connection = Some(opened.clone());
                Ok((opened, true))
            }
        }
    }

    /// Drops the connection. The next call of [`Link::connected`] opens another.
    pub async fn disconnect(&self) {
        *self.0.lock().await = None;
    }

    /// Drops the connection if it is still this one.
    #[cfg(feature = "nats")]
    pub async fn discard(&self, broken: &Arc<C>) {
        let mut connection = self.0.lock().await;
        if connection.as_ref().is_some_and(|connection| Arc::ptr_eq(connection, broken)) {
            *connection = None;
        }
    }
}
