//! The threads that run async code, the way host threads wait for them, and the fork that takes them away.
//!
//! A fork copies memory but no threads: in the child the runtime, every connection it made and every lock that another
//! thread held are dead. So nothing process-wide is reached but through [`PerProcess`], which builds a fresh value in
//! the child and leaves the inherited one untouched for ever (dropping it would join threads that do not exist).

use crate::error::{Error, Kind};
use crate::lock::Mutex;
use crate::progress::Progress;
use std::future::Future;
use std::io;
use std::panic::catch_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// How many forks lie between the process that loaded us and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Grows by one in the child of every fork, so that whoever holds something of the parent's notices.
#[inline]
pub(crate) fn generation() -> u64 {
    // Relaxed: it changes only while the process has a single thread, in the child's half of fork().
    GENERATION.load(Ordering::Relaxed)
}

/// To be called in the child of a fork, before it does anything else.
#[cfg(any(unix, test))]
pub(crate) fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// A value that every process builds for itself, at its first use.
///
/// A chain with one cell a generation. A process only ever touches its own generation's cell, so no cell is
/// inherited half-built, whatever the other threads of the parent were doing.
pub(crate) struct PerProcess<T> {
    born: u64,
    first: Cell<T>,
}

struct Cell<T> {
    value: OnceLock<T>,
    next: OnceLock<Box<Cell<T>>>,
}

impl<T> Cell<T> {
    const fn new() -> Cell<T> {
        Cell { value: OnceLock::new(), next: OnceLock::new() }
    }
}

impl<T> PerProcess<T> {
    /// For statics.
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess { born: 0, first: Cell::new() }
    }

    /// With this process's value already there.
    pub(crate) fn with(value: T) -> PerProcess<T> {
        PerProcess { born: generation(), first: Cell { value: OnceLock::from(value), next: OnceLock::new() } }
    }

    fn cell(&self) -> &Cell<T> {
        let mut cell = &self.first;
        for _ in self.born..generation() {
            cell = cell.next.get_or_init(|| Box::new(Cell::new()));
        }
        cell
    }

    /// This process's value, if it was built.
    pub(crate) fn get(&self) -> Option<&T> {
        self.cell().value.get()
    }

    /// This process's value, built now if it is not there.
    pub(crate) fn get_or_init(&self, build: impl FnOnce() -> T) -> &T {
        self.cell().value.get_or_init(build)
    }

    /// This process's value, built now if it is not there; what `build` could not make is tried again next time.
    #[inline]
    pub(crate) fn get_or_try_init<E>(&self, build: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        let cell = self.cell();
        match cell.value.get() {
            Some(value) => Ok(value),
            None => {
                let value = build()?;
                Ok(cell.value.get_or_init(|| value))
            }
        }
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        // This process's value is the last of the chain; all before it are the parents' and must not be dropped.
        let mut cell = std::mem::replace(&mut self.first, Cell::new());
        for _ in self.born..generation() {
            std::mem::forget(cell.value.take());
            match cell.next.take() {
                Some(next) => cell = *next,
                None => return,
            }
        }
    }
}

static RUNTIME: PerProcess<Runtime> = PerProcess::new();

/// Held by the thread that starts the runtime.
static STARTING: PerProcess<Mutex<()>> = PerProcess::new();

/// Two threads: one decodes while another waits on the network; requests in flight need no threads of their own.
const THREADS: usize = 2;

/// The process's runtime, started now if this is the first open. A start that fails is tried again at the next.
fn runtime() -> Result<&'static Runtime, Error> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let _starting = STARTING.get_or_init(Mutex::default).lock();
    RUNTIME.get_or_try_init(|| start().map_err(|cause| not_started(&cause)))
}

fn start() -> io::Result<Runtime> {
    try_threads()?;
    let build =
        || Builder::new_multi_thread().worker_threads(THREADS).thread_name("litestream-vfs").enable_all().build();
    // It panics when it cannot start a thread, and another may have started one since they were tried.
    catch_unwind(build).unwrap_or_else(|panic| {
        std::mem::forget(panic);
        Err(io::Error::other("no thread can be started"))
    })
}

/// Starts as many threads as the runtime will, and ends them.
fn try_threads() -> io::Result<()> {
    let gate = Mutex::new(());
    let closed = gate.lock();
    std::thread::scope(|scope| {
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, || drop(gate.lock()));
        let started: Vec<_> = (0..THREADS).map(start).collect();
        drop(closed);
        // Joining a thread waits until the system counts it no more; the end of the scope does not.
        started.into_iter().try_for_each(|started| started.map(|thread| drop(thread.join())))
    })
}

