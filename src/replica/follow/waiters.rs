//! Waiting for a transaction. However many wait, one task polls closely for all of them, and they return together.

use crate::lock::Mutex;
use crate::ltx::Txid;
use crate::replica::Replica;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Pauses between two polls while somebody waits: from the first, growing to the second until something arrives.
const CLOSELY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// Who waits at a replica.
pub(in crate::replica) struct Waiters {
    state: Mutex<WaiterState>,
    head: watch::Sender<Txid>,
}

#[derive(Default)]
struct WaiterState {
    count: usize,
    is_polled: bool,
}

impl Default for Waiters {
    fn default() -> Waiters {
        Waiters { state: Mutex::default(), head: watch::Sender::new(Txid(0)) }
    }
}

impl Waiters {
    /// Tells everybody what the newest transaction is now.
    pub(in crate::replica) fn publish(&self, head: Txid) {
        self.head.send_replace(head);
    }
}

/// Somebody who waits. While there is any, the replica is polled closely.
struct WaitingReader(Arc<Replica>);

impl WaitingReader {
    fn at(replica: &Arc<Replica>) -> WaitingReader {
        let mut state = replica.waiters.state.lock();
        state.count += 1;
        if !std::mem::replace(&mut state.is_polled, true) {
            tokio::spawn(Polling(replica.clone()).run());
        }
        WaitingReader(replica.clone())
    }
}

impl Drop for WaitingReader {
    fn drop(&mut self) {
        self.0.waiters.state.lock().count -= 1;
    }
}

/// The task that polls closely. Where it ends, the next who waits starts another.
struct Polling(Arc<Replica>);

impl Polling {
    async fn run(self) {
        let (first, longest) = CLOSELY;
        let mut pause = first;
        while self.goes_on() {
            let before = *self.0.waiters.head.borrow();
            // What goes wrong shows in the status, and may be over before those who wait give up.
            let _ = self.0.poll(first).await;
            let arrived = *self.0.waiters.head.borrow() != before;
            pause = if arrived { first } else { pause };
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Whether somebody still waits. If not, the next who comes starts another task.
    fn goes_on(&self) -> bool {
        let mut state = self.0.waiters.state.lock();
        state.is_polled = state.count > 0;
        state.is_polled
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.waiters.state.lock().is_polled = false;
        }
    }
}

impl Replica {
    /// Waits until the replica has a transaction. False if that took longer than `timeout`.
    pub(in crate::replica) async fn wait_for(self: &Arc<Self>, txid: Txid, timeout: Duration) -> bool {
        let mut head = self.waiters.head.subscribe();
        if *head.borrow() >= txid {
            return true;
        }
        let _waiting = WaitingReader::at(self);
        matches!(tokio::time::timeout(timeout, head.wait_for(|head| *head >= txid)).await, Ok(Ok(_)))
    }
}
