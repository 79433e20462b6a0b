//! System calls that may block for a long time, such as those on a network file system whose server is unreachable.
//!
//! They run on separate threads, at most [`THREADS`] per store, so that a store that hangs delays neither timers nor other stores, and at most
//! [`ALL_THREADS`] per process, so that the runtime has others left to look up hosts.
//! Each call has a deadline, which extends while the call makes progress. A call that has exceeded its deadline occupies its thread
//! until the system returns. While all threads of a store are occupied this way, further calls fail immediately.

use super::{StoreError, StoreErrorKind, timeouts};
use crate::lock::Mutex;
use crate::process::PerProcess;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// The maximum number of threads per store.
const THREADS: usize = 8;

/// The maximum number of threads of all stores. The runtime has 512.
const ALL_THREADS: usize = 256;

static ALL: PerProcess<Arc<Semaphore>> = PerProcess::new();

/// The threads of one store.
#[derive(Debug)]
pub(super) struct Blocking {
    permits: Arc<Semaphore>,
    /// Those of all stores.
    all: Arc<Semaphore>,
    running: Arc<Mutex<Vec<Arc<Call>>>>,
    /// How long a call may take, without the time for its bytes.
    timeout: Duration,
    /// The same while other calls are overdue.
    short_timeout: Duration,
}

/// A running call.
#[derive(Debug)]
pub(super) struct Call {
    start: Instant,
    timeout: Duration,
    has_started: AtomicBool,
    /// What the call has read so far, beyond what was expected.
    bytes: AtomicU64,
    /// When it last did, in milliseconds since its start.
    last_progress: AtomicU64,
}

impl Call {
    /// Extends the deadline for so many bytes. The call does this after each part of its work.
    pub fn extend(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.last_progress.store(self.start.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Returns the time until the deadline. Before that, the call may not pause for longer than the timeout.
    fn remaining(&self) -> Duration {
        let transfer = timeouts::transfer(self.bytes.load(Ordering::Relaxed));
        let last_progress = Duration::from_millis(self.last_progress.load(Ordering::Relaxed));
        self.timeout.saturating_add(transfer.min(last_progress)).saturating_sub(self.start.elapsed())
    }
}

/// Removes a call from the list when it is dropped.
struct RunningCall {
    running: Arc<Mutex<Vec<Arc<Call>>>>,
    call: Arc<Call>,
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.running.lock().retain(|call| !Arc::ptr_eq(call, &self.call));
    }
}

impl Blocking {
    pub fn new() -> Blocking {
        let all = ALL.get_or_init(|| Arc::new(Semaphore::new(ALL_THREADS))).clone();
        Blocking::with(all, timeouts::deadline(0), Duration::from_secs(1))
    }

    fn with(all: Arc<Semaphore>, timeout: Duration, short_timeout: Duration) -> Blocking {
        Blocking { permits: Arc::new(Semaphore::new(THREADS)), all, running: Arc::default(), timeout, short_timeout }
    }

    /// Runs `body`, which reads about `bytes` bytes, on a thread that may block. `url` is the masked URL for errors.
    ///
    /// Fails with [`StoreErrorKind::Unreachable`] if the call exceeds its deadline.
    pub async fn run<T: Send + 'static>(
        &self,
        url: &str,
        bytes: u64,
        body: impl FnOnce(&Call) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let failed = |cause: String| StoreError::new(StoreErrorKind::Unreachable, url, cause);
        let overdue = self.overdue();
        if overdue == THREADS {
            return Err(failed(format!("the file system does not respond: {THREADS} calls have not returned")));
        }
        let limit = if overdue > 0 { self.short_timeout } else { self.timeout };
        let late = || failed(format!("the file system has not responded for {limit:?}"));
        // One after the other: who waits for its own store keeps no thread from others.
        let permits = async { (self.permits.clone().acquire_owned().await, self.all.clone().acquire_owned().await) };
        // Acquiring fails only if a semaphore is closed, and they never are.
        let permits = timeout(limit, permits).await.map_err(|_| late())?;
        let call = self.begin(limit.saturating_add(timeouts::transfer(bytes)));
        let running = RunningCall { running: self.running.clone(), call: call.clone() };
        let mut task = tokio::task::spawn_blocking(move || {
            // Dropped in the opposite order: the call leaves the list before another call gets its permit.
            let _permits = permits;
            let running = running;
            running.call.has_started.store(true, Ordering::Relaxed);
            body(&running.call)
        });
        loop {
            match timeout(call.remaining(), &mut task).await {
                Ok(Ok(result)) => return Ok(result),
                Ok(Err(_)) => return Err(failed("a call of the file system panicked".to_owned())),
                Err(_) if !call.remaining().is_zero() => {}
                Err(_) if call.has_started.load(Ordering::Relaxed) => return Err(late()),
                Err(_) => {
                    task.abort();
                    return Err(failed("cannot start a thread for reading; raise the limit on threads".to_owned()));
                }
            }
        }
    }

