//! The connection of a store that has one for all its questions.

use std::sync::Arc;
use tokio::sync::Mutex;

/// A connection that is made when it is first needed, and anew when it broke.
pub(super) struct Link<C>(Mutex<Option<Arc<C>>>);

impl<C> Default for Link<C> {
    fn default() -> Link<C> {
        Link(Mutex::new(None))
    }
}

impl<C> Link<C> {
    /// The connection, and whether it was made just now. Who comes while one is made waits for it.
    pub async fn connected<E>(
        &self,
        has_ended: impl Fn(&C) -> bool,
        open: impl Future<Output = Result<C, E>>,
    ) -> Result<(Arc<C>, bool), E> {
        let mut connection = self.0.lock().await;
        match &*connection {
            Some(connection) if !has_ended(connection) => Ok((connection.clone(), false)),
            _ => {
                let made = Arc::new(open.await?);
                *connection = Some(made.clone());
                Ok((made, true))
            }
        }
    }

    /// Whoever asks next gets another connection.
    pub async fn cut(&self) {
        *self.0.lock().await = None;
    }

    /// So, unless somebody has made another one already.
    #[cfg(feature = "nats")]
    pub async fn give_up(&self, broken: &Arc<C>) {
        let mut connection = self.0.lock().await;
        if connection.as_ref().is_some_and(|connection| Arc::ptr_eq(connection, broken)) {
            *connection = None;
        }
    }
}
