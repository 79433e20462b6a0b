//! When files are merged, and how long they are kept.

use crate::config::{Compaction, Settings};
use crate::time::milliseconds;
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

impl CompactionSettings {
    /// Returns the settings that a connection asks for. None if it wants no compaction.
    pub(in crate::replica) fn of(settings: &Settings) -> Option<CompactionSettings> {
        let usual = CompactionSettings::default();
        let levels = match settings.compaction {
            Compaction::Off => return None,
            Compaction::On => usual.levels,
            Compaction::Every(interval) => [interval, interval * 10, interval * 120],
        };
        Some(CompactionSettings {
            levels,
            snapshot_interval: settings.snapshot_interval.unwrap_or(usual.snapshot_interval),
            snapshot_retention: settings.snapshot_retention.unwrap_or(usual.snapshot_retention),
            l0_retention: settings.l0_retention.unwrap_or(usual.l0_retention),
        })
    }
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

/// Returns the newest multiple of an interval that is not after `now_ms`, in milliseconds since 1970.
pub(super) fn boundary(now_ms: i64, interval: Duration) -> i64 {
    now_ms - now_ms.rem_euclid(milliseconds(interval).max(1))
}
