//! Waiting for a transaction. One task polls in short intervals for all who wait, and they return together.

use crate::lock::Mutex;
use crate::ltx::Txid;
use crate::replica::follow::Follower;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Pauses between two polls while a caller waits: the first, which grows to the second until a newer state arrives.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// The callers that wait.
#[derive(Default)]
pub(super) struct Waiters(Mutex<WaiterState>);

#[derive(Default)]
struct WaiterState {
    count: usize,
    is_polled: bool,
}

/// A caller that waits. While there is one, the replica is polled in short intervals.
struct WaitingReader(Arc<Follower>);

impl WaitingReader {
    fn new(follower: &Arc<Follower>, newest: &watch::Receiver<Txid>) -> WaitingReader {
        let mut state = follower.waiters.0.lock();
        state.count += 1;
        if !std::mem::replace(&mut state.is_polled, true) {
            tokio::spawn(Polling { follower: follower.clone(), newest: newest.clone() }.run());
        }
        WaitingReader(follower.clone())
    }
}

impl Drop for WaitingReader {
    fn drop(&mut self) {
        self.0.waiters.0.lock().count -= 1;
    }
}

/// The task that polls. When it has ended, the next caller that waits starts another.
struct Polling {
    follower: Arc<Follower>,
    newest: watch::Receiver<Txid>,
}

impl Polling {
    async fn run(self) {
        let (first, longest) = PAUSES;
        let mut pause = first;
        while self.continues() {
            let before = *self.newest.borrow();
            // An error shows in the status, and may be over before the callers give up.
            let _ = self.follower.poll(first).await;
            let arrived = *self.newest.borrow() != before;
            pause = if arrived { first } else { pause };
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Whether a caller still waits. If not, the next one starts another task.
    fn continues(&self) -> bool {
        let mut state = self.follower.waiters.0.lock();
        state.is_polled = state.count > 0;
        state.is_polled
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.follower.waiters.0.lock().is_polled = false;
        }
    }
}

impl Follower {
    /// Waits until the newest view has reached a transaction. Returns false if that took longer than `timeout`.
    pub(in crate::replica) async fn wait_for(self: &Arc<Self>, txid: Txid, timeout: Duration) -> bool {
        let mut newest = self.head.subscribe();
        if *newest.borrow() >= txid {
            return true;
        }
        let _waiting = WaitingReader::new(self, &newest);
        matches!(tokio::time::timeout(timeout, newest.wait_for(|newest| *newest >= txid)).await, Ok(Ok(_)))
    }
}
