//! Threads of the host wait for jobs of the runtime.

use crate::config::Settings;
use crate::error::{Error, ErrorKind};
use crate::runtime::{self, ReadTimeout};
use crate::store::Location;
use std::time::Duration;

/// How long a limit that a job observes itself is exceeded before it is known that it does not.
pub(super) const SLACK: Duration = Duration::from_secs(5);

/// Returns whether the host wants the running call to stop.
pub type Interrupted<'a> = &'a dyn Fn() -> bool;

/// Waits for a job that can wait for a disk, also if it has its own limit: if the threads of the runtime wait for a disk, no limit is observed
/// there. Fails if nothing arrives for it within `limit`.
pub(super) fn wait_at_most<T: Send + 'static>(
    limit: Duration,
    job: impl Future<Output = Result<T, Error>> + Send + 'static,
    interrupted: Interrupted<'_>,
) -> Result<T, Error> {
    let hangs = || {
        let message = format!("a disk has not responded for {limit:?}");
        Error::new(ErrorKind::Unreachable, message).remedy("check the disks of cache_dir and buffer_path")
    };
    runtime::wait_within(Some(ReadTimeout { limit, error: &hangs }), job, interrupted)
}

/// Waits for a job that reads from the store. Fails if nothing arrives for it within the `read_timeout` of the settings.
pub(super) fn wait_for_data<T: Send + 'static>(
    location: &Location,
    settings: &Settings,
    job: impl Future<Output = Result<T, Error>> + Send + 'static,
    interrupted: Interrupted<'_>,
) -> Result<T, Error> {
    let timed_out = |limit: Duration| {
        let message = format!("{location} has sent nothing for {limit:?}, which is the read_timeout");
        Error::new(ErrorKind::Unreachable, message)
            .remedy("check the endpoint and the network, or allow more with read_timeout or LITESTREAM_READ_TIMEOUT")
    };
    match settings.read_timeout {
        Some(limit) => {
            let timeout = ReadTimeout { limit, error: &|| timed_out(limit) };
            runtime::wait_within(Some(timeout), job, interrupted)
        }
        None => runtime::wait(job, interrupted),
    }
}
