//! Lets a test end the use of a journal before any step, as if the process were killed there, or lets its disk hang or fail, and shows what was
//! made durable.

use crate::lock::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A call on the disk of a journal that can fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) enum DiskCall {
    /// A step that changes files.
    Step,
    /// One that opens a file to read it, or reads it.
    Read,
}

/// A call that fails once.
#[derive(Clone, Copy, Debug)]
struct DiskFault {
    call: DiskCall,
    /// How many calls are made before it.
    after: u32,
    /// The number of the error that the system returns.
    error: i32,
}

#[derive(Clone, Debug, Default)]
pub(in crate::replica) struct CrashPoint {
    /// How many more steps are made. Without a number, all.
    left: Option<Arc<AtomicI64>>,
    synced: Arc<Mutex<Vec<PathBuf>>>,
    /// No step is made while this is locked.
    gate: Arc<Mutex<()>>,
    fault: Arc<Mutex<Option<DiskFault>>>,
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

    /// Lets a call fail once with an error of the system, after so many others of its kind.
    pub(in crate::replica) fn fail(&self, call: DiskCall, after: u32, error: i32) {
        *self.fault.lock() = Some(DiskFault { call, after, error });
    }

    /// Whether the call that was to fail has been made.
    pub(in crate::replica) fn has_failed(&self) -> bool {
        self.fault.lock().is_none()
    }

    fn meet(&self, call: DiskCall) -> io::Result<()> {
        let mut fault = self.fault.lock();
        match fault.as_mut().filter(|fault| fault.call == call) {
            None => Ok(()),
            Some(next) if next.after > 0 => {
                next.after -= 1;
                Ok(())
            }
            Some(next) => {
                let error = io::Error::from_raw_os_error(next.error);
                *fault = None;
                Err(error)
            }
        }
    }

    pub(super) fn read(&self) -> io::Result<()> {
        self.meet(DiskCall::Read)
    }

    pub(super) fn step(&self) -> io::Result<()> {
        drop(self.gate.lock());
        self.meet(DiskCall::Step)?;
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
