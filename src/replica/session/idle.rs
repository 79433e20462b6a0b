//! Replicas without readers: what each of them keeps, and which are removed because it is too much together.

use crate::process::descriptor_limit;
use crate::replica::CacheLimits;
use std::cmp::Reverse;
use std::time::Instant;
use tokio::task::AbortHandle;

/// The maximum number of idle replicas.
pub(super) const MOST_IDLE: usize = 1000;

/// Idle replicas keep no more together than this many of them with full caches and the largest limits.
const MOST_FULL: u64 = 16;

/// Idle replicas keep no more than one in this many of the descriptors that the process may have.
const DESCRIPTOR_SHARE: u64 = 4;

/// A replica without readers.
pub(super) struct Idle {
    /// A timer that finds another number than its own does not remove the replica.
    pub number: u64,
    pub since: Instant,
    pub held: Held,
    /// The task that removes the replica after it was idle long enough.
    pub timer: Option<AbortHandle>,
}

/// What a replica holds.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Held {
    /// In memory pages and the files of its view, on disk the temporary file.
    pub cache: CacheLimits,
    pub limits: CacheLimits,
    pub descriptors: u64,
}

/// Returns which idle replicas are removed: those that have been idle for longest, until the others keep no more than is allowed, or one is left.
pub(super) fn too_many<K>(idle: Vec<((Instant, Held), K)>) -> impl Iterator<Item = K> {
    longest_idle(idle, descriptor_limit() / DESCRIPTOR_SHARE)
}

fn longest_idle<K>(mut idle: Vec<((Instant, Held), K)>, most_descriptors: u64) -> impl Iterator<Item = K> {
    let most =
        idle.iter().map(|((_, held), _)| held.limits).reduce(CacheLimits::max).unwrap_or_default().times(MOST_FULL);
    idle.sort_unstable_by_key(|((since, _), _)| Reverse(*since));
    let mut sum = Held::default();
    let is_too_much = move |(index, ((_, held), key)): (usize, ((Instant, Held), K))| {
        sum.cache = sum.cache.plus(held.cache);
        sum.descriptors = sum.descriptors.saturating_add(held.descriptors);
        let has_room = index < MOST_IDLE && sum.cache.max(most) == most && sum.descriptors <= most_descriptors;
        let is_kept = index == 0 || has_room;
        (!is_kept).then_some(key)
    };
    idle.into_iter().enumerate().filter_map(is_too_much)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Returns which of these replicas are removed. The first is the one that has been idle for longest.
    fn removed(replicas: &[Held]) -> Vec<usize> {
        let start = Instant::now();
        let idle = replicas.iter().enumerate();
        let idle = idle.map(|(index, &held)| ((start + Duration::from_secs(index as u64), held), index));
        longest_idle(idle.collect(), 100).collect()
    }

    #[test]
    fn idle_replicas_keep_as_much_as_sixteen_full_ones() {
        let removed = |held: [(u64, u64); 4]| {
            let mut replicas = held.map(|(memory, disk)| Held {
                cache: CacheLimits { memory, disk },
                limits: CacheLimits { memory: 10, disk: 10 },
                descriptors: 0,
            });
            replicas[2].limits = CacheLimits { memory: 100, disk: 1000 };
            removed(&replicas)
        };
        assert!(removed([(400, 4000), (400, 4000), (400, 4000), (400, 4000)]).is_empty());
        assert_eq!(removed([(401, 0), (400, 0), (400, 0), (400, 0)]), [0]);
        assert_eq!(removed([(0, 1), (0, 1), (0, 8000), (0, 8000)]), [1, 0]);
        assert_eq!(removed([(u64::MAX, 0), (0, u64::MAX), (1, 1), (1, 1)]), [1, 0]);
    }

    #[test]
    fn idle_replicas_keep_a_share_of_the_descriptors() {
        let removed =
            |descriptors: [u64; 3]| removed(&descriptors.map(|descriptors| Held { descriptors, ..Held::default() }));
        assert!(removed([40, 40, 20]).is_empty());
        assert_eq!(removed([41, 40, 20]), [0]);
        assert_eq!(removed([0, 90, 11]), [1, 0]);
        assert_eq!(removed([0, 0, 101]), [1, 0]);
    }
}