fn not_started(cause: &io::Error) -> Error {
    let message = format!("the threads that read replicas cannot be started: {cause}");
    Error::new(Kind::Exhausted, message).remedy(match cause.raw_os_error() {
        #[cfg(unix)]
        Some(libc::EMFILE | libc::ENFILE) => "raise the limit on open files (ulimit -n)",
        _ => "raise the limit on threads (ulimit -u, or the container's)",
    })
}

/// Starts `task` in the background.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<tokio::task::AbortHandle, Error> {
    Ok(runtime()?.spawn(task).abort_handle())
}

/// How often a waiting host thread looks whether it was interrupted.
const INTERRUPT_CHECK: Duration = Duration::from_millis(50);

/// Runs `job` on the runtime's threads while the host's thread waits, and gives up when `interrupted` says so.
///
/// Jobs bound themselves. The host's thread never polls a future, so it may be a thread of another runtime.
pub(crate) fn wait<T: Send + 'static>(
    job: impl Future<Output = Result<T, Error>> + Send + 'static,
    interrupted: &dyn Fn() -> bool,
) -> Result<T, Error> {
    wait_within(None, job, interrupted)
}

/// How long a thread waits while no answer of the store arrives, and the error when that was too long.
pub(crate) struct ReadTimeout<'a> {
    pub limit: Duration,
    pub error: &'a dyn Fn() -> Error,
}

/// As [`wait`], within a limit.
pub(crate) fn wait_within<T: Send + 'static>(
    timeout: Option<ReadTimeout<'_>>,
    job: impl Future<Output = Result<T, Error>> + Send + 'static,
    interrupted: &dyn Fn() -> bool,
) -> Result<T, Error> {
    let (sender, receiver) = sync_channel(1);
    let progress = Progress::default();
    let job = progress.of(job);
    let task = runtime()?.spawn(async move {
        // The host's thread may have given up; nobody is left to tell.
        let _ = sender.send(job.await);
    });
    let (mut arrived, mut since) = (0, Instant::now());
    let error = loop {
        let left = timeout.as_ref().map(|timeout| timeout.limit.saturating_sub(since.elapsed()));
        match receiver.recv_timeout(left.map_or(INTERRUPT_CHECK, |left| left.min(INTERRUPT_CHECK))) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::new(Kind::Internal, "a background job ended without an answer"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if interrupted() {
            break Error::new(Kind::Interrupted, "interrupted");
        }
        match (&timeout, progress.count()) {
            (_, count) if count > arrived => (arrived, since) = (count, Instant::now()),
            (Some(timeout), _) if since.elapsed() >= timeout.limit => break (timeout.error)(),
            _ => {}
        }
    };
    task.abort();
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_job_is_answered_an_interrupted_one_is_not_and_a_panic_is_an_error() {
        assert_eq!(wait(async { Ok(7) }, &|| false).ok(), Some(7));
        let endless = std::future::pending::<Result<(), Error>>();
        let kind = |result: Result<(), Error>| result.map_err(|error| error.kind());
        assert_eq!(kind(wait(endless, &|| true)), Err(Kind::Interrupted));
        assert_eq!(kind(wait(async { panic!("a defect") }, &|| false)), Err(Kind::Internal));
    }

    #[test]
    fn a_wait_ends_when_nothing_arrives_for_its_limit_and_goes_on_while_something_does() {
        let late = || Error::new(Kind::Unreachable, "late");
        let timeout = || Some(ReadTimeout { limit: Duration::from_millis(300), error: &late });
        let begun = Instant::now();
        let silent = async {
            crate::progress::arrived();
            std::future::pending::<Result<(), Error>>().await
        };
        let error = wait_within(timeout(), silent, &|| false).expect_err("nothing arrives");
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Unreachable, "late"));
        assert!((0.3..30.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
        let slow = async {
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                crate::progress::arrived();
            }
            Ok(7)
        };
        assert_eq!(wait_within(timeout(), slow, &|| false).ok(), Some(7));
    }

    #[test]
    fn the_threads_that_cannot_be_started_are_named_with_the_limit_to_raise() {
        let said = |code| not_started(&io::Error::from_raw_os_error(code)).to_string();
        #[cfg(unix)]
        assert!(said(libc::EMFILE).contains("ulimit -n"), "{}", said(libc::EMFILE));
        #[cfg(unix)]
        assert!(said(libc::EAGAIN).contains("limit on threads"), "{}", said(libc::EAGAIN));
    }

    #[test]
    fn the_child_of_a_fork_builds_its_own_value_and_keeps_the_inherited_one_alive() {
        let inherited = Arc::new("parent");
        let slot = PerProcess {
            born: generation(),
            first: Cell { value: OnceLock::from(inherited.clone()), next: OnceLock::new() },
        };
        forked();
        assert_eq!(**slot.get_or_init(|| Arc::new("child")), "child");
        drop(slot);
        assert_eq!(Arc::strong_count(&inherited), 2, "the parent's value was dropped in the child");
    }
}