    fn begin(&self, timeout: Duration) -> Arc<Call> {
        let call = Call {
            start: Instant::now(),
            timeout,
            has_started: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            last_progress: AtomicU64::new(0),
        };
        let call = Arc::new(call);
        self.running.lock().push(call.clone());
        call
    }

    /// Returns the number of calls that have exceeded their deadline.
    fn overdue(&self) -> usize {
        self.running.lock().iter().filter(|call| call.remaining().is_zero()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use tokio::sync::oneshot;
    use tokio::time::advance;

    const TIMEOUT: Duration = Duration::from_millis(200);

    fn with_short_timeouts() -> Blocking {
        Blocking::with(Arc::new(Semaphore::new(THREADS)), TIMEOUT, Duration::from_millis(20))
    }

    /// Runs a call that hangs until `hang` is closed, and lets the timeout elapse once it has started. Returns the error.
    async fn hang(blocking: &Blocking, hang: mpsc::Receiver<()>) -> String {
        let (started, has_started) = oneshot::channel();
        let body = move |_: &Call| {
            started.send(()).expect("the test waits");
            hang.recv()
        };
        let elapses = async {
            has_started.await.expect("it starts");
            advance(TIMEOUT).await;
        };
        tokio::join!(blocking.run("url", 0, body), elapses).0.expect_err("it hangs").to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_times_out_and_delays_no_other_call() {
        let (blocking, (_release, hangs)) = (with_short_timeouts(), mpsc::channel::<()>());
        assert_eq!(hang(&blocking, hangs).await, "url: the file system has not responded for 200ms");
        assert_eq!(blocking.run("url", 0, |_| 7).await.ok(), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_fail_immediately_while_all_threads_are_blocked() {
        let blocking = with_short_timeouts();
        let (releases, hangs): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::channel::<()>()).unzip();
        for hangs in hangs {
            hang(&blocking, hangs).await;
        }
        let error = blocking.run("url", 0, |_| ()).await.expect_err("all threads are blocked");
        assert_eq!(error.to_string(), "url: the file system does not respond: 8 calls have not returned");
        drop(releases);
        // The threads end shortly after.
        while blocking.overdue() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(blocking.run("url", 0, |_| 7).await.ok(), Some(7));
    }

    /// The runtime looks up the hosts of other stores on the threads that are left.
    #[tokio::test(start_paused = true)]
    async fn stores_that_hang_leave_threads_to_the_runtime() {
        let all = Arc::new(Semaphore::new(THREADS + 1));
        let stores: [_; 2] = std::array::from_fn(|_| Blocking::with(all.clone(), TIMEOUT, Duration::from_millis(20)));
        let (_releases, hangs): (Vec<_>, Vec<_>) = (0..=THREADS).map(|_| mpsc::channel::<()>()).unzip();
        for (number, hangs) in hangs.into_iter().enumerate() {
            hang(&stores[number / THREADS], hangs).await;
        }
        let (refused, ()) = tokio::join!(stores[1].run("url", 0, |_| ()), advance(TIMEOUT));
        let error = refused.expect_err("no thread is left");
        assert_eq!(error.to_string(), "url: the file system has not responded for 20ms");
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_extends_while_a_call_makes_progress() {
        // A second for each step, and none.
        for (bytes, expected) in [(128 * 1024, Some(7)), (1, None)] {
            let (blocking, (step, steps)) = (with_short_timeouts(), mpsc::channel::<oneshot::Sender<()>>());
            let body = move |call: &Call| {
                for done in steps {
                    call.extend(bytes);
                    done.send(()).expect("the test waits");
                }
                7
            };
            let progress = async move {
                for _ in 0..10 {
                    advance(TIMEOUT * 3 / 4).await;
                    let (done, is_done) = oneshot::channel();
                    step.send(done).expect("the call runs");
                    is_done.await.expect("the call runs");
                }
            };
            let (result, ()) = tokio::join!(blocking.run("url", 0, body), progress);
            assert_eq!(result.ok(), expected, "{bytes} bytes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_call_occupies_its_thread_and_is_counted() {
        let (blocking, (release, hangs)) = (with_short_timeouts(), mpsc::channel::<()>());
        let (started, has_started) = oneshot::channel();
        let body = move |_: &Call| {
            started.send(()).expect("the test waits");
            hangs.recv()
        };
        tokio::select! {
            biased;
            _ = blocking.run("url", 0, body) => panic!("it hangs"),
            started = has_started => started.expect("it starts"),
        }
        assert_eq!((blocking.permits.available_permits(), blocking.overdue()), (THREADS - 1, 0));
        advance(TIMEOUT).await;
        assert_eq!(blocking.overdue(), 1);
        drop(release);
        while blocking.permits.available_permits() < THREADS {
            tokio::task::yield_now().await;
        }
        assert_eq!(blocking.overdue(), 0);
    }
}
