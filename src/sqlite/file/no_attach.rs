//! Open databases that forbid SQL to attach replicas.

use crate::config;
use crate::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of [`NoAttach`] values.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Held by an open database that forbids SQL to attach replicas to its connection.
#[derive(Debug)]
pub struct NoAttach(());

impl NoAttach {
    /// From now on, the access to every replica depends on the connection that opens it.
    pub fn new() -> NoAttach {
        COUNT.fetch_add(1, Ordering::AcqRel);
        NoAttach(())
    }

    /// Whether any open database of this process, or the environment, forbids SQL to attach replicas.
    pub fn may_apply() -> Result<bool, Error> {
        Ok(COUNT.load(Ordering::Acquire) > 0 || !config::attach_in_environment()?)
    }
}

impl Drop for NoAttach {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::AcqRel);
    }
}
