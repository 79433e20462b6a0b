//! One writer at a time in this process.

use crate::error::{Error, ErrorKind};
use crate::replica::write::Writer;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The right to write, which one connection of a process has at a time. Dropping it gives it back.
pub struct WriteLock(Arc<Writer>);

impl Writer {
    /// Takes the lock. Fails with [`ErrorKind::Busy`] if another connection has it.
    pub(in crate::replica) fn lock(self: &Arc<Self>) -> Result<WriteLock, Error> {
        match self.locked.swap(true, Ordering::Acquire) {
            false => Ok(WriteLock(self.clone())),
            true => Err(Error::new(ErrorKind::Busy, "another connection of this process is writing")
                .remedy("set a busy timeout")),
        }
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        self.0.locked.store(false, Ordering::Release);
    }
}

impl fmt::Debug for WriteLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteLock")
    }
}
