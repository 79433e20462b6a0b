//! The threads that run async code, and the way host threads wait for them.

pub(crate) use crate::process::PerProcess;
#[cfg(any(unix, test))]
pub(crate) use crate::process::forked;

use crate::error::{Error, Kind};
use std::future::Future;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: PerProcess<Option<Runtime>> = PerProcess::new();

/// The process's runtime, started now if this is the first open.
///
/// Two threads: one decodes while another waits on the network; requests in flight need no threads of their own.
fn runtime() -> Result<&'static Runtime, Error> {
    let start =
        || Builder::new_multi_thread().worker_threads(2).thread_name("litestream-vfs").enable_all().build().ok();
    RUNTIME
        .get_or_init(start)
        .as_ref()
        .ok_or_else(|| Error::new(Kind::Internal, "cannot start threads").remedy("raise the limit on threads"))
}

/// Starts `task` in the background.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<tokio::task::AbortHandle, Error> {
    Ok(runtime()?.spawn(task).abort_handle())
}

/// How often a waiting host thread looks whether it was interrupted.
const INTERRUPT_CHECK: Duration = Duration::from_millis(50);

/// Runs `job` on the runtime's threads while the host's thread waits, and gives up when `interrupted` says so.
///
/// Jobs bound themselves: every request below has a deadline. The host's thread never polls a future, so it may be
/// a thread of another runtime.
pub(crate) fn wait<T: Send + 'static>(
    job: impl Future<Output = Result<T, Error>> + Send + 'static,
    interrupted: &dyn Fn() -> bool,
) -> Result<T, Error> {
    let (sender, receiver) = sync_channel(1);
    let task = runtime()?.spawn(async move {
        // The host's thread may have given up; nobody is left to tell.
        let _ = sender.send(job.await);
    });
    loop {
        match receiver.recv_timeout(INTERRUPT_CHECK) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) if interrupted() => {
                task.abort();
                return Err(Error::new(Kind::Interrupted, "interrupted"));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::new(Kind::Internal, "a background job ended without an answer"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_answered_an_interrupted_one_is_not_and_a_panic_is_an_error() {
        assert_eq!(wait(async { Ok(7) }, &|| false).ok(), Some(7));
        let endless = std::future::pending::<Result<(), Error>>();
        let kind = |result: Result<(), Error>| result.map_err(|error| error.kind());
        assert_eq!(kind(wait(endless, &|| true)), Err(Kind::Interrupted));
        assert_eq!(kind(wait(async { panic!("a defect") }, &|| false)), Err(Kind::Internal));
    }
}
