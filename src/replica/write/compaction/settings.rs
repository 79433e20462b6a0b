//! When files are merged, and how long they are kept.

use std::time::Duration;

/// The intervals of compactions and snapshots, and how long files are kept. The defaults are Litestream's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompactionSettings {
    /// The intervals of levels 1 to 3.
    pub levels: [Duration; 3],
    /// The time between two snapshots.
    pub snapshot_interval: Duration,
    /// Every state that is not older than this can be restored from a snapshot and the files after it.
    pub snapshot_retention: Duration,
    /// How long files are kept after they were merged into a higher level. If it is zero, files of level 0 are never deleted.
    pub l0_retention: Duration,
}

impl Default for CompactionSettings {
    fn default() -> CompactionSettings {
        const MINUTE: Duration = Duration::from_secs(60);
        const HOUR: Duration = Duration::from_secs(3600);
        CompactionSettings {
            levels: [MINUTE / 2, 5 * MINUTE, HOUR],
            snapshot_interval: 24 * HOUR,
            snapshot_retention: 24 * HOUR,
            l0_retention: 5 * MINUTE,
        }
    }
}

/// Returns a duration in milliseconds.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the newest multiple of an interval that is not after `now_ms`, in milliseconds since 1970.
pub(super) fn boundary(now_ms: i64, interval: Duration) -> i64 {
    now_ms - now_ms.rem_euclid(milliseconds(interval).max(1))
}
