//! What hydration has found and done.

use crate::replica::view::{Epoch, View};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

/// The progress of hydration: pages of the newest state, and those of them that are in the cache directory.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HydrationProgress {
    /// All pages.
    pub total: u32,
    /// Pages that are in the directory.
    pub present: u32,
    /// Whether the newest state is there completely.
    pub is_complete: bool,
}

impl HydrationProgress {
    /// Returns how much is there in percent, rounded down to a tenth. It is 100 only if the newest state is complete, and 0 before the first.
    pub fn percent(self) -> f64 {
        let per_mille = u64::from(self.present) * 1000 / u64::from(self.total.max(1));
        if self.is_complete { 100.0 } else { per_mille.min(999) as f64 / 10.0 }
    }
}

#[derive(Default)]
pub(super) struct HydrationState {
    pub total: u32,
    pub present: u32,
    /// The files of the newest state that is complete.
    hydrated: Option<FilesOfHistory>,
    /// The files whose pages were read from the directory when they were looked for first.
    read: Option<FilesOfHistory>,
    /// When something was evicted last before the directory was looked through.
    last_eviction: Option<SystemTime>,
    /// Failures since the last page was fetched.
    pub failures: u32,
    /// Why hydration does not go on.
    pub obstacle: Option<String>,
}

/// Numbers of files of a view. Later states of its history need no other pages of them, but a replica that was set back can.
pub(super) struct FilesOfHistory {
    epoch: Epoch,
    numbers: Arc<HashSet<u32>>,
}

impl FilesOfHistory {
    /// Returns the files of a view.
    pub fn of(view: &View) -> FilesOfHistory {
        FilesOfHistory::except(view, &HashSet::new())
    }

    /// Returns the files of a view, except some.
    fn except(view: &View, except: &HashSet<u32>) -> FilesOfHistory {
        let numbers = numbers(view).filter(|file| !except.contains(file));
        FilesOfHistory { epoch: view.epoch(), numbers: Arc::new(numbers.collect()) }
    }

    /// Returns whether a view has no other files. The same state can be in other files later: its counter says nothing about them.
    pub fn include(&self, view: &View) -> bool {
        self.epoch == view.epoch() && numbers(view).all(|file| self.numbers.contains(&file))
    }

    /// Returns those of which no other pages are needed in a view than before.
    fn known_in(&self, view: &View) -> Arc<HashSet<u32>> {
        if self.epoch == view.epoch() { self.numbers.clone() } else { Arc::default() }
    }
}

/// Returns the numbers of the files from which a new process builds a view.
fn numbers(view: &View) -> impl Iterator<Item = u32> {
    view.files().chain([view.tip()]).map(|file| file.number)
}

impl HydrationState {
    pub fn has_hydrated(&self, view: &View) -> bool {
        self.hydrated.as_ref().is_some_and(|hydrated| hydrated.include(view))
    }

    /// Returns the files of which the directory has everything that a view needs.
    pub fn complete_files(&self, view: &View) -> Arc<HashSet<u32>> {
        self.hydrated.as_ref().map(|hydrated| hydrated.known_in(view)).unwrap_or_default()
    }

    /// Returns those, and the files whose pages were read when they were looked for.
    pub fn known_files(&self, view: &View) -> (Arc<HashSet<u32>>, Arc<HashSet<u32>>) {
        let read = self.read.as_ref().map(|read| read.known_in(view)).unwrap_or_default();
        (self.complete_files(view), read)
    }

    /// Forgets what was found in the directory if something was evicted after that. Pages may be missing, and a trailer that was written
    /// while its page was evicted has outlived it, so that the pages have to be read again.
    pub fn forget_evicted(&mut self, last_eviction: Option<SystemTime>) {
        if self.last_eviction != last_eviction {
            (self.hydrated, self.read, self.last_eviction) = (None, None, last_eviction);
        }
    }

    /// Records that at least this many pages of a state are there.
    pub fn found(&mut self, total: u32, present: u32) {
        (self.total, self.present) = (total, self.present.max(present));
    }

    /// Records how many pages of a view are missing. Those of `damaged` files have to be read again.
    pub fn looked(&mut self, view: &View, missing: u32, damaged: &HashSet<u32>) {
        (self.total, self.present) = (view.commit(), view.commit() - missing);
        self.read = Some(FilesOfHistory::except(view, damaged));
    }

    /// Records that everything of a view with these files is there.
    pub fn complete(&mut self, files: FilesOfHistory) {
        self.hydrated = Some(files);
        (self.failures, self.obstacle) = (0, None);
    }

    /// Records why hydration does not go on, and logs it once.
    pub fn stop(&mut self, reason: String) {
        if self.obstacle.is_none() {
            tracing::warn!("the newest state is not hydrated: {reason}");
        }
        self.obstacle = Some(reason);
    }
}
