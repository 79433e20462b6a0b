//! Lets a test end the use of a journal before any step, as if the process were killed there, or lets its disk hang, and shows what was made
//! durable.

use crate::lock::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

#[derive(Clone, Debug, Default)]
pub(in crate::replica) struct CrashPoint {
    /// How many more steps are made. Without a number, all.
    left: Option<Arc<AtomicI64>>,
    synced: Arc<Mutex<Vec<PathBuf>>>,
    /// No step is made while this is locked.
    gate: Arc<Mutex<()>>,
}

impl CrashPoint {
    pub(in crate::replica) fn new(steps: Option<i64>) -> CrashPoint {
        CrashPoint { left: steps.map(|steps| Arc::new(AtomicI64::new(steps))), ..CrashPoint::default() }
    }

    /// Whether the process has ended.
    pub(in crate::replica) fn has_ended(&self) -> bool {
        self.left.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) < 0)
    }

    /// Returns the lock that lets the disk hang.
    pub(super) fn gate(&self) -> Arc<Mutex<()>> {
        self.gate.clone()
    }

    pub(super) fn step(&self) -> io::Result<()> {
        drop(self.gate.lock());
        match &self.left {
            Some(left) if left.fetch_sub(1, Ordering::Relaxed) <= 0 => {
                left.store(-1, Ordering::Relaxed);
                Err(io::Error::other("the process has ended"))
            }
            _ => Ok(()),
        }
    }

    /// Records that the entries of a folder are durable.
    pub(super) fn synced(&self, folder: &Path) {
        self.synced.lock().push(folder.to_owned());
    }

    /// Returns the folders that were made durable.
    pub(super) fn take_synced(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.synced.lock())
    }
}
