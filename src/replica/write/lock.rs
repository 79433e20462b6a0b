//! One writer at a time in this process.

use crate::error::{Error, ErrorKind};
use crate::process::Maker;
use crate::replica::write::Writer;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The right to write, which one connection of a process has at a time. Dropping it gives it back.
pub struct WriteLock {
    writer: Arc<Writer>,
    holder: Maker,
}

impl Writer {
    /// Takes the lock. Fails with [`ErrorKind::Busy`] if another connection has it.
    pub(in crate::replica) fn lock(self: &Arc<Self>) -> Result<WriteLock, Error> {
        match self.locked.swap(true, Ordering::Acquire) {
            false => Ok(WriteLock { writer: self.clone(), holder: Maker::this() }),
            true => Err(Error::new(ErrorKind::Busy, "another connection of this process is writing")
                .remedy("set a busy timeout")),
        }
    }
}

impl WriteLock {
    /// Fails in the child of a fork: the transaction that has the lock is its parent's, which may commit it.
    pub(in crate::replica) fn check_process(&self) -> Result<(), Error> {
        if self.holder.is_this() {
            return Ok(());
        }
        let text = "this transaction was begun before the process was forked, and only the parent can commit it";
        Err(Error::new(ErrorKind::ReadOnly, text).remedy("roll it back, and run it again in the child"))
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        self.writer.locked.store(false, Ordering::Release);
    }
}

impl fmt::Debug for WriteLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteLock")
    }
}
