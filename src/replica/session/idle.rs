//! Replicas without readers: what each of them keeps, and which are removed because it is too much together.

use crate::replica::CacheLimits;
use std::cmp::Reverse;
use std::time::Instant;
use tokio::task::AbortHandle;

/// The maximum number of idle replicas.
pub(super) const MOST_IDLE: usize = 1000;

/// Idle replicas keep no more together than this many of them with full caches and the largest limits.
const MOST_FULL: u64 = 16;

/// A replica without readers.
pub(super) struct Idle {
    /// A timer that finds another number than its own does not remove the replica.
    pub number: u64,
    /// The task that removes the replica after it was idle long enough.
    pub timer: Option<AbortHandle>,
    pub keeps: Keeps,
}

/// What an idle replica keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeps {
    pub since: Instant,
    /// In memory pages and the files of its view, on disk the temporary file.
    pub held: CacheLimits,
    pub limits: CacheLimits,
}

/// Returns which idle replicas are removed: those that have been idle for longest, until the others keep no more than is allowed.
pub(super) fn too_many<K>(mut idle: Vec<(Keeps, K)>) -> impl Iterator<Item = K> {
    let largest = idle.iter().map(|(keeps, _)| keeps.limits).reduce(CacheLimits::max).unwrap_or_default();
    let most =
        CacheLimits { memory: largest.memory.saturating_mul(MOST_FULL), disk: largest.disk.saturating_mul(MOST_FULL) };
    idle.sort_unstable_by_key(|(keeps, _)| Reverse(keeps.since));
    let mut held = CacheLimits::default();
    let is_too_much = move |(index, (keeps, key)): (usize, (Keeps, K))| {
        held.memory = held.memory.saturating_add(keeps.held.memory);
        held.disk = held.disk.saturating_add(keeps.held.disk);
        (index >= MOST_IDLE || held.memory > most.memory || held.disk > most.disk).then_some(key)
    };
    idle.into_iter().enumerate().filter_map(is_too_much)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn idle_replicas_keep_as_much_as_sixteen_full_ones() {
        let start = Instant::now();
        let large = CacheLimits { memory: 100, disk: 1000 };
        let removed = |held: [(u64, u64); 4]| -> Vec<usize> {
            let keeps = held.map(|(memory, disk)| CacheLimits { memory, disk });
            let idle = keeps.iter().enumerate().map(|(index, &held)| {
                let limits = if index == 2 { large } else { CacheLimits { memory: 10, disk: 10 } };
                (Keeps { since: start + Duration::from_secs(index as u64), held, limits }, index)
            });
            too_many(idle.collect()).collect()
        };
        assert!(removed([(400, 4000), (400, 4000), (400, 4000), (400, 4000)]).is_empty());
        assert_eq!(removed([(401, 0), (400, 0), (400, 0), (400, 0)]), [0]);
        assert_eq!(removed([(0, 1), (0, 1), (0, 8000), (0, 8000)]), [1, 0]);
        assert_eq!(removed([(u64::MAX, 0), (0, u64::MAX), (1, 1), (1, 1)]), [1, 0]);
        assert_eq!(too_many(Vec::<(Keeps, u8)>::new()).count(), 0);
    }
}
