//! Which process polls a replica for all processes that share the cache directory.
//!
//! The leader holds the lock of a file. The system releases it when the process ends. A leader that is suspended or hangs keeps its lock, so
//! another process replaces the file: the lock of a file that is no longer there means nothing. The file was last written when its leader
//! began.

use super::CacheDirectory;
use crate::replica::folder::{Folder, FolderLock, is_removed, temporary_name};
use std::io;
use std::time::{Duration, SystemTime};

/// The file whose lock the leader holds.
pub(super) const LEADER: &str = "leader";

/// The file whose lock a process holds while it replaces the other one.
pub(super) const SUCCESSION: &str = "succession";

/// The leadership of a process, which ends when this is dropped.
#[derive(Debug)]
pub(in crate::replica) struct Leadership(FolderLock);

impl Leadership {
    /// Returns whether no other process has taken over.
    pub(in crate::replica) fn is_valid(&self) -> bool {
        !is_removed(&self.0.file)
    }

    fn acquire(folder: &Folder) -> io::Result<Option<Leadership>> {
        let Some(leadership) = folder.try_lock(LEADER)?.map(Leadership).filter(Leadership::is_valid) else {
            return Ok(None);
        };
        leadership.0.file.set_modified(SystemTime::now())?;
        Ok(Some(leadership))
    }
}

impl CacheDirectory {
    /// Returns the leadership if no other process has it.
    pub(in crate::replica) fn lead(&self) -> Option<Leadership> {
        Leadership::acquire(&self.folder).ok().flatten()
    }

    /// Returns the time since the leader began to lead. None if that is unknown: there was none, or the clock was set back.
    pub(in crate::replica) fn leads_for(&self) -> Option<Duration> {
        self.folder.open_file(LEADER).ok()??.metadata().ok()?.modified().ok()?.elapsed().ok()
    }

    /// Returns whether there is space for another record of the newest view.
    pub(in crate::replica) fn takes_records(&self) -> bool {
        let (record, name) = (self.head().unwrap_or_default(), temporary_name());
        let written = self.folder.write(&name, &[&record]);
        let _ = self.folder.remove(&name);
        written.is_ok()
    }

    /// Takes the leadership from a process that does not poll any more. `is_idle` is checked again, because another process may have done
    /// the same.
    pub(in crate::replica) fn take_over(&self, is_idle: impl Fn() -> bool) -> Option<Leadership> {
        let _succession = self.folder.try_lock(SUCCESSION).ok().flatten().filter(|_| is_idle())?;
        self.folder.remove(LEADER).ok()?;
        self.lead()
    }
}
