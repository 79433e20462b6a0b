//! The threads that run async code, and the way host threads wait for them.

pub(crate) use crate::process::PerProcess;
#[cfg(any(unix, test))]
pub(crate) use crate::process::forked;

use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::progress::Progress;
use std::future::Future;
use std::io;
use std::panic::catch_unwind;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

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
    Error::new(ErrorKind::Exhausted, message).remedy(match cause.raw_os_error() {
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
                return Err(Error::new(ErrorKind::Internal, "a background job ended without an answer"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if interrupted() {
            break Error::new(ErrorKind::Interrupted, "interrupted");
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

    #[test]
    fn a_job_is_answered_an_interrupted_one_is_not_and_a_panic_is_an_error() {
        assert_eq!(wait(async { Ok(7) }, &|| false).ok(), Some(7));
        let endless = std::future::pending::<Result<(), Error>>();
        let kind = |result: Result<(), Error>| result.map_err(|error| error.kind());
        assert_eq!(kind(wait(endless, &|| true)), Err(ErrorKind::Interrupted));
        assert_eq!(kind(wait(async { panic!("a defect") }, &|| false)), Err(ErrorKind::Internal));
    }

    #[test]
    fn a_wait_ends_when_nothing_arrives_for_its_limit_and_goes_on_while_something_does() {
        let late = || Error::new(ErrorKind::Unreachable, "late");
        let timeout = || Some(ReadTimeout { limit: Duration::from_millis(300), error: &late });
        let begun = Instant::now();
        let silent = async {
            crate::progress::arrived();
            std::future::pending::<Result<(), Error>>().await
        };
        let error = wait_within(timeout(), silent, &|| false).expect_err("nothing arrives");
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Unreachable, "late"));
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
}
