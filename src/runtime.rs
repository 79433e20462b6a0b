//! The threads that run async code, the way host threads wait for them, and the fork that takes them away.
//!
//! A fork copies memory but no threads: in the child the runtime, every connection it made and every lock that another
//! thread held are dead. So nothing process-wide is reached but through [`PerProcess`], which builds a fresh value in
//! the child and leaves the inherited one untouched for ever (dropping it would join threads that do not exist).

use crate::error::{Error, Kind};
use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
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
