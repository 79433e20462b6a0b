//! The threads that run asynchronous code, and how threads of the host wait for them.

pub(crate) use crate::process::PerProcess;
#[cfg(unix)]
pub(crate) use crate::process::forked;

use crate::error::{Error, ErrorKind, remedy_unless_files};
use crate::lock::Mutex;
use crate::progress::Progress;
use std::future::Future;
use std::io;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio::sync::oneshot;

static RUNTIME: PerProcess<Runtime> = PerProcess::new();

/// Locked by the thread that starts the runtime.
static STARTING: PerProcess<Mutex<()>> = PerProcess::new();

/// The number of threads: one can decode pages while the other handles the network. Pending requests need no thread.
const THREADS: usize = 2;

/// Returns the runtime of this process, and starts it if necessary. After a failure the next call tries again.
fn runtime() -> Result<&'static Runtime, Error> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let _guard = STARTING.get_or_init(Mutex::default).lock();
    RUNTIME.get_or_try_init(|| start().map_err(start_error))
}

fn start() -> io::Result<Runtime> {
    check_threads()?;
    let build =
        || Builder::new_multi_thread().worker_threads(THREADS).thread_name("litestream-vfs").enable_all().build();
    // The builder panics if it cannot start a thread, and threads may have been started elsewhere since the check.
    catch_unwind(build).unwrap_or_else(|panic| {
        std::mem::forget(panic);
        Err(io::Error::other("no thread can be started"))
    })
}

/// Checks that the threads of the runtime can be started, by starting the same number and ending them.
fn check_threads() -> io::Result<()> {
    let gate = Mutex::new(());
    let held = gate.lock();
    std::thread::scope(|scope| {
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, || drop(gate.lock()));
        let started: Vec<_> = (0..THREADS).map(start).collect();
        drop(held);
        // After a join the system no longer counts the thread. The end of the scope does not guarantee that.
        started.into_iter().try_for_each(|started| started.map(|thread| drop(thread.join())))
    })
}

fn start_error(cause: io::Error) -> Error {
    let message = format!("the threads that read replicas cannot be started: {cause}");
    let remedy = remedy_unless_files(&cause, "raise the limit on threads (ulimit -u, or the container's)");
    Error::new(ErrorKind::Exhausted, message).remedy(remedy).caused_by(cause)
}

/// Starts a background task.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<tokio::task::AbortHandle, Error> {
    Ok(runtime()?.spawn(task).abort_handle())
}

/// Makes a call that may wait for a disk, on a thread of its own, so that other tasks go on. If no thread can be started, they wait, as they do
/// in a runtime of one thread, which tests have. Fails if the call panics.
pub(crate) async fn on_own_thread<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    if Handle::current().runtime_flavor() != RuntimeFlavor::MultiThread {
        return Ok(call());
    }
    let (sender, receiver) = oneshot::channel();
    let call = Arc::new(Mutex::new(Some(call)));
    let of_thread = call.clone();
    let thread = std::thread::Builder::new().name("litestream-vfs".to_owned()).spawn(move || {
        let call = of_thread.lock().take();
        // Sending fails if the task has ended.
        let _ = sender.send(call.map(|call| call()));
    });
    let left = if thread.is_err() { call.lock().take() } else { None };
    match left {
        Some(call) => Ok(call()),
        None => receiver.await.ok().flatten().ok_or_else(|| Error::internal("a call ended without a result")),
    }
}

/// The interval at which a waiting thread of the host checks whether it was interrupted.
const INTERRUPT_CHECK: Duration = Duration::from_millis(50);

/// Runs `job` on the threads of the runtime and waits for its result, until `interrupted` returns true.
///
/// The job must have its own time limit. The calling thread does not poll a future, so it may be a thread of another runtime.
pub(crate) fn wait<T: Send + 'static>(
    job: impl Future<Output = Result<T, Error>> + Send + 'static,
    interrupted: &dyn Fn() -> bool,
) -> Result<T, Error> {
    wait_within(None, job, interrupted)
}

/// The maximum time that a thread waits while nothing arrives from the store, and the error after that time.
pub(crate) struct ReadTimeout<'a> {
    pub limit: Duration,
    pub error: &'a dyn Fn() -> Error,
}

/// As [`wait`], with a limit on the time in which nothing arrives.
pub(crate) fn wait_within<T: Send + 'static>(
    timeout: Option<ReadTimeout<'_>>,
    job: impl Future<Output = Result<T, Error>> + Send + 'static,
    interrupted: &dyn Fn() -> bool,
) -> Result<T, Error> {
    let (sender, receiver) = sync_channel(1);
    let progress = Progress::default();
    let job = progress.track(job);
    let task = runtime()?.spawn(async move {
        // Sending fails if the waiting thread has given up.
        let _ = sender.send(job.await);
    });
    let (mut arrived, mut last_arrival) = (0, Instant::now());
    let error = loop {
        let left = timeout.as_ref().map(|timeout| timeout.limit.saturating_sub(last_arrival.elapsed()));
        match receiver.recv_timeout(left.map_or(INTERRUPT_CHECK, |left| left.min(INTERRUPT_CHECK))) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::new(ErrorKind::Internal, "a background job ended without a result"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if interrupted() {
            break Error::new(ErrorKind::Interrupted, "interrupted");
        }
        match (&timeout, progress.count()) {
            (_, count) if count > arrived => (arrived, last_arrival) = (count, Instant::now()),
            (Some(timeout), _) if last_arrival.elapsed() >= timeout.limit => break (timeout.error)(),
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
    fn a_job_returns_its_result_or_an_error_after_an_interrupt_or_a_panic() {
        assert_eq!(wait(async { Ok(7) }, &|| false).ok(), Some(7));
        let endless = std::future::pending::<Result<(), Error>>();
        let kind = |result: Result<(), Error>| result.map_err(|error| error.kind());
        assert_eq!(kind(wait(endless, &|| true)), Err(ErrorKind::Interrupted));
        assert_eq!(kind(wait(async { panic!("a bug") }, &|| false)), Err(ErrorKind::Internal));
    }

    #[test]
    fn a_wait_ends_if_nothing_arrives_within_the_limit() {
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
    fn a_failed_start_names_the_limit_to_raise() {
        let message = |code| start_error(io::Error::from_raw_os_error(code)).to_string();
        #[cfg(unix)]
        assert!(message(libc::EMFILE).contains("ulimit -n"), "{}", message(libc::EMFILE));
        #[cfg(unix)]
        assert!(message(libc::EAGAIN).contains("limit on threads"), "{}", message(libc::EAGAIN));
    }
}
