//! The task that polls a replica while it has readers.

use crate::last_error;
use crate::random;
use crate::replica::follow::Follower;
use std::sync::Arc;
use std::time::Duration;

impl Follower {
    /// Polls until the task is aborted. Logs the first error as a warning and the following ones at debug level until
    /// the replica can be followed again: the same cause can have another text at each poll.
    pub(in crate::replica) async fn poll_forever(self: Arc<Self>) {
        let (mut warned, mut leadership) = (false, None);
        loop {
            tokio::time::sleep(jittered(self.poll_interval())).await;
            let followed = self.follow_leader(&mut leadership).await;
            let turn = match followed {
                Ok(false) => self.take_turn().await,
                _ => {
                    self.leave_turn();
                    followed.map(drop)
                }
            };
            match turn {
                Ok(()) if self.health.is_failing() => {}
                Ok(()) if std::mem::take(&mut warned) => {
                    tracing::warn!("{} can be followed again", self.files.store);
                }
                Ok(()) => {}
                Err(error) => {
                    let text = format!("cannot follow {}: {error}", self.files.store);
                    last_error::record(&text);
                    match std::mem::replace(&mut warned, true) {
                        false => tracing::warn!("{text}"),
                        true => tracing::debug!("{text}"),
                    }
                }
            }
        }
    }
}

/// Changes an interval at random by up to a tenth, so that processes that started together do not keep polling at the
/// same times.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + random::fraction() / 5.0)
}
