//! Calls of the operating system that may not return for a long time, as those on a network file system whose server is gone.
//!
//! They run on threads of their own, a few at a time for each store, so that a store that hangs holds up no timer and no other store. Each
//! has a deadline, which is put off as long as it gets on. A call that is given up keeps its thread until the system returns,
//! and while all threads of a store are kept so, its next calls fail at once.

use super::{StoreError, StoreErrorKind, timeouts};
use crate::lock::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many threads a store may have.
const THREADS: usize = 8;

/// The threads of one store.
#[derive(Debug)]
pub(super) struct Blocking {
    permits: Arc<Semaphore>,
    running: Arc<Mutex<Vec<Arc<Call>>>>,
    /// How long a call may take before its bytes are counted.
    patience: Duration,
    /// How long it may take while others are overdue.
    little_patience: Duration,
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Call {
    begun: Instant,
    patience: Duration,
    has_started: AtomicBool,
    /// When it last got on, in milliseconds since it began.
    got_on: AtomicU64,
}

impl Call {
    /// To be called where a call got on by a part of its work.
    pub fn gets_on(&self) {
        self.got_on.store(self.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// How much longer it may take.
    fn left(&self) -> Duration {
        let got_on = Duration::from_millis(self.got_on.load(Ordering::Relaxed));
        got_on.saturating_add(self.patience).saturating_sub(self.begun.elapsed())
    }
}

/// Takes a call off the list when it ends, however it does.
struct Ending {
    running: Arc<Mutex<Vec<Arc<Call>>>>,
    call: Arc<Call>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.running.lock().retain(|call| !Arc::ptr_eq(call, &self.call));
    }
}

impl Blocking {
    pub fn new() -> Blocking {
        Blocking::with_patience(timeouts::deadline(0), Duration::from_secs(1))
    }

    fn with_patience(patience: Duration, little_patience: Duration) -> Blocking {
        Blocking { permits: Arc::new(Semaphore::new(THREADS)), running: Arc::default(), patience, little_patience }
    }

    /// Runs `body`, which reads about `bytes`, on a thread that may block. `place` is what an error names.
    pub async fn run<T: Send + 'static>(
        &self,
        place: &str,
        bytes: u64,
        body: impl FnOnce(&Call) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let failed = |cause: String| StoreError::new(StoreErrorKind::Unreachable, place, cause);
        let overdue = self.overdue();
        if overdue == THREADS {
            return Err(failed(format!("the file system does not answer: {THREADS} calls have not returned")));
        }
        let patience = if overdue > 0 { self.little_patience } else { self.patience };
        let late = || failed(format!("the file system has not answered for {patience:?}"));
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => Ok(permit),
            Err(_) => timeout(patience, self.permits.clone().acquire_owned()).await.map_err(|_| late())?,
        };
        let call = self.begin(patience.saturating_add(timeouts::transfer(bytes)));
        let ending = Ending { running: self.running.clone(), call: call.clone() };
        let mut task = tokio::task::spawn_blocking(move || {
            let _until_it_returns = (permit, &ending);
            ending.call.has_started.store(true, Ordering::Relaxed);
            body(&ending.call)
        });
        loop {
            match timeout(call.left(), &mut task).await {
                Ok(Ok(result)) => return Ok(result),
                Ok(Err(_)) => return Err(failed("a call of the file system ended without an answer".to_owned())),
                Err(_) if !call.left().is_zero() => {}
                Err(_) if call.has_started.load(Ordering::Relaxed) => return Err(late()),
                Err(_) => {
                    task.abort();
                    return Err(failed("no thread can be started to read it; raise the limit on threads".to_owned()));
                }
            }
        }
    }

    fn begin(&self, patience: Duration) -> Arc<Call> {
        let call =
            Call { begun: Instant::now(), patience, has_started: AtomicBool::new(false), got_on: AtomicU64::new(0) };
        let call = Arc::new(call);
        self.running.lock().push(call.clone());
        call
    }

    /// How many calls should have returned.
    fn overdue(&self) -> usize {
        self.running.lock().iter().filter(|call| call.left().is_zero()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn impatient() -> Blocking {
        Blocking::with_patience(Duration::from_millis(200), Duration::from_millis(20))
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_given_up_and_holds_up_nothing_else() {
        let (blocking, (release, hang)) = (impatient(), mpsc::channel::<()>());
        let error = blocking.run("place", 0, move |_| hang.recv()).await.expect_err("it hangs");
        assert_eq!(error.to_string(), "place: the file system has not answered for 200ms");
        assert_eq!(blocking.run("place", 0, |_| 7).await.ok(), Some(7));
        release.send(()).expect("it waits");
    }

    #[tokio::test]
    async fn a_hanging_file_system_keeps_a_few_threads_and_fails_further_calls_at_once() {
        let blocking = impatient();
        let (releases, hangs): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::channel::<()>()).unzip();
        for hang in hangs {
            blocking.run("place", 0, move |_| hang.recv()).await.expect_err("it hangs");
        }
        let error = blocking.run("place", 0, |_| ()).await.expect_err("all threads are kept");
        assert_eq!(error.to_string(), "place: the file system does not answer: 8 calls have not returned");
        drop(releases);
        // The threads notice a moment later.
        while blocking.overdue() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(blocking.run("place", 0, |_| 7).await.ok(), Some(7));
    }

    #[tokio::test]
    async fn a_call_that_gets_on_takes_as_long_as_it_needs() {
        let slow = |call: &Call| {
            for _ in 0..10 {
                std::thread::sleep(Duration::from_millis(50));
                call.gets_on();
            }
            7
        };
        assert_eq!(impatient().run("place", 0, slow).await.ok(), Some(7));
    }

    #[tokio::test]
    async fn one_that_nobody_waits_for_any_more_keeps_its_thread_and_is_counted() {
        let (blocking, (release, hang)) = (impatient(), mpsc::channel::<()>());
        let given_up = timeout(Duration::from_millis(1), blocking.run("place", 0, move |_| hang.recv())).await;
        assert!(given_up.is_err() && blocking.permits.available_permits() == THREADS - 1);
        while blocking.overdue() == 0 {
            tokio::task::yield_now().await;
        }
        drop(release);
        while blocking.permits.available_permits() < THREADS {
            tokio::task::yield_now().await;
        }
        assert_eq!(blocking.overdue(), 0);
    }
}
