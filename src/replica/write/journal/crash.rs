//! Lets a test end the use of a journal before any step, as if the process were killed there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// How many more steps are made. Without a number, all.
#[derive(Clone, Debug, Default)]
pub(in crate::replica) struct CrashPoint(Option<Arc<AtomicI64>>);

impl CrashPoint {
    pub(in crate::replica) fn new(steps: Option<i64>) -> CrashPoint {
        CrashPoint(steps.map(|steps| Arc::new(AtomicI64::new(steps))))
    }

    /// Whether the process has ended.
    pub(in crate::replica) fn has_ended(&self) -> bool {
        self.0.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) < 0)
    }

    pub(super) fn step(&self) -> io::Result<()> {
        match &self.0 {
            Some(left) if left.fetch_sub(1, Ordering::Relaxed) <= 0 => {
                left.store(-1, Ordering::Relaxed);
                Err(io::Error::other("the process has ended"))
            }
            _ => Ok(()),
        }
    }
}
