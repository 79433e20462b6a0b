//! The size of a cache directory, as far as this process knows it.
//!
//! All replicas of the process that use the directory share it. If each of them counted only what it writes itself, a thousand could write many
//! times the bound before one evicts.

use crate::lock::Mutex;
use crate::process::SharedByKey;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// What identifies a directory as long as somebody has it open: its device and its number there.
type DirectoryId = (u64, u64);

static SHARED: SharedByKey<DirectoryId, DirectorySize> = SharedByKey::new();

/// What the replicas of a process know together of the size of a cache directory.
#[derive(Default)]
pub(super) struct DirectorySize {
    /// Size when it was last measured, without what `written` counted then.
    measured: AtomicU64,
    /// Bytes written since the last eviction began.
    written: AtomicU64,
    pub is_evicting: AtomicBool,
    /// Since when other processes have had the lock of eviction whenever this one tried to take it.
    pub refused_since: Mutex<Option<Instant>>,
}

impl DirectorySize {
    /// Returns the size of the directory at `path`, which nobody has measured if no other replica uses the directory.
    pub(super) fn of(path: &Path) -> io::Result<Arc<DirectorySize>> {
        // The disk is asked before: one that hangs delays the replicas of no other directory.
        SHARED.get_or_try_init(identify(path)?, |_| Ok(DirectorySize::default()))
    }

    /// Returns how many bytes the directory has, approximately.
    pub(super) fn held(&self) -> u64 {
        self.measured.load(Ordering::Relaxed).saturating_add(self.written())
    }

    /// Returns how many bytes were written since the last eviction began.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Records that so many bytes were written.
    pub(super) fn grow(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records what `measure` finds. What was written before still counts for the next eviction.
    pub(super) fn measure(&self, measure: impl FnOnce() -> io::Result<u64>) -> io::Result<()> {
        let before = self.written();
        self.measured.store(measure()?.saturating_sub(before), Ordering::Relaxed);
        Ok(())
    }

    /// Records the size that `evict` leaves. If it fails, the last size counts.
    pub(super) fn shrink(&self, evict: impl FnOnce() -> io::Result<u64>) -> io::Result<()> {
        let before = self.written.swap(0, Ordering::Relaxed);
        match evict() {
            Ok(left) => self.measured.store(left, Ordering::Relaxed),
            Err(error) => {
                self.measured.fetch_add(before, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
fn identify(path: &Path) -> io::Result<DirectoryId> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// There are no cache directories on these systems.
#[cfg(not(unix))]
fn identify(_: &Path) -> io::Result<DirectoryId> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_that_of_a_directory_whatever_its_path_and_what_was_written_counts_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let [one, other, link] = ["one", "other", "link"].map(|name| dir.path().join(name));
        for path in [&one, &other] {
            std::fs::create_dir(path).expect("a directory");
        }
        std::os::unix::fs::symlink(dir.path(), &link).expect("a link");
        let of = |path: &Path| DirectorySize::of(path).expect("a size");
        let size = of(&one);
        assert!(Arc::ptr_eq(&size, &of(&link.join("one"))) && !Arc::ptr_eq(&size, &of(&other)));
        size.grow(100);
        size.measure(|| Ok(500)).expect("it is measured");
        size.grow(10);
        assert_eq!((size.held(), size.written()), (510, 110));
        size.shrink(|| Err(io::ErrorKind::Other.into())).expect_err("it fails");
        assert_eq!((size.held(), size.written()), (510, 0));
        size.grow(1);
        let left = || {
            size.grow(2);
            Ok(300)
        };
        size.shrink(left).expect("something is evicted");
        assert_eq!((size.held(), size.written()), (302, 2));
        let gone = Arc::downgrade(&size);
        drop(size);
        assert!(gone.upgrade().is_none(), "it is dropped with the last replica");
    }
}
