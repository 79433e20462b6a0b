//! Threads of the host wait for jobs of the runtime.

use crate::config::Settings;
use crate::error::{Error, ErrorKind};
use crate::runtime::{self, ReadTimeout};
use crate::store::Location;
use std::time::Duration;

/// Returns whether the host wants the running call to stop.
pub type Interrupted<'a> = &'a dyn Fn() -> bool;

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
